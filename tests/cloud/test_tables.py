"""What the database itself refuses, whoever writes to it."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
import sqlalchemy.exc
from cloud_world import World, drop_trigger
from shallop_cloud.store import tables
from shallop_protocol import statuses

# SQLite names the columns of the index, PostgreSQL the index
WAITING = r"deployments\.device_id, deployments\.release_id|uq_deployments_waiting"
WANTED = r"deployments\.device_id, deployments\.activity|uq_deployments_wanted"


def _put(connection: sa.Connection, world: World, cell: statuses.Statuses) -> None:
    """Brings the one deployment to a cell, as no program of ours would."""
    table = tables.deployments
    row = dict(connection.execute(sa.select(table)).mappings().one())
    connection.execute(tables.deployment_instances.delete())
    connection.execute(table.delete())
    connection.execute(table.insert().values(row | _columns(cell)))


def _columns(cell: statuses.Statuses) -> dict[str, str]:
    target, activity, error = cell
    return {"target": target.value, "activity": activity.value, "error": error.value}


@pytest.fixture
def one(world: World) -> World:
    """A shore with one deployment, of which the history knows nothing that matters here."""
    world.release()
    world.device()
    world.order("max: 1\n", staged=True)
    with world.ashore.shore.database.write() as connection:
        drop_trigger(connection, "history_no_delete", "history")
        connection.execute(tables.history.delete())
    return world


def test_the_database_holds_what_can_occur_and_nothing_else(one: World) -> None:
    database = one.ashore.shore.database
    for cell in statuses.all_combinations():
        with database.engine.connect() as connection:
            if cell in statuses.STEPS:
                _put(connection, one, cell)
            else:
                with pytest.raises(sqlalchemy.exc.IntegrityError, match="statuses_occur"):
                    _put(connection, one, cell)


@pytest.mark.parametrize("before", statuses.STEPS, ids=str)
def test_the_database_moves_a_deployment_along_the_table_and_nowhere_else(
    one: World, before: statuses.Statuses
) -> None:
    update = tables.deployments.update()
    for after in statuses.STEPS:
        with one.ashore.shore.database.engine.connect() as connection:
            _put(connection, one, before)
            if after == before or statuses.may_become(before, after):
                connection.execute(update.values(_columns(after)))
            else:
                with pytest.raises(sqlalchemy.exc.IntegrityError, match="cannot move"):
                    connection.execute(update.values(_columns(after)))


def _insert_another(world: World, cell: str, **more: object) -> None:
    with world.ashore.shore.database.write() as connection:
        row = dict(connection.execute(sa.select(tables.deployments).limit(1)).mappings().one())
        target, activity, error = cell.split("/")
        values = {"id": "DPL-0000000000000000", "target": target, "activity": activity, "error": error}
        connection.execute(tables.deployments.insert().values(row | values | more))


@pytest.mark.parametrize("cell", ["staged/staged/none", "staged/drifted/none"])
def test_one_deployment_waits_on_a_release(world: World, cell: str) -> None:
    world.release()
    world.device()
    world.order("max: 1\n", staged=True)
    with pytest.raises(sqlalchemy.exc.IntegrityError, match=WAITING):
        _insert_another(world, cell)


@pytest.mark.parametrize("cell", ["deployed/deployed/none", "deployed/deployed/retrying"])
def test_one_deployment_is_in_force(world: World, cell: str) -> None:
    world.release()
    robot = world.device()
    world.order("max: 1\n")
    robot.settle()
    with pytest.raises(sqlalchemy.exc.IntegrityError, match=WANTED):
        _insert_another(world, cell)


@pytest.mark.parametrize("cell", ["deployed/queued/none", "deployed/queued/retrying"])
def test_one_deployment_is_on_its_way(world: World, cell: str) -> None:
    world.release()
    world.device()
    world.order("max: 1\n")
    with pytest.raises(sqlalchemy.exc.IntegrityError, match=WANTED):
        _insert_another(world, cell)


@pytest.mark.parametrize("act", ["UPDATE history SET actor = 'nobody'", "DELETE FROM history"])
def test_history_is_only_added_to(world: World, act: str) -> None:
    world.release()
    with (
        pytest.raises(sqlalchemy.exc.IntegrityError, match="only ever added to"),
        world.ashore.shore.database.write() as connection,
    ):
        connection.exec_driver_sql(act)
