"""The chain of the history, and what a look at it finds."""

from __future__ import annotations

import datetime
import hashlib
import json

import pytest
from cloud_world import World, drop_trigger
from shallop_cloud.store import history, tables

_COLUMNS = [column.name for column in tables.history.c if column.name != "id"]
AT = datetime.datetime(2026, 3, 1, 12, 0, tzinfo=datetime.UTC)


@pytest.fixture
def told(world: World) -> World:
    """A shore where something happened."""
    world.release()
    robot = world.device()
    for number in range(3):
        world.order(f"max: {number}\n")
        robot.settle()
    return world


def _verdict(world: World, expected: str | None = None) -> history.Verdict:
    with world.ashore.shore.database.read() as connection:
        return history.verify(connection, expected)


def _tamper(world: World, sql: str) -> None:
    """As somebody does who has the file."""
    with world.ashore.shore.database.write() as connection:
        for act in ("update", "delete"):
            drop_trigger(connection, f"history_no_{act}", "history")
        connection.exec_driver_sql(sql)


def test_an_untouched_history_holds_together(told: World) -> None:
    verdict = _verdict(told)
    assert verdict.whole
    assert verdict.entries > 10


def test_a_hash_is_what_the_docstring_says() -> None:
    row = history.row(at=AT, actor="admin", action="staged", device_id="DEV-1", after={"b": "é", "a": 1})
    last = "0" * 64
    fields = [last, "2026-03-01T12:00:00.000000Z", "admin", "staged", "DEV-1", None, None, None, None]
    text = json.dumps({"b": "é", "a": 1}, separators=(",", ":"))
    whole = json.dumps([*fields, text], separators=(",", ":"))
    assert history.seal(last, row, None, text) == hashlib.sha256(whole.encode()).hexdigest()


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE history SET actor = 'nobody' WHERE id = 4",
        "UPDATE history SET at = '2020-01-01 00:00:00.000000' WHERE id = 4",
        "UPDATE history SET after = '{}' WHERE id = 4",
        "UPDATE history SET before = NULL, device_time = NULL, deployment_id = NULL, action = 'x' WHERE id = 4",
        "DELETE FROM history WHERE id = 4",
        "DELETE FROM history WHERE id = 1",
        f"INSERT INTO history SELECT 1000, {', '.join(_COLUMNS)} FROM history WHERE id = 4",
    ],
)
def test_what_was_tampered_with_is_found(told: World, sql: str) -> None:
    _tamper(told, sql)
    verdict = _verdict(told)
    assert not verdict.whole
    assert verdict.broken_at is not None


def test_an_end_that_was_cut_off_is_found(told: World) -> None:
    before = _verdict(told)
    _tamper(told, f"DELETE FROM history WHERE id > {before.entries - 2}")
    verdict = _verdict(told)
    assert verdict.reason == f"{before.entries} entries were recorded, and {before.entries - 2} are there"


def test_who_cut_off_the_end_and_hid_it_is_found_by_the_head_that_somebody_kept(told: World) -> None:
    kept = _verdict(told).head
    _tamper(told, "DELETE FROM history WHERE id > 4")
    with told.ashore.shore.database.write() as connection:
        last = connection.exec_driver_sql("SELECT hash FROM history WHERE id = 4").scalar_one()
        connection.execute(tables.history_head.update().values(entries=4, hash=last))
    assert _verdict(told).whole
    assert not _verdict(told, kept).whole


def test_an_earlier_head_is_still_of_the_chain(told: World) -> None:
    kept = _verdict(told).head
    told.order("max: 9\n")
    assert _verdict(told, kept).whole
