"""The OpenAPI document: what FastAPI makes of the routes, and what holds for all of them."""

from __future__ import annotations

from typing import Any

import fastapi
import fastapi.openapi.utils

from shallop_cloud.api import models, problems, routes
from shallop_cloud.api.routing import Route
from shallop_cloud.store.tokens import Role

DESCRIPTION = """Immutable, schema-checked configuration for fleets of robots.

Every answer that is not success is a problem (RFC 9457), whose `code` programs decide by. Lists come in pages.
Whatever a route does not know, in the query or the body, is refused. A POST may be sent again safely if it has an
`Idempotency-Key`."""

_PROBLEMS = {
    400: "The URL, the cursor or the JSON cannot be read.",
    401: "The token is missing or not accepted.",
    403: "The token's role may not do this.",
    404: "What is named is not there.",
    409: "The present state forbids it.",
    412: "It is not what If-Match names.",
    408: "The request came too slowly.",
    413: "The request, or what is to be made, is too large.",
    414: "The URL is too long.",
    415: "The body is not said to be JSON.",
    416: "Range asks for none of the bytes.",
    422: "What was sent can be read, and is not right.",
    429: "Too many wrong credentials came from the same address.",
    431: "The headers are too large.",
    500: "Something went wrong in the server.",
    503: "The server is busy.",
}
_ALWAYS = (400, 408, 413, 414, 415, 422, 431, 500, 503)
_REFERENCES = {"device", "deployment", "release", "before", "after"}
"""Query parameters that name things."""
_SCHEMAS = "#/components/schemas/"


def of(app: fastapi.FastAPI) -> dict[str, Any]:
    """The document of an app, made once."""
    if app.openapi_schema is None:
        document = fastapi.openapi.utils.get_openapi(
            title=app.title, version=app.version, description=app.description, routes=app.routes
        )
        for route in routes.all_routes():
            for method in route.methods:
                _complete(document["paths"][route.path_format][method.lower()], route, method)
        _components(document["components"])
        app.openapi_schema = document
    return app.openapi_schema


def _complete(operation: dict[str, Any], route: Route, method: str) -> None:
    parameters: list[dict[str, Any]] = operation.get("parameters", [])
    for each in parameters:
        each["schema"] = _without_null(each["schema"])
    headers = {each["name"].lower() for each in parameters if each["in"] == "header"}
    operation["tags"] = [route.path.split("/")[2].partition(":")[0]]
    if route.role is not None:
        operation["x-shallop-role"] = route.role.value
        operation["description"] = f"{operation['description']}\n\nTakes the role `{route.role}`."
    responses: dict[str, Any] = operation["responses"]
    success = next(status for status in responses if status < "300")
    responses[success]["headers"] = _headers("X-Request-ID")
    if "if-none-match" in headers:
        responses[success]["headers"] |= _headers("ETag", "Cache-Control")
        responses["304"] = {"description": "It is what you have.", "headers": _headers("X-Request-ID", "ETag")}
    if "idempotency-key" in headers:
        responses[success]["headers"] |= _headers("Idempotency-Replayed")
    for status in _statuses(route, method, headers) | {int(each) for each in responses if each >= "400"}:
        responses[str(status)] = {"$ref": f"#/components/responses/{status}"}
    operation["responses"] = dict(sorted(responses.items()))


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """What a parameter may be if it is there: the URL and headers have no null."""
    kinds = [kind for kind in schema.get("anyOf", ()) if kind != {"type": "null"}]
    if len(kinds) != 1:
        return schema
    return {**{key: each for key, each in schema.items() if key != "anyOf"}, **kinds[0]}


def _statuses(route: Route, method: str, headers: set[str]) -> set[int]:
    """The problems that a request may have."""
    found: set[int] = set(_ALWAYS)
    if route.role is not None:
        found |= {401, 429}
    if route.role in (Role.OPERATOR, Role.ADMIN):
        found.add(403)
    if method != "GET" or route.param_convertors or _REFERENCES & set(route.queries):
        found |= {404, 409}
    if "if-match" in headers:
        found.add(412)
    return found


def _headers(*names: str) -> dict[str, Any]:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def _components(components: dict[str, Any]) -> None:
    schemas: dict[str, Any] = components["schemas"]
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    problem = models.Problem.model_json_schema(ref_template=_SCHEMAS + "{model}", mode="serialization")
    schemas |= problem.pop("$defs") | {"Problem": problem}
    components["schemas"] = dict(sorted(schemas.items()))
    components["headers"] = {
        "X-Request-ID": _header("What this request goes by in the server's log: yours, if you sent a good one."),
        "ETag": _header("The version of what is shown, for If-None-Match and If-Match."),
        "Cache-Control": _header("For how long it may be kept."),
        "Idempotency-Replayed": _header("`true` if this answer was given before.", required=False),
        "Retry-After": _header("Seconds to wait before the next attempt."),
        "WWW-Authenticate": _header("`Bearer`; for devices, `Basic`."),
    }
    own = {401: ("WWW-Authenticate",), 429: ("Retry-After",), 503: ("Retry-After",)}
    components["responses"] = {
        str(status): {
            "description": words,
            "headers": _headers("X-Request-ID", *own.get(status, ())),
            "content": {problems.MEDIA_TYPE: {"schema": {"$ref": f"{_SCHEMAS}Problem"}}},
        }
        for status, words in _PROBLEMS.items()
    }


def _header(description: str, *, required: bool = True) -> dict[str, Any]:
    return {"description": description, "required": required, "schema": {"type": "string"}}
