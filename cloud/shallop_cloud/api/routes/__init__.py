"""The routes, one module for each kind of thing; ``EVERY`` is all of them, in the order of the document."""

from shallop_cloud.api.routes import (
    brokers,
    config_instances,
    config_schemas,
    contents,
    deployments,
    devices,
    diff,
    enrolments,
    events,
    fleet,
    history,
    keys,
    releases,
    tokens,
)
from shallop_cloud.api.routing import Route

EVERY = (
    fleet.open_router,
    fleet.router,
    tokens.router,
    keys.router,
    enrolments.router,
    brokers.router,
    releases.router,
    config_schemas.router,
    devices.router,
    deployments.router,
    diff.router,
    config_instances.router,
    contents.router,
    contents.device_router,
    history.router,
    events.router,
)


def all_routes() -> list[Route]:
    """Every route that is served."""
    return [route for router in EVERY for route in router.routes if isinstance(route, Route)]


__all__ = ["EVERY", "all_routes"]
