"""The OpenAPI 3.1 document of the door, made of the routes and the models."""

from __future__ import annotations

import json
import sys
from typing import Any

import pydantic
from pydantic.json_schema import models_json_schema

from shallop_device import __version__
from shallop_device.door import models, problems, routes

_DESCRIPTION = """What software on a robot can ask shallop's agent, over HTTP/1.1 on a Unix socket.

Every answer that is not success is a problem (RFC 9457), whose `code` programs decide by. Whatever a route does not
know, in the query or the body, is refused. Times are by the robot's clock, for people."""
_SCHEMAS = "#/components/schemas/"
_ALWAYS = {
    400: ("request_invalid", "json_invalid", "query_invalid"),
    408: ("too_slow",),
    411: ("length_required",),
    413: ("body_too_large",),
    431: ("head_too_large",),
    500: ("internal_error",),
    503: ("agent_busy", "too_many_connections"),
}
_REQUEST_INVALID = {422: ("request_invalid",)}


def make() -> dict[str, Any]:
    """The document."""
    paths: dict[str, Any] = {}
    for route in routes.ROUTES:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {"title": "shallop: the robot's local door", "version": __version__, "description": _DESCRIPTION},
        "servers": [{"url": "http://localhost", "description": "On the Unix socket; the host does not matter."}],
        "paths": paths,
        "components": {"schemas": _schemas()},
    }


def _schemas() -> dict[str, Any]:
    shown: set[type[pydantic.BaseModel]] = {models.Problem, models.Changed, models.Trials}
    taken: set[type[pydantic.BaseModel]] = set()
    for route in routes.ROUTES:
        shown |= {model for model in route.gives.values() if isinstance(model, type)}
        taken |= {route.takes} if route.takes else set()
    wanted = [(model, "serialization") for model in shown] + [(model, "validation") for model in taken]
    _, definitions = models_json_schema(wanted, ref_template=_SCHEMAS + "{model}")  # pyright: ignore[reportArgumentType]
    return dict(sorted(definitions["$defs"].items()))


def _operation(route: routes.Route) -> dict[str, Any]:
    made: dict[str, Any] = {
        "operationId": route.act.__name__.strip("_"),
        "summary": route.says,
        **({"description": route.more} if route.more else {}),
        "parameters": _parameters(route),
        "responses": _responses(route),
    }
    if route.takes is not None:
        content = {routes.JSON: {"schema": _reference(route.takes)}}
        made["requestBody"] = {"required": True, "content": content}
    return made


def _parameters(route: routes.Route) -> list[dict[str, Any]]:
    text = {"type": "string"}
    names = [part[1:-1] for part in route.path.split("/") if part.startswith("{")]
    found: list[dict[str, Any]] = [{"name": name, "in": "path", "required": True, "schema": text} for name in names]
    for place, said in (("query", route.query), ("header", route.reads)):
        found += [{"name": name, "in": place, "description": words, "schema": text} for name, words in said.items()]
    return found


def _responses(route: routes.Route) -> dict[str, Any]:
    found = {str(status): _success(status, gives, route) for status, gives in route.gives.items()}
    codes: dict[int, list[str]] = {}
    for said in (_ALWAYS, _REQUEST_INVALID if route.takes else {}, route.raises):
        for status, names in said.items():
            codes.setdefault(status, []).extend(names)
    content = {problems.MEDIA_TYPE: {"schema": {"$ref": f"{_SCHEMAS}Problem"}}}
    for status, names in codes.items():
        words = ", ".join(f"`{name}`" for name in names)
        found[str(status)] = {"description": f"{problems.TITLES[status]}: {words}.", "content": content}
    return dict(sorted(found.items()))


def _success(status: int, gives: type[pydantic.BaseModel] | str | None, route: routes.Route) -> dict[str, Any]:
    made: dict[str, Any] = {"description": _WORDS[status]}
    if "If-None-Match" in route.reads:
        header = {"required": True, "schema": {"type": "string"}}
        made["headers"] = {"ETag": header, "Shallop-Deployment": header}
    if isinstance(gives, str):
        kind = {routes.JSON: {"type": "object"}, routes.EVENTS: {"type": "string"}}.get(gives, {})
        made["content"] = {gives: {"schema": kind}}
    elif gives is not None:
        made["content"] = {routes.JSON: {"schema": _reference(gives)}}
    return made


_WORDS = {200: "It is so.", 201: "It is new.", 204: "It is done.", 304: "It is what you have."}


def _reference(model: type[pydantic.BaseModel]) -> dict[str, str]:
    return {"$ref": f"{_SCHEMAS}{model.__name__}"}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(make(), indent=2, ensure_ascii=False) + "\n")
