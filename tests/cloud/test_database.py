"""Transactions on the store."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from postgres_world import Server
from shallop_cloud import errors
from shallop_cloud.store.database import Database

COUNT = sa.text("SELECT value FROM counter")
GROW = sa.text("UPDATE counter SET value = :value")


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    made = Database.in_directory(tmp_path)
    yield from _counting(made)


@pytest.fixture
def any_database(tmp_path: Path, database_url: str | None) -> Iterator[Database]:
    made = Database.at(database_url) if database_url else Database.in_directory(tmp_path)
    yield from _counting(made)


def _counting(made: Database) -> Iterator[Database]:
    with made.write() as connection:
        connection.execute(sa.text("CREATE TABLE counter (value INTEGER)"))
        connection.execute(sa.text("INSERT INTO counter VALUES (0)"))
    yield made
    made.close()


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


def test_readers_wait_for_nobody_and_see_what_is_committed(any_database: Database) -> None:
    database = any_database
    with database.write() as connection:
        connection.execute(GROW, {"value": 7})
        with database.read() as reader:
            assert reader.execute(COUNT).scalar_one() == 0
    with database.read() as reader:
        assert reader.execute(COUNT).scalar_one() == 7


def test_a_write_that_raises_leaves_nothing(any_database: Database) -> None:
    database = any_database

    def fail() -> None:
        with database.write() as connection:
            connection.execute(GROW, {"value": 7})
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    with database.read() as connection:
        assert connection.execute(COUNT).scalar_one() == 0


def test_what_is_committed_is_on_the_disk(database: Database) -> None:
    """SQLite, *PRAGMA synchronous*: FULL (2) syncs the write-ahead log with every commit."""
    with database.read() as connection:
        assert connection.execute(sa.text("PRAGMA synchronous")).scalar_one() == 2
        assert connection.execute(sa.text("PRAGMA journal_mode")).scalar_one() == "wal"
        assert connection.execute(sa.text("PRAGMA foreign_keys")).scalar_one() == 1


def test_a_reader_sees_one_state(any_database: Database) -> None:
    with any_database.read() as reader:
        assert reader.execute(COUNT).scalar_one() == 0
        with any_database.write() as connection:
            connection.execute(GROW, {"value": 7})
        assert reader.execute(COUNT).scalar_one() == 0


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_reader_changes_nothing(any_database: Database) -> None:
    with pytest.raises(errors.Busy, match="read-only"), any_database.read() as reader:
        reader.execute(GROW, {"value": 7})


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("sqlite:///some.db", "leave --database out"),
        ("mysql://user:hunter2@host/name", r"postgresql://user@host:port/database"),
        ("what is this", r"postgresql://user@host:port/database"),
        ("postgresql://user:hunter2@host", "names no database"),
        ("postgresql://user:hunter2@127.0.0.1:9/name", r"cannot open the database postgresql://user@127.0.0.1:9/name"),
    ],
)
def test_an_address_that_is_none(address: str, why: str) -> None:
    with pytest.raises(errors.StartupError, match=why) as refused:
        Database.at(address)
    assert "hunter2" not in str(refused.value)


def test_a_database_that_is_not_there(postgres: Server) -> None:
    with pytest.raises(errors.StartupError, match=r"does not exist.*createdb"):
        Database.at(postgres.url("nothing"))


def test_a_user_without_rights(postgres: Server) -> None:
    url = postgres.create(template="template0")
    setup = Database(sa.make_url(url).set(drivername="postgresql+psycopg"))
    with setup.write() as connection:
        connection.exec_driver_sql("CREATE ROLE nobody_in_particular LOGIN")
    setup.close()
    with pytest.raises(errors.StartupError, match=r"permission denied.*GRANT CREATE"):
        Database.at(url.replace("postgres@", "nobody_in_particular@"))
    postgres.drop(url)


def test_two_that_start_at_once_make_the_tables_once(postgres: Server) -> None:
    url = postgres.create(template="template0")
    made: list[Database] = []
    threads = [threading.Thread(target=lambda: made.append(Database.at(url))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 3
    for each in made:
        each.close()
    postgres.drop(url)
