"""The fleet in numbers."""

from __future__ import annotations

import dataclasses
import datetime

import sqlalchemy as sa
from shallop_protocol.statuses import Activity, Error

from shallop_cloud.store import lagging, tables


@dataclasses.dataclass(frozen=True, slots=True)
class Counts:
    """How many devices there are, are online, have answered their newest order, and lag; and how many deployments of
    each merged status there are that are not off their device yet.
    """

    devices: int
    online: int
    in_sync: int
    lagging: int
    deployments: dict[str, int]


def count(connection: sa.Connection, at: datetime.datetime) -> Counts:
    """Counts what is recorded at a time."""
    bound = {"settled": at - lagging.GRACE}
    devices, online, behind, lags, live, *others = connection.execute(_COUNTS, bound).one()
    by_status = dict(zip((*_ACTIVITIES, *_ERRORS), others, strict=True))
    by_status[Activity.DEPLOYED.value] = live - sum(others)
    counts = {status: number for status, number in by_status.items() if number}
    return Counts(devices, online, devices - behind, lags, counts)


def _number(of: sa.Table, *conditions: sa.ColumnElement[bool]) -> sa.ScalarSelect[int]:
    return sa.select(sa.func.count()).select_from(of).where(*conditions).scalar_subquery()


_DEVICE, _DEPLOYMENT = tables.devices.c, tables.deployments.c
_ACTIVITIES = [activity.value for activity in Activity if activity not in (Activity.ARCHIVED, Activity.DEPLOYED)]
_ERRORS = [error.value for error in Error if error is not Error.NONE]
_ARCHIVED: sa.ColumnClause[str] = sa.literal_column("'archived'")
_IN_ERROR = _DEPLOYMENT.error != sa.literal_column("'none'"), _DEPLOYMENT.activity != _ARCHIVED
"""Written with literals, as the indexes have it."""
_COUNTS = sa.select(
    _number(tables.devices),
    _number(tables.devices, _DEVICE.online),
    _number(tables.devices, _DEVICE.reported != _DEVICE.generation),
    _number(tables.devices, lagging.condition(sa.bindparam("settled", type_=tables.Time))),
    _number(tables.deployments, _DEPLOYMENT.activity != _ARCHIVED),
    *(_number(tables.deployments, tables.merged_status == status) for status in _ACTIVITIES),
    *(_number(tables.deployments, *_IN_ERROR, _DEPLOYMENT.error == status) for status in _ERRORS),
)
"""Each number by itself, since each has an index that holds little more than what is counted. What is in force has
none: it is what is left of the live ones.
"""
