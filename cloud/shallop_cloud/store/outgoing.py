"""Devices for which something is to go to the broker, and the record that it did.

Nothing is queued: who is due is found by comparing what is recorded, so a crash at any point loses nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import sqlalchemy as sa

from shallop_cloud.store import devices, prepared, tables


def unpublished(connection: sa.Connection, limit: int, *, tidying: bool) -> list[str]:
    """Devices whose newest order has not left for the broker; none that is revoked.

    Args:
        tidying: those whose order only tidies up: what it names is in force already. Otherwise the others.
    """
    column = tables.devices.c
    query = sa.select(column.id).where(
        column.published < column.generation, column.tidying == tidying, column.revoked_at.is_(None)
    )
    return list(connection.scalars(query.limit(limit)))


def has_unpublished(connection: sa.Connection, *, tidying: bool) -> bool:
    """Whether there is one at least."""
    return bool(unpublished(connection, 1, tidying=tidying))


def out_of_sync(connection: sa.Connection, after: str, limit: int) -> list[str]:
    """Devices that have not answered their newest order, by id, beginning behind ``after``; none that is revoked."""
    column = tables.devices.c
    query = (
        sa.select(column.id)
        .where(column.reported != column.generation, column.id > after, column.revoked_at.is_(None))
        .order_by(column.id)
        .limit(limit)
    )
    return list(connection.scalars(query))


def mark_published(connection: sa.Connection, ids: Sequence[str]) -> None:
    """Records that the newest order of these devices may be on its way from now on; holds them."""
    devices.hold(connection, ids)
    connection.execute(_MARK_PUBLISHED, {"ids": ids})


_MARK_PUBLISHED = (
    tables.devices.update()
    .where(prepared.among(tables.devices.c.id, "ids"), tables.devices.c.published < tables.devices.c.generation)
    .values(published=tables.devices.c.generation)
)


def revoked_among(connection: sa.Connection, ids: Iterable[str]) -> set[str]:
    """Those of these devices that are revoked."""
    return set(connection.scalars(_REVOKED_AMONG, {"ids": list(ids)}))


_REVOKED_AMONG = sa.select(tables.devices.c.id).where(
    tables.devices.c.revoked_at.is_not(None), prepared.among(tables.devices.c.id, "ids")
)


def revoked(connection: sa.Connection, after: str, limit: int) -> list[str]:
    """Devices that are revoked, by id, beginning behind ``after``."""
    column = tables.devices.c
    query = sa.select(column.id).where(column.revoked_at.is_not(None), column.id > after)
    return list(connection.scalars(query.order_by(column.id).limit(limit)))


def unpurged(connection: sa.Connection, limit: int) -> list[str]:
    """Devices that are revoked, and of which the broker was not told to forget what it keeps."""
    column = tables.devices.c
    query = sa.select(column.id).where(column.revoked_at.is_not(None), sa.not_(column.purged))
    return list(connection.scalars(query.limit(limit)))


def mark_purged(connection: sa.Connection, ids: Sequence[str]) -> None:
    """Records that the broker was told so of these devices."""
    connection.execute(_MARK_PURGED, {"ids": ids})


_MARK_PURGED = (
    tables.devices.update()
    .where(prepared.among(tables.devices.c.id, "ids"), tables.devices.c.revoked_at.is_not(None))
    .values(purged=True)
)
