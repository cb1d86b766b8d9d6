"""A fleet that goes from SQLite to PostgreSQL keeps everything."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from cloud_world import World
from postgres_world import Server
from shallop_cloud.cli.copying import copy_database
from shallop_cloud.store import history

LISTS = ("/v1/devices", "/v1/releases", "/v1/deployments", "/v1/devices/amr-1/history")


@pytest.fixture
def url(postgres: Server) -> Iterator[str]:
    made = postgres.create(template="template0")
    yield made
    postgres.drop(made)


def _lists(world: World) -> list[Any]:
    """What the API shows, but for what depends on when it is asked."""
    rows = [row for path in LISTS for row in world.must("GET", path, limit=100)["data"]]
    return [{name: row[name] for name in row if not name.endswith("_age_s") and name != "last_known"} for row in rows]


def _copy(data: Path, url: str) -> tuple[int, str]:
    done = CliRunner().invoke(copy_database, ["--data", str(data), "--database", url])
    return done.exit_code, done.output


def test_everything_is_there_and_goes_on(tmp_path: Path, url: str) -> None:
    data, other = tmp_path / "data", tmp_path / "other"
    data.mkdir()
    other.mkdir()
    world = World(data)
    world.release()
    robot = world.device()
    for number in range(3):
        world.order(f"größe: {number}\n")
        robot.settle()
    world.order("größe: 9\n", staged=True)
    before = _lists(world)
    world.close()
    code, said = _copy(data, url)
    assert code == 0, said
    moved = World(other, url)
    assert _lists(moved) == before
    moved.order("größe: 10\n")
    with moved.ashore.shore.database.read() as connection:
        assert history.verify(connection).whole
    moved.close()
    code, said = _copy(data, url)
    assert code == 1
    assert "has rows already" in said


def test_a_history_that_was_tampered_with_is_not_copied(tmp_path: Path, url: str) -> None:
    world = World(tmp_path)
    world.release()
    with world.ashore.shore.database.write() as connection:
        connection.exec_driver_sql("DROP TRIGGER history_no_update")
        connection.exec_driver_sql("UPDATE history SET actor = 'nobody'")
    world.close()
    code, said = _copy(tmp_path, url)
    assert code == 1
    assert "does not hold together" in said


def test_a_directory_without_a_database(tmp_path: Path, url: str) -> None:
    code, said = _copy(tmp_path, url)
    assert code == 1
    assert "there is no shallop.db" in said
