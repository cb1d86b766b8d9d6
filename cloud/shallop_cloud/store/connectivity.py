"""How well a device can be reached: never recorded, always judged from what was last heard and the time."""

from __future__ import annotations

import datetime
import enum

import sqlalchemy as sa

from shallop_cloud.store import tables

HEARTBEAT = datetime.timedelta(seconds=900)
"""How often a device repeats its report unless it was set otherwise."""
SILENT_AFTER = 2.5 * HEARTBEAT


class Connectivity(enum.StrEnum):
    """Whether a device is there, as far as is known."""

    ONLINE = "online"
    """Its connection stands, and it was heard of lately."""
    SILENT = "silent"
    """Its connection is said to stand, and nothing was heard of it for two and a half heartbeats."""
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
    """Whether ``of`` gives this for a device's row at a time, in SQL."""
    column = tables.devices.c
    heard = column.last_heard_at
    match wanted:
        case Connectivity.NEVER:
            return heard.is_(None)
        case Connectivity.OFFLINE:
            return sa.and_(heard.is_not(None), sa.not_(column.online))
        case Connectivity.SILENT:
            silent = sa.and_(column.online, heard < at - SILENT_AFTER)
            if connection.dialect.name == "postgresql":  # it knows how many there are, and chooses the way
                return silent
            # Of few devices, so that they are found before anything else is asked, and then put in order.
            return column.id.in_(sa.select(column.id).where(silent))
        case Connectivity.ONLINE:
            # Of nearly all devices, so that going through the names finds them; by an index they would be sorted first.
            return sa.and_(column.online, sa.case((heard >= at - SILENT_AFTER, sa.true()), else_=sa.false()))
