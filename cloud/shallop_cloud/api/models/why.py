"""Why a device does not run what it shall."""

from __future__ import annotations

import datetime

import pydantic

from shallop_cloud.api.models.base import Shown
from shallop_cloud.api.models.devices import Device
from shallop_cloud.services.why import Verdict


class LastSaid(Shown):
    """What the device last said that it runs."""

    current: str | None
    status: str | None
    at: datetime.datetime
    age_s: float = pydantic.Field(description="How long ago that was, in seconds.")


class Wait(Shown):
    """Something that has to happen, or to be decided, first."""

    code: str
    text: str
    since: datetime.datetime | None
    next_at: datetime.datetime | None = pydantic.Field(
        description="When the device tries again, or the wait ends at the latest, by its own clock."
    )


class Why(Shown):
    """One verdict, in words, and what would help."""

    device: Device
    desired: str | None
    desired_status: str | None
    known: LastSaid | None
    verdict: Verdict
    text: str
    waits_for: list[Wait]
    commands: list[str]
