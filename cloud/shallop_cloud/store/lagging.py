"""Devices whose orders do not get through although the broker says that all is well: never recorded as such, always
judged from what was last heard and the time.

A device's report is the proof: it was made after the order was out, and knows only an earlier one; or it says that
nothing fresh reaches it. A broker that holds orders back is found so, whatever it says of itself.
"""

from __future__ import annotations

import dataclasses
import datetime
import enum
from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa

from shallop_cloud.store import prepared, tables

GRACE = datetime.timedelta(minutes=2)
"""An order and a report may cross. A device that is connected answers within seconds."""


class Reason(enum.StrEnum):
    """Why a device lags, as far as it can be seen from here."""

    STALE = "stale"
    """It says that nothing fresh reaches it."""
    REFUSED = "refused"
    """It got something, and refused it."""
    NOT_RECEIVED = "not_received"
    """It reports, and does not have the order that is out."""


@dataclasses.dataclass(frozen=True, slots=True)
class Said:
    """What a report says of what reaches the device.

    Attributes:
        keys: the version of the key list that it goes by.
        stale: it says that nothing fresh reaches it.
        behind: an order was out that it does not know.
        moved: it knows a later one than the report before.
    """

    device: str
    keys: int
    stale: bool
    behind: bool
    moved: bool


def record(connection: sa.Connection, said: Iterable[Said], at: datetime.datetime) -> None:
    """Records what the reports say that came now, in their order."""
    rows = [
        {
            "device": each.device,
            "said_keys": each.keys,
            "said_stale": each.stale,
            "lags": each.stale or each.behind,
            "anew": each.moved,
            "at": at,
        }
        for each in said
    ]
    _RECORD.execute(connection, rows)


_COLUMN = tables.devices.c
_LAGS: sa.BindParameter[bool] = sa.bindparam("lags", type_=sa.Boolean)
_ANEW: sa.BindParameter[bool] = sa.bindparam("anew", type_=sa.Boolean)
_AT: sa.BindParameter[datetime.datetime] = sa.bindparam("at", type_=tables.Time)
_KEYS: sa.BindParameter[int] = sa.bindparam("said_keys", type_=sa.BigInteger)
_STALE: sa.BindParameter[bool] = sa.bindparam("said_stale", type_=sa.Boolean)
_SINCE = sa.case((sa.not_(_LAGS), sa.null()), (_ANEW, _AT), else_=sa.func.coalesce(_COLUMN.lagging_since, _AT))
_NEWS = sa.or_(
    _COLUMN.key_list != _KEYS,
    _COLUMN.stale != _STALE,
    sa.and_(_COLUMN.lagging_since.is_(None), _LAGS),
    sa.and_(_COLUMN.lagging_since.is_not(None), sa.or_(sa.not_(_LAGS), _ANEW)),
)
_RECORD = prepared.Prepared(
    tables.devices.update()
    .where(_COLUMN.id == sa.bindparam("device"), _NEWS)
    .values(key_list=_KEYS, stale=_STALE, lagging_since=_SINCE)
)
"""Nearly every report changes none of it, and no row is written then."""


def of(row: sa.RowMapping, at: datetime.datetime) -> Reason | None:
    """Why the device of a row lags at a time; None if it does not. Since when is in the row."""
    if row["lagging_since"] is None:
        return None
    if row["stale"]:
        return Reason.STALE
    behind = row["reported"] < row["generation"] == row["published"]
    if not behind or not row["online"] or at - row["lagging_since"] < GRACE:
        return None
    report: dict[str, Any] = row["report"] or {}
    return Reason.REFUSED if report.get("refused") else Reason.NOT_RECEIVED


def condition(at: Any) -> sa.ColumnElement[bool]:
    """Whether ``of`` gives a reason for a device's row, in SQL. ``at``: the time, or a bind for it, less ``GRACE``."""
    behind = sa.and_(
        _COLUMN.reported < _COLUMN.generation,
        _COLUMN.generation == _COLUMN.published,
        _COLUMN.online,
        _COLUMN.lagging_since <= at,
    )
    return sa.and_(_COLUMN.lagging_since.is_not(None), sa.or_(_COLUMN.stale, behind))
