"""What a new key list asks of devices: the epoch that orders must have, and seals by keys that count.

Both are found by comparing what is recorded of each device with the list, so a crash at any point loses nothing.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence

import sqlalchemy as sa
from shallop_protocol import cloud, keys

from shallop_cloud.store import devices, prepared, tables
from shallop_cloud.store.devices import Cause, Change


def below(connection: sa.Connection, epoch: int, limit: int) -> list[str]:
    """Devices of an earlier epoch."""
    column = tables.devices.c
    return list(connection.scalars(sa.select(column.id).where(column.epoch < epoch).limit(limit)))


def raise_many(connection: sa.Connection, ids: Sequence[str], listed: keys.KeyList, cause: Cause) -> None:
    """Issues the orders of these devices anew in the epoch of a key list.

    They are unanswered then, and so are published, and asserted again, until the robots have them.
    """
    epoch = listed.epoch
    known = devices.load_many(connection, ids)
    changes = [Change(each, cloud.raise_epoch(each, epoch), cause) for each in known.values() if each.epoch < epoch]
    moved = devices.save_many(connection, changes)
    assert not moved, "an epoch changes no status"
    mark_sealed(connection, [change.after.id for change in changes], listed.version)


def sealed_before(connection: sa.Connection, version: int, limit: int) -> list[str]:
    """Devices for which something may lie on the broker that was sealed under an earlier key list than this."""
    column = tables.devices.c
    query = sa.select(column.id).where(column.sealed < version, column.generation > 0)
    return list(connection.scalars(query.limit(limit)))


def mark_sealed(connection: sa.Connection, ids: Sequence[str], version: int) -> None:
    """Records that what lies on the broker for these devices is of this key list."""
    connection.execute(_MARK_SEALED, {"ids": ids, "version": version})


_MARK_SEALED = (
    tables.devices.update()
    .where(prepared.among(tables.devices.c.id, "ids"))
    .values(sealed=sa.bindparam("version", type_=sa.BigInteger))
)


def by_version(connection: sa.Connection) -> dict[int, int]:
    """How many enrolled devices in service go by which key list."""
    column = tables.devices.c
    query = sa.select(column.key_list, sa.func.count()).where(*_IN_USE).group_by(column.key_list)
    return {row[0]: row[1] for row in connection.execute(query)}


def behind(connection: sa.Connection, version: int, since: datetime.datetime, limit: int) -> list[str]:
    """The names of devices that were heard of since then, and go by an earlier key list than this."""
    column = tables.devices.c
    query = sa.select(column.name).where(*_IN_USE, column.key_list < version, column.last_heard_at >= since)
    return list(connection.scalars(query.order_by(column.name).limit(limit)))


def has_behind(connection: sa.Connection, version: int) -> bool:
    """Whether a device is online and goes by an earlier key list than this."""
    column = tables.devices.c
    query = sa.select(column.id).where(*_IN_USE, column.online, column.key_list < version).limit(1)
    return connection.execute(query).first() is not None


def count_before(connection: sa.Connection, listed: keys.KeyList) -> int:
    """For how many devices something may lie on the broker of an earlier list or epoch."""
    column = tables.devices.c
    sealed = sa.and_(column.sealed < listed.version, column.generation > 0)
    query = sa.select(sa.func.count()).select_from(tables.devices).where(sa.or_(sealed, column.epoch < listed.epoch))
    return connection.execute(query).scalar_one()


_IN_USE = (
    tables.devices.c.enrolled_at.is_not(None),
    tables.devices.c.archived_at.is_(None),
    tables.devices.c.revoked_at.is_(None),
)
