"""What happened."""

from __future__ import annotations

import datetime
from typing import Any

import pydantic

from shallop_cloud.api.models.base import Shown


class HistoryEntry(Shown):
    """Something that happened, and was recorded in the transaction that did it."""

    id: int
    at: datetime.datetime = pydantic.Field(description="When it was recorded, by the server's clock.")
    device_time: datetime.datetime | None = pydantic.Field(description="When it happened, by the device's clock.")
    actor: str
    action: str
    device_id: str | None
    deployment_id: str | None
    release_id: str | None
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    hash: str = pydantic.Field(description="Of this entry and, through the one before it, of all before.")


class Verdict(Shown):
    """Whether the history is what was recorded."""

    whole: bool
    entries: int = pydantic.Field(description="How many hold together, from the first on.")
    head: str = pydantic.Field(description="The hash of the last of them. Keep it, and ask for it later.")
    broken_at: int | None = pydantic.Field(description="The first entry that does not follow from the one before it.")
    reason: str
