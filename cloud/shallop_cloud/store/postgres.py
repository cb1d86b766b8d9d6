"""What is particular to PostgreSQL."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
import sqlalchemy.exc
from sqlalchemy.pool import ConnectionPoolEntry

from shallop_cloud import errors

FORM = "write it as postgresql://user@host:port/database; the password comes from PGPASSWORD, ~/.pgpass or the address"
HINT = (
    "check that the server runs, that the database is there (createdb), and that this user may make tables in it: "
    "GRANT CREATE ON SCHEMA public TO the user, or make it the database's owner"
)
_DRIVER = "postgresql+psycopg"
_SCHEMES = ("postgresql", "postgres", _DRIVER)

ENGINE: dict[str, Any] = {
    "pool_pre_ping": True,
    "connect_args": {
        "application_name": "shallop",
        "connect_timeout": 5,
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 3,
        "tcp_user_timeout": 15_000,
    },
}
"""A connection is tried before it is used, so that a restart of the server costs the requests under way and no more.
Times in seconds, the last in milliseconds: a server that vanished without a word is noticed.
"""

READS: dict[str, Any] = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
"""One state for a whole transaction."""

_SESSION = """
SET statement_timeout = '30s'; SET lock_timeout = '15s'; SET idle_in_transaction_session_timeout = '60s';
SET random_page_cost = 1.1; SET max_parallel_workers_per_gather = 0
"""
_TURNS = 0x5A110B
"""The number of our advisory lock."""

_MAY_PASS = ("08", "40", "53", "57P")
"""How these SQLSTATEs begin: connection, rolled back for another's sake, out of resources, stopped by an operator."""
_LOCK_TIMEOUT = "55P03"
_READ_ONLY = "25006"
"""The server became a standby, or is one."""


def parse(address: str) -> sa.URL:
    """What ``--database`` says, for SQLAlchemy.

    Raises:
        errors.StartupError: it is not the address of a PostgreSQL database, or the driver is not installed.
    """
    try:
        url = sa.make_url(address)
    except (sqlalchemy.exc.ArgumentError, ValueError):
        raise errors.StartupError("the database's address is not a URL", FORM) from None
    if url.get_backend_name() == "sqlite":
        words = "SQLite needs no address: it is in the data directory"
        raise errors.StartupError(words, "leave --database out, and name the directory with --data")
    if url.drivername not in _SCHEMES:
        raise errors.StartupError(f"{url.drivername}: is not a database that shallop knows", FORM)
    if not url.database:
        raise errors.StartupError("the address names no database", FORM)
    try:
        import psycopg  # noqa: F401  # pyright: ignore[reportUnusedImport]
    except ImportError as error:
        words = f"the driver for PostgreSQL is not installed ({error})"
        raise errors.StartupError(words, "pip install 'shallop-cloud[postgres]'") from None
    return url.set(drivername=_DRIVER)


def shown(url: sa.URL) -> str:
    """An address without its password and its options."""
    return sa.URL.create("postgresql", url.username, None, url.host, url.port, url.database).render_as_string()


def prepare(connection: Any, _: ConnectionPoolEntry) -> None:  # Any: psycopg is there only if it is wanted
    """What every session is told first.

    Nobody waits for ever. A page of a list is the beginning of an index, so reading here and there costs little: with
    the price that a spinning disk would have, the planner goes through a whole fleet in the order of time instead, with
    several processes.
    """
    connection.execute(_SESSION)
    connection.commit()


def take_turns(connection: sa.Connection) -> None:
    """Waits for the advisory lock of all servers, however long it takes, and holds it until the transaction ends.

    Raises:
        errors.StartupError: the database keeps text in another encoding than UTF-8.
    """
    connection.exec_driver_sql("SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0")
    connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_TURNS)))
    encoding = connection.exec_driver_sql("SHOW server_encoding").scalar_one()
    if encoding != "UTF8":
        words = f"the database {shown(connection.engine.url)} has the encoding {encoding}"
        raise errors.StartupError(words, "make one with: createdb --encoding=UTF8 --template=template0 NAME")


def may_pass(error: sqlalchemy.exc.DBAPIError) -> bool:
    """Whether an error is of the moment: the server is away or overloaded, or another transaction came first."""
    state: str | None = getattr(error.orig, "sqlstate", None)
    if state is None:
        return isinstance(error, sqlalchemy.exc.OperationalError)
    return state.startswith(_MAY_PASS) or state in (_LOCK_TIMEOUT, _READ_ONLY)
