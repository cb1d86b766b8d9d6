"""One database: SQLite in a data directory, or whatever SQLAlchemy URL is given."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Generator
from pathlib import Path
from typing import Any

import sqlalchemy as sa
import sqlalchemy.event
import sqlalchemy.exc
from sqlalchemy.pool import ConnectionPoolEntry

from shallop_cloud import errors

MIGRATIONS = Path(__file__).parent / "migrations"


class Database:
    """A pool of connections, and transactions on them.

    On SQLite a write transaction begins with ``BEGIN IMMEDIATE``, so that reading first and writing later never
    fails with *database is locked*. Writers of this process queue for a lock of ours: SQLite would have them sleep
    for up to 100 ms, again and again, and who sleeps longest waits longest. Those of another process wait so, up to
    ``BUSY_SECONDS``.
    """

    BUSY_SECONDS = 30

    def __init__(self, url: str) -> None:
        self.engine = sa.create_engine(url, pool_size=8, max_overflow=8, pool_timeout=60, pool_use_lifo=True)
        if self.engine.dialect.name == "sqlite":
            sqlalchemy.event.listen(self.engine, "connect", _prepare_sqlite)
            sqlalchemy.event.listen(self.engine, "begin", _begin_sqlite)
        self._writers = threading.Lock() if self.engine.dialect.name == "sqlite" else contextlib.nullcontext()
        self._reader = self.engine.execution_options(shallop_reads=True)

    @classmethod
    def in_directory(cls, directory: Path) -> Database:
        """The SQLite database of a data directory, brought up to date."""
        database = cls(f"sqlite:///{directory / 'shallop.db'}")
        database.migrate()
        return database

    @contextlib.contextmanager
    def write(self) -> Generator[sa.Connection]:
        """A transaction that commits when the block ends, and leaves nothing behind when it raises."""
        with self._writers, self.engine.begin() as connection:
            yield connection

    @contextlib.contextmanager
    def read(self) -> Generator[sa.Connection]:
        """A transaction that sees one state of the database and changes nothing."""
        with self._reader.begin() as connection:
            yield connection

    def migrate(self) -> None:
        """Brings the tables to the newest revision.

        Raises:
            errors.StartupError: the database was written by a newer shallop, or cannot be read.
        """
        try:
            with self.engine.begin() as connection:
                if self._revision(connection) != newest_revision():
                    _upgrade(connection)
        except sqlalchemy.exc.DBAPIError as error:
            raise errors.StartupError(
                f"cannot open the database {self.engine.url}: {error.orig}", "check the path, its owner and its disk"
            ) from error

    def _revision(self, connection: sa.Connection) -> str | None:
        """What the database says that it is."""
        if not sa.inspect(connection).has_table("alembic_version"):
            return None
        return connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar()

    def close(self) -> None:
        """Closes all connections."""
        self.engine.dispose()


def newest_revision() -> str:
    """The revision that this shallop's migrations lead to; their files begin with its number."""
    return max(path.name.partition("_")[0] for path in (MIGRATIONS / "versions").glob("[0-9]*.py"))


def _upgrade(connection: sa.Connection) -> None:
    """Runs the migrations. Alembic is loaded here, so that an ordinary start does without it."""
    import alembic.command
    import alembic.config
    import alembic.util

    config = alembic.config.Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    try:
        alembic.command.upgrade(config, "head")
    except alembic.util.CommandError as error:
        raise errors.StartupError(
            f"the database has a revision that this shallop does not know ({error})",
            "use the shallop that wrote it, or a newer one",
        ) from error


def _prepare_sqlite(connection: sqlite3.Connection, _: ConnectionPoolEntry) -> None:
    connection.isolation_level = None
    for pragma in (
        "journal_mode = WAL",
        "synchronous = FULL",
        "foreign_keys = ON",
        f"busy_timeout = {Database.BUSY_SECONDS * 1000}",
        "cache_size = -32768",
    ):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: sa.Connection) -> None:
    options: Any = connection.get_execution_options()  # an immutable mapping of anything
    connection.exec_driver_sql("BEGIN" if options.get("shallop_reads") else "BEGIN IMMEDIATE")
