"""Whether devices say that they are there."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Iterable, Mapping

import sqlalchemy as sa

from shallop_cloud.store import prepared, tables


@dataclasses.dataclass(frozen=True, slots=True)
class Presence:
    """Whether a device's connection stands, and which one was heard of last.

    Attributes:
        heard_at: when it last said that it is there; None leaves what is recorded.
    """

    online: bool
    incarnation: str | None
    connection: int
    heard_at: datetime.datetime | None = None


def load(connection: sa.Connection, ids: Iterable[str]) -> dict[str, Presence]:
    """What is recorded of the presence of these devices; unknown ids are left out."""
    column = tables.devices.c
    query = sa.select(column.id, column.online, column.presence_incarnation, column.connection)
    rows = connection.execute(query.where(column.id.in_(list(ids))))
    return {row.id: Presence(row.online, row.presence_incarnation, row.connection) for row in rows}


def save(connection: sa.Connection, changed: Mapping[str, Presence]) -> None:
    """Records presences, by device."""
    rows = [
        {
            "key": device,
            "online": presence.online,
            "presence_incarnation": presence.incarnation,
            "connection": presence.connection,
            "last_heard_at": presence.heard_at,
        }
        for device, presence in changed.items()
    ]
    _UPDATE.execute(connection, rows)


_UPDATE = prepared.update_by_id(
    tables.devices, ("online", "presence_incarnation", "connection"), kept=("last_heard_at",)
)
