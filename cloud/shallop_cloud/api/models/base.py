"""What all models are made of."""

from __future__ import annotations

import datetime
import re
from typing import Annotated, Any, Generic, TypeVar

import pydantic
from shallop_protocol import desired

T = TypeVar("T")


class Shown(pydantic.BaseModel):
    """Something that the API shows."""

    model_config = pydantic.ConfigDict(frozen=True)


class Taken(pydantic.BaseModel):
    """Something that the API takes. Unknown fields are refused, so that a misspelt one is not silently ignored."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")


class Page(Shown, Generic[T]):
    """A page of a list. ``next_cursor`` goes into ``cursor`` for the next one, and is null at the end."""

    data: list[T]
    next_cursor: str | None


_MOMENT = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)\Z", re.ASCII)


def _moment(value: Any) -> Any:
    if not isinstance(value, str) or not _MOMENT.match(value):
        raise ValueError("a time looks like 2026-03-01T12:00:00Z, with its offset from UTC (RFC 3339)")
    return value


def _in_utc(value: datetime.datetime) -> datetime.datetime:
    try:
        return value.astimezone(datetime.UTC)
    except OverflowError:
        raise ValueError("this time is out of range") from None


Moment = Annotated[
    datetime.datetime,
    pydantic.BeforeValidator(_moment, json_schema_input_type=datetime.datetime),
    pydantic.AfterValidator(_in_utc),
]
"""A moment, which whoever sent it has said in full; in UTC."""


class Nothing(Taken):
    """The body of an act that takes none; it may be left out."""


class Reason(Shown):
    """Why something is not as it should be."""

    code: str
    message: str


class Waiting(Shown):
    """Why a deployment is not brought on although nothing is wrong, in the robot's words."""

    code: str
    message: str
    until: datetime.datetime | None = pydantic.Field(
        description="When the wait ends at the latest, by the robot's clock, if that is known."
    )


ConfirmS = Annotated[int, pydantic.Field(ge=1, le=desired.MAX_CONFIRM_S)]
"""Seconds from the switch within which the cloud must have answered, else the robot undoes the deployment."""


MAX_BATCH = 10_000
"""Things that one request makes."""


DeviceKey = Annotated[str, pydantic.Field(min_length=1, max_length=128)]


class ItemProblem(Shown):
    """Why something was not done for one item of a batch."""

    status: int
    code: str
    detail: str
