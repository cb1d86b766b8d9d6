"""What happened: one row for each accepted change, written in the transaction of the change."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from shallop_cloud.store import prepared, tables


def row(
    *,
    at: datetime.datetime,
    actor: str,
    action: str,
    device_id: str | None = None,
    deployment_id: str | None = None,
    release_id: str | None = None,
    device_time: datetime.datetime | None = None,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """One row, with every column, so that rows of all kinds go in by one statement."""
    return {
        "at": at,
        "actor": actor,
        "action": action,
        "device_id": device_id,
        "deployment_id": deployment_id,
        "release_id": release_id,
        "device_time": device_time,
        "before": before,
        "after": after,
    }


def append(connection: sa.Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    """Adds rows, in order."""
    _INSERT.execute(connection, rows)


_INSERT = prepared.insert(tables.history, [column.name for column in tables.history.c if column.name != "id"])


def query(*, device: str | None = None, deployment: str | None = None) -> sa.Select[Any]:
    """The rows about one device, one deployment, or all."""
    column = tables.history.c
    select = sa.select(tables.history)
    if device is not None:
        select = select.where(column.device_id == device)
    if deployment is not None:
        select = select.where(column.deployment_id == deployment)
    return select
