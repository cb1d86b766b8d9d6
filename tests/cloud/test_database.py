"""Transactions on the store."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
import sqlalchemy as sa
from shallop_cloud.store.database import Database

COUNT = sa.text("SELECT value FROM counter")
GROW = sa.text("UPDATE counter SET value = :value")


@pytest.fixture
def database(tmp_path: Path) -> Database:
    made = Database.in_directory(tmp_path)
    with made.write() as connection:
        connection.execute(sa.text("CREATE TABLE counter (value INTEGER)"))
        connection.execute(sa.text("INSERT INTO counter VALUES (0)"))
    return made


def test_who_reads_to_write_waits_for_who_came_first(database: Database) -> None:
    """Otherwise the second would decide on what it read too early, or fail because it did."""
    seen: list[int] = []

    def second() -> None:
        with database.write() as connection:
            seen.append(connection.execute(COUNT).scalar_one())
            connection.execute(GROW, {"value": seen[0] + 1})

    thread = threading.Thread(target=second)
    with database.write() as connection:
        value = connection.execute(COUNT).scalar_one()
        thread.start()
        thread.join(timeout=0.3)
        assert seen == []
        connection.execute(GROW, {"value": value + 1})
    thread.join()
    with database.read() as connection:
        assert connection.execute(COUNT).scalar_one() == 2
    database.close()


def test_readers_wait_for_nobody_and_see_what_is_committed(database: Database) -> None:
    with database.write() as connection:
        connection.execute(GROW, {"value": 7})
        with database.read() as reader:
            assert reader.execute(COUNT).scalar_one() == 0
    with database.read() as reader:
        assert reader.execute(COUNT).scalar_one() == 7
    database.close()


def test_a_write_that_raises_leaves_nothing(database: Database) -> None:
    def fail() -> None:
        with database.write() as connection:
            connection.execute(GROW, {"value": 7})
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    with database.read() as connection:
        assert connection.execute(COUNT).scalar_one() == 0
    database.close()


def test_what_is_committed_is_on_the_disk(database: Database) -> None:
    """SQLite, *PRAGMA synchronous*: FULL (2) syncs the write-ahead log with every commit."""
    with database.read() as connection:
        assert connection.execute(sa.text("PRAGMA synchronous")).scalar_one() == 2
        assert connection.execute(sa.text("PRAGMA journal_mode")).scalar_one() == "wal"
        assert connection.execute(sa.text("PRAGMA foreign_keys")).scalar_one() == 1
    database.close()
