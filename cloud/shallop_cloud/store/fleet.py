"""The fleet in numbers."""

from __future__ import annotations

import dataclasses

import sqlalchemy as sa
from shallop_protocol.statuses import Activity, Error

from shallop_cloud.store import tables


@dataclasses.dataclass(frozen=True, slots=True)
class Counts:
    """How many devices there are, are online, and have answered their newest order; and how many deployments of each
    merged status there are that are not off their device yet.
    """

    devices: int
    online: int
    in_sync: int
    deployments: dict[str, int]


def count(connection: sa.Connection) -> Counts:
    """Counts what is recorded now."""
    device, deployment = tables.devices.c, tables.deployments.c
    devices, online, behind = connection.execute(
        sa.select(
            sa.func.count(),
            sa.func.count().filter(device.online),
            sa.func.count().filter(device.reported != device.generation),
        ).select_from(tables.devices)
    ).one()
    merged = sa.case((deployment.error == Error.NONE.value, deployment.activity), else_=deployment.error)
    query = sa.select(merged, sa.func.count()).where(deployment.activity != Activity.ARCHIVED.value).group_by(merged)
    statuses = [(status, number) for status, number in connection.execute(query)]
    return Counts(devices, online, devices - behind, dict(statuses))
