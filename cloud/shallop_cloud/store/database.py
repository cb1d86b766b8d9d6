"""One database: SQLite in a data directory, or a PostgreSQL that several servers share."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import sqlalchemy as sa
import sqlalchemy.event
import sqlalchemy.exc
from sqlalchemy.pool import ConnectionPoolEntry

from shallop_cloud import errors, files
from shallop_cloud.store import postgres

MIGRATIONS = Path(__file__).parent / "migrations"


class Database:
    """A pool of connections, and transactions on them.

    On SQLite a write transaction begins with ``BEGIN IMMEDIATE``, so that reading first and writing later never
    fails with *database is locked*. Writers of this process queue for a lock of ours: SQLite would have them sleep
    for up to 100 ms, again and again, and who sleeps longest waits longest. Those of another process wait so, up to
    ``BUSY_SECONDS``.

    On PostgreSQL writers run beside each other, and who reads to write locks the rows first (``devices.hold``).

    Attributes:
        is_shared: other servers may use it at the same time.
    """

    BUSY_SECONDS = 30

    def __init__(self, url: str | sa.URL) -> None:
        # An error does not say its parameters: it may be logged, and they may be secret.
        pool = {"pool_size": 8, "max_overflow": 8, "pool_timeout": 60, "pool_use_lifo": True, "hide_parameters": True}
        self.is_shared = sa.make_url(url).get_backend_name() == "postgresql"
        if self.is_shared:
            self.engine = sa.create_engine(url, **pool, **postgres.ENGINE)
            sqlalchemy.event.listen(self.engine, "connect", postgres.prepare)
            self._writers = contextlib.nullcontext()
            self._reader = self.engine.execution_options(shallop_reads=True, **postgres.READS)
        else:
            self.engine = sa.create_engine(url, **pool)
            sqlalchemy.event.listen(self.engine, "connect", _prepare_sqlite)
            sqlalchemy.event.listen(self.engine, "begin", _begin_sqlite)
            self._writers = threading.Lock()
            self._reader = self.engine.execution_options(shallop_reads=True)
        self._here = _Here()

    @classmethod
    def in_directory(cls, directory: Path) -> Database:
        """The SQLite database of a data directory, brought up to date."""
        return cls._up_to_date(f"sqlite:///{directory / files.DATABASE}")

    @classmethod
    def at(cls, address: str) -> Database:
        """The PostgreSQL database at an address, brought up to date.

        Raises:
            errors.StartupError: it is none, cannot be reached or used, or its driver is not installed.
        """
        return cls._up_to_date(postgres.parse(address))

    @classmethod
    def _up_to_date(cls, url: str | sa.URL) -> Database:
        database = cls(url)
        try:
            database.migrate()
        except BaseException:
            database.close()
            raise
        return database

    @property
    def address(self) -> str:
        """Where it is, as it may be shown."""
        return postgres.shown(self.engine.url) if self.is_shared else str(self.engine.url)

    @contextlib.contextmanager
    def write(self) -> Generator[sa.Connection]:
        """A transaction that commits when the block ends, and leaves nothing behind when it raises.

        Raises:
            errors.Busy: the database is away or overloaded, or this transaction lost to another; it may be repeated.
            errors.Invalid: ``value_invalid``, a value that this database cannot keep: for PostgreSQL, a text with NUL.
        """
        part = self._transaction() if self._here.whole is None else self._here.whole.part()
        with self._answering(), part as connection:
            yield connection

    @contextlib.contextmanager
    def read(self) -> Generator[sa.Connection]:
        """A transaction that sees one state of the database and changes nothing. Raises as ``write`` does."""
        if self._here.whole is not None and self._here.whole.connection is not None:
            yield self._here.whole.connection
            return
        with self._answering(), self._reader.begin() as connection:
            yield connection

    @contextlib.contextmanager
    def as_one(self, first: Callable[[sa.Connection], None]) -> Generator[None]:
        """Makes one transaction of all that this thread writes in the block; it commits when the block ends.

        It begins with the first ``write``, and with ``first``. From then on this thread reads what it has written.
        Raises as ``write`` does.
        """
        assert self._here.whole is None, "a whole is no part of another"
        stack = contextlib.ExitStack()
        whole = self._here.whole = _Whole(lambda: stack.enter_context(self._transaction()), first)
        try:
            with self._answering(), stack:
                yield
        finally:
            self._here.whole = None
        for act in whole.afterwards:
            act()

    def after_commit(self, act: Callable[[], None]) -> None:
        """Calls ``act`` when what this thread has written is committed: now, unless ``as_one`` holds it open."""
        if self._here.whole is None:
            act()
        else:
            self._here.whole.afterwards.append(act)

    @contextlib.contextmanager
    def _transaction(self) -> Generator[sa.Connection]:
        with self._writers, self.engine.begin() as connection:
            yield connection

    @contextlib.contextmanager
    def _answering(self) -> Generator[None]:
        """What the database refuses for a reason that a caller can do something about is an answer."""
        try:
            yield
        except sqlalchemy.exc.DataError as error:
            raise errors.Invalid("value_invalid", f"a value cannot be kept: {_said(error)}") from error
        except sqlalchemy.exc.TimeoutError as error:
            raise errors.Busy(f"all {self.engine.pool.status()} connections are in use") from error
        except sqlalchemy.exc.DBAPIError as error:
            if not _may_pass(error):
                raise
            raise errors.Busy(_said(error)) from error

    def take_turns(self, connection: sa.Connection) -> None:
        """Until its transaction ends, no other server is between these two points. For what is done at a start."""
        if self.is_shared:
            postgres.take_turns(connection)

    def migrate(self) -> None:
        """Brings the tables to the newest revision.

        Raises:
            errors.StartupError: the database was written by a newer shallop, or cannot be read.
        """
        try:
            with self.engine.begin() as connection:
                self.take_turns(connection)
                if self._revision(connection) != newest_revision():
                    _upgrade(connection)
        except sqlalchemy.exc.DBAPIError as error:
            hint = postgres.HINT if self.is_shared else "check the path, its owner and its disk"
            words = " ".join(str(error.orig).split())
            raise errors.StartupError(f"cannot open the database {self.address}: {words}", hint) from error

    def _revision(self, connection: sa.Connection) -> str | None:
        """What the database says that it is."""
        if not sa.inspect(connection).has_table("alembic_version"):
            return None
        return connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar()

    def close(self) -> None:
        """Closes all connections."""
        self.engine.dispose()


class _Whole:
    """One transaction that is made of several."""

    def __init__(self, begin: Callable[[], sa.Connection], first: Callable[[sa.Connection], None]) -> None:
        self.connection: sa.Connection | None = None
        self.afterwards: list[Callable[[], None]] = []
        self._begin = begin
        self._first = first

    @contextlib.contextmanager
    def part(self) -> Generator[sa.Connection]:
        """A part of it, which leaves nothing behind when it raises."""
        if self.connection is None:
            self.connection = self._begin()
            self._first(self.connection)
        with self.connection.begin_nested():
            yield self.connection


class _Here(threading.local):
    """What the present thread makes one transaction of."""

    whole: _Whole | None = None


def only_reads(connection: sa.Connection) -> bool:
    """Whether this is a transaction of ``Database.read``."""
    options: Any = connection.get_execution_options()  # an immutable mapping of anything
    return bool(options.get("shallop_reads"))


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


def _said(error: sqlalchemy.exc.DBAPIError) -> str:
    """The first line of what the driver says, which names no values."""
    return str(error.orig).strip().partition("\n")[0]


def _may_pass(error: sqlalchemy.exc.DBAPIError) -> bool:
    """Whether the same transaction may do better in a while."""
    if isinstance(error.orig, sqlite3.OperationalError):
        return error.orig.sqlite_errorcode in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
    return error.connection_invalidated or postgres.may_pass(error)


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
    connection.exec_driver_sql("BEGIN" if only_reads(connection) else "BEGIN IMMEDIATE")
