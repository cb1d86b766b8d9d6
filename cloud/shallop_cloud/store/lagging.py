"""Devices whose orders do not get through although the broker says that all is well: never recorded as such, always
judged from what was last heard and the time.

A device's report is the proof: it was made after the order was out, and knows only an earlier one; or it says that
nothing fresh reaches it. A broker that holds orders back is found so, whatever it says of itself.
"""

from __future__ import annotations

import dataclasses
import datetime
import enum
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from shallop_cloud.store import tables

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

    keys: int
    stale: bool
    behind: bool
    moved: bool


_COLUMN = tables.devices.c
_LAGS, _ANEW, _STALE = (sa.cast(sa.bindparam(name), sa.Boolean) for name in ("lags", "anew", "said_stale"))
"""Cast, because PostgreSQL has no other way to know the type of a null."""
_AT: sa.BindParameter[datetime.datetime] = sa.bindparam("at", type_=tables.Time)
VALUES: Mapping[str, sa.ColumnElement[Any]] = {
    "key_list": sa.func.coalesce(sa.bindparam("said_keys", type_=sa.BigInteger), _COLUMN.key_list),
    "stale": sa.func.coalesce(_STALE, _COLUMN.stale),
    "lagging_since": sa.case(
        (_LAGS.is_(None), _COLUMN.lagging_since),
        (sa.not_(_LAGS), sa.null()),
        (_ANEW, _AT),
        else_=sa.func.coalesce(_COLUMN.lagging_since, _AT),
    ),
}
"""What becomes of a device's columns when a report says something, for the statement that writes the rest of it."""


def row(said: Said | None, at: datetime.datetime) -> dict[str, Any]:
    """The binds of ``VALUES``. Without a report, all stays as it is."""
    if said is None:
        return {"said_keys": None, "said_stale": None, "lags": None, "anew": None, "at": at}
    return {
        "said_keys": said.keys,
        "said_stale": said.stale,
        "lags": said.stale or said.behind,
        "anew": said.moved,
        "at": at,
    }


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
