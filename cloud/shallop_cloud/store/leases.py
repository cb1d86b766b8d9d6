"""Leases: what one server may do at a time, until a moment on the database's clock."""

from __future__ import annotations

import dataclasses
from typing import Any

import sqlalchemy as sa
import sqlalchemy.ext.compiler
from sqlalchemy.dialects import postgresql
from sqlalchemy.sql import dml, functions

from shallop_cloud.store import tables

LINK = "link"
"""The lease of the connection to the broker."""


class _now(functions.FunctionElement[int]):  # noqa: N801  as SQL functions are written
    """Milliseconds since 1970 on the database's clock, at the moment when it is asked."""

    type = sa.BigInteger()
    inherit_cache = True


@sqlalchemy.ext.compiler.compiles(_now, "sqlite")  # pyright: ignore[reportUntypedFunctionDecorator]
def _now_sqlite(*_: Any, **__: Any) -> str:
    return "CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)"


@sqlalchemy.ext.compiler.compiles(_now, "postgresql")  # pyright: ignore[reportUntypedFunctionDecorator]
def _now_postgresql(*_: Any, **__: Any) -> str:
    return "CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT)"


@dataclasses.dataclass(frozen=True, slots=True)
class Lease:
    """Who holds a lease, for which term, and whether it is connected to the broker."""

    holder: str
    term: int
    connected: bool


def take(connection: sa.Connection, name: str, holder: str, lifetime_ms: int, *, connected: bool) -> int | None:
    """Takes a lease that nobody holds, or holds on to one's own for so long from now. Gives the term, which rises with
    every new holder; None if another holds it.
    """
    values = {"holder": holder, "lifetime": lifetime_ms, "connected": connected}
    return connection.execute(_TAKE, {"name": name, **values}).scalar()


def release(connection: sa.Connection, name: str, holder: str) -> None:
    """Gives a lease back at once, if one holds it."""
    column = tables.leases.c
    mine = tables.leases.update().where(column.name == name, column.holder == holder)
    connection.execute(mine.values(expires_ms=0, connected=False))


def held(connection: sa.Connection, name: str) -> Lease | None:
    """Who holds a lease now."""
    column = tables.leases.c
    query = sa.select(column.holder, column.term, column.connected).where(
        column.name == name, column.expires_ms > _now()
    )
    row = connection.execute(query).one_or_none()
    return None if row is None else Lease(row.holder, row.term, row.connected)


def _take() -> dml.ReturningInsert[int]:
    column = tables.leases.c
    insert = postgresql.insert(tables.leases).values(  # SQLite takes the same clauses
        name=sa.bindparam("name"),
        holder=sa.bindparam("holder"),
        term=1,
        expires_ms=_now() + sa.bindparam("lifetime", type_=sa.BigInteger),
        connected=sa.bindparam("connected"),
    )
    mine = column.holder == insert.excluded.holder
    return insert.on_conflict_do_update(
        index_elements=[column.name],
        set_={
            "holder": insert.excluded.holder,
            "term": column.term + sa.case((mine, 0), else_=1),
            "expires_ms": insert.excluded.expires_ms,
            "connected": insert.excluded.connected,
        },
        where=sa.or_(mine, column.expires_ms <= _now()),
    ).returning(column.term)


_TAKE = _take()
