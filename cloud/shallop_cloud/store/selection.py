"""Which devices are meant: those that a list shows, and those that have labels."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from shallop_cloud.store import connectivity, lagging, tables
from shallop_cloud.store.connectivity import Connectivity


@dataclasses.dataclass(frozen=True, slots=True)
class Filters:
    """What a list of devices is narrowed to; None, and no labels, stand for any.

    Attributes:
        labels: which it has, all of them.
        since: made then or later.
        lagging: whether orders do not get through to it.
    """

    labels: Mapping[str, str] = dataclasses.field(default_factory=dict[str, str])
    archived: bool | None = None
    connectivity: Connectivity | None = None
    in_sync: bool | None = None
    since: datetime.datetime | None = None
    lagging: bool | None = None


def query(connection: sa.Connection, filters: Filters, at: datetime.datetime) -> sa.Select[Any]:
    """The rows of the devices that a list shows at a time."""
    column = tables.devices.c
    select = sa.select(tables.devices)
    if filters.labels:
        select = select.where(have_labels(connection, column.id, filters.labels))
    if filters.archived is not None:
        select = select.where(column.archived_at.is_not(None) if filters.archived else column.archived_at.is_(None))
    if filters.connectivity is not None:
        select = select.where(connectivity.condition(connection, filters.connectivity, at))
    if filters.in_sync is not None:
        behind = column.reported != column.generation
        select = select.where(sa.not_(behind) if filters.in_sync else behind)
    if filters.lagging is not None:
        lags = lagging.condition(at - lagging.GRACE)
        select = select.where(lags if filters.lagging else sa.not_(lags))
    if filters.since is not None:
        select = select.where(column.created_at >= filters.since)
    return select


def labelled(connection: sa.Connection, labels: Mapping[str, str]) -> dict[str, str]:
    """The id of every device in service that has all of these labels, by name."""
    column = tables.devices.c
    query = sa.select(column.name, column.id).where(column.archived_at.is_(None)).order_by(column.name)
    query = query.where(*(column.name.in_(_names(key, value)) for key, value in labels.items()))
    return {row.name: row.id for row in connection.execute(query)}


def has_label(key: str, value: str) -> sa.ColumnElement[bool]:
    """Whether a device's row has this label."""
    label = tables.device_labels.c
    return sa.exists().where(label.device_name == tables.devices.c.name, label.key == key, label.value == value)


def have_labels(connection: sa.Connection, device: sa.Column[str], labels: Mapping[str, str]) -> sa.ColumnElement[bool]:
    """Whether the devices of a list's rows have all of these labels; ``device`` is the column of their ids.

    Devices with a rare label are looked up here. Of those that are many, one is met soon by going through the list.
    """
    others = sa.and_(*(has_label(key, value) for key, value in labels.items()))
    for key, value in labels.items():
        names = list(connection.scalars(_names(key, value).limit(_FEW + 1)))
        if len(names) <= _FEW:
            few = sa.select(tables.devices.c.id).where(tables.devices.c.name.in_(names), others)
            return device.in_(list(connection.scalars(few)))
    return others


def _names(key: str, value: str) -> sa.Select[str]:
    label = tables.device_labels.c
    return sa.select(label.device_name).where(label.key == key, label.value == value)


_FEW = 500
