"""The application: routes, and what stands around them."""

from __future__ import annotations

import dataclasses
import functools
import importlib.metadata
from collections.abc import Callable

import fastapi

from shallop_cloud.api import document, edge, feed, problems, routes
from shallop_cloud.link.link import Standing
from shallop_cloud.services.guesses import Guesses
from shallop_cloud.services.shore import Shore

VERSION = importlib.metadata.version("shallop-cloud")


def create_app(shore: Shore, standing: Callable[[], Standing]) -> fastapi.FastAPI:
    """The API of one server. ``app.state.feed.stop()`` ends what never ends by itself, before the server stops."""
    app = fastapi.FastAPI(
        title="shallop",
        version=VERSION,
        description=document.DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,  # where to would be up to the Host header
        routes=[*routes.all_routes()],  # not by include_router, which would make every route anew for every app
    )
    app.add_middleware(edge.Edge)
    problems.install(app, _allowed)
    app.state.shore = dataclasses.replace(shore, ordered=functools.partial(shore.database.after_commit, shore.ordered))
    app.state.standing = standing
    app.state.guesses = Guesses()
    app.state.feed = feed.Feed(shore.database)
    app.openapi = lambda: document.of(app)
    return app


def _allowed(path: str) -> list[str]:
    """The methods that a path takes, in the order of the alphabet."""
    fitting = [route for route in routes.all_routes() if route.path_regex.match(path)]
    methods = {method for route in fitting for method in route.methods}
    return sorted(methods | {"OPTIONS"} | ({"HEAD"} if "GET" in methods else set()))
