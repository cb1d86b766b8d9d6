"""Which key signs for this fleet: all servers of a database have the same."""

from __future__ import annotations

import sqlalchemy as sa

from shallop_cloud.store import tables


def find(connection: sa.Connection) -> str | None:
    """The id of the key that is recorded."""
    return connection.execute(sa.select(tables.signing_key.c.keyid)).scalar()


def record(connection: sa.Connection, keyid: str) -> None:
    """Records the key of the first server."""
    connection.execute(tables.signing_key.insert().values(id=1, keyid=keyid))
