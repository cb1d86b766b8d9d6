"""How well a device can be reached: never recorded, always judged from what was last heard and the time."""

from __future__ import annotations

import datetime
import enum

import sqlalchemy as sa

from shallop_cloud.store import tables

PRESENCE = datetime.timedelta(seconds=3600)
"""How often a device says that it is there, unless it was set otherwise."""
SILENT_AFTER = 2.5 * PRESENCE
FEW = 1_000
"""So many devices at most are looked up by their ids."""


class Connectivity(enum.StrEnum):
    """Whether a device is there, as far as is known."""

    ONLINE = "online"
    """Its connection stands, and it was heard of lately."""
    SILENT = "silent"
    """Its connection is said to stand, and nothing was heard of it for two and a half hours."""
    OFFLINE = "offline"
    """Its connection ended."""
    NEVER = "never"
    """Nothing was ever heard of it."""


def of(row: sa.RowMapping, at: datetime.datetime) -> Connectivity:
    """The connectivity of a device's row at a time."""
    if row["last_heard_at"] is None:
        return Connectivity.NEVER
    if not row["online"]:
        return Connectivity.OFFLINE
    return Connectivity.SILENT if at - row["last_heard_at"] > SILENT_AFTER else Connectivity.ONLINE


def condition(connection: sa.Connection, wanted: Connectivity, at: datetime.datetime) -> sa.ColumnElement[bool]:
    """Whether ``of`` gives this for a device's row at a time, in SQL for this connection."""
    column = tables.devices.c
    heard = column.last_heard_at
    match wanted:
        case Connectivity.NEVER:
            return heard.is_(None)
        case Connectivity.OFFLINE:
            return sa.and_(heard.is_not(None), sa.not_(column.online))
        case Connectivity.SILENT:
            # Mostly of few devices: an index finds them before anything else is asked. Of many, going through the names
            # finds enough. No planner knows which of the two it is.
            silent = sa.and_(column.online, heard < at - SILENT_AFTER)
            few = connection.scalars(sa.select(column.id).where(silent).limit(FEW + 1)).all()
            return column.id.in_(few) if len(few) <= FEW else silent
        case Connectivity.ONLINE:
            # Of nearly all devices, so that going through the names finds them; by an index they would be sorted first.
            return sa.and_(column.online, sa.case((heard >= at - SILENT_AFTER, sa.true()), else_=sa.false()))
