"""The server, and the fleet in numbers."""

from __future__ import annotations

from typing import Literal

import pydantic

from shallop_cloud.api.models.base import Shown


class Health(Shown):
    """Whether the server works, and how its link to the broker is."""

    status: Literal["ok", "degraded"]
    broker_connected: bool = pydantic.Field(description="Whether the server that holds the link is connected.")
    link: Literal["holds", "stands_by"]
    version: str


class Summary(Shown):
    """The fleet in numbers."""

    devices: int
    online: int
    in_sync: int = pydantic.Field(description="Devices that have answered their newest order, or never had one.")
    lagging: int = pydantic.Field(description="Devices whose orders do not get through although they are connected.")
    deployments: dict[str, int] = pydantic.Field(
        description="By status, those that are neither archived nor failed and cleared away."
    )
