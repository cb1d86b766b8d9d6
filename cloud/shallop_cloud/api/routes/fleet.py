"""The server and the fleet as a whole."""

from __future__ import annotations

import dataclasses
from typing import Any

import fastapi

from shallop_cloud.api import asking, models
from shallop_cloud.api.asking import S
from shallop_cloud.link.link import Standing
from shallop_cloud.store import fleet

router = asking.guarded()
open_router = asking.open_to_all()


@open_router.get("/health")
def health(request: fastapi.Request) -> models.Health:
    """Whether the server works, and whether it holds the link to the broker or stands by for another that does.
    Degraded while no server is connected to the broker: orders wait, nothing is lost.
    """
    standing: Standing = request.app.state.standing()
    return models.Health(
        status="ok" if standing.connected else "degraded",
        broker_connected=standing.connected,
        link="holds" if standing.holds else "stands_by",
        version=request.app.version,
    )


@open_router.get("/openapi.json")
def openapi(request: fastapi.Request) -> dict[str, Any]:
    """This document (OpenAPI 3.1)."""
    return request.app.openapi()


@router.get("/summary")
def summary(shore: S) -> models.Summary:
    """The fleet in numbers."""
    with shore.database.read() as connection:
        return models.Summary(**dataclasses.asdict(fleet.count(connection, shore.now())))
