"""The key list in force and the roots that sign it, one for all servers of a database. No private half is here."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from shallop_cloud.store import tables


@dataclasses.dataclass(frozen=True, slots=True)
class Recorded:
    """What is recorded.

    Attributes:
        roots: public keys, in base64.
        threshold: so many of them sign a list together.
        version, epoch: what the list says.
        envelope: the list as it travels.
    """

    roots: Sequence[str]
    threshold: int
    version: int
    epoch: int
    envelope: str


def find(connection: sa.Connection, *, hold: bool = False) -> Recorded | None:
    """What is recorded; None before the first start of a server. ``hold`` keeps others from changing it meanwhile."""
    column = tables.key_list.c
    query = sa.select(column.roots, column.threshold, column.version, column.epoch, column.envelope)
    if hold and connection.dialect.name != "sqlite":
        query = query.with_for_update()
    row = connection.execute(query).first()
    return None if row is None else Recorded(*row)


def newest(connection: sa.Connection) -> tuple[int, int]:
    """Version and epoch of the list in force; (0, 1) before the first start of a server."""
    row: Any = connection.execute(_NEWEST).first()  # any: the columns of the statement
    return (0, 1) if row is None else (row[0], row[1])


_NEWEST = sa.select(tables.key_list.c.version, tables.key_list.c.epoch)


def record(connection: sa.Connection, first: Recorded, at: datetime.datetime) -> None:
    """Records the first list, and its roots for ever."""
    row = {**dataclasses.asdict(first), "roots": list(first.roots), "id": 1, "changed_at": at}
    connection.execute(tables.key_list.insert().values(row))


def renew(connection: sa.Connection, version: int, epoch: int, envelope: str, at: datetime.datetime) -> None:
    """Puts a list in the place of the one before it."""
    values = {"version": version, "epoch": epoch, "envelope": envelope, "changed_at": at}
    connection.execute(tables.key_list.update().values(values))
