"""Routes, and what all of them have in common: a role, a key for POST, and nothing unknown."""

from __future__ import annotations

import json
import re
import typing
from collections.abc import Callable
from typing import Any

import fastapi
from fastapi import Depends, params
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from starlette import convertors

from shallop_cloud import errors
from shallop_cloud.api import lists, once
from shallop_cloud.api.access import AtLeast
from shallop_cloud.configs.findings import Finding, meant
from shallop_cloud.store.tokens import Role


class _Key(convertors.StringConvertor):
    """What stands in a path for a thing. Behind a colon comes what shall be done to it."""

    regex = "[^/:]+"


class _Digest(convertors.StringConvertor):
    """What stands in a path for bytes, and has a colon."""

    regex = "[^/]+"


convertors.register_url_convertor("key", _Key())
convertors.register_url_convertor("digest", _Digest())


class Route(APIRoute):
    """A route of this API.

    Attributes:
        queries: the query parameters that it takes, and whether each may be repeated.
        methods: those that it takes.
        role: which its caller must have at least; None if it takes no token.
    """

    methods: set[str]

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        guarded = any(isinstance(each.dependency, AtLeast) for each in options.get("dependencies") or ())
        if "POST" in options["methods"] and guarded:
            endpoint = once.once(endpoint, options.get("status_code") or 200)
        elif "cursor" in endpoint.__annotations__:
            endpoint = lists.marked(endpoint)
        super().__init__(re.sub(r"\{(\w+)\}", r"{\1:key}", path), endpoint, **options)
        asked = [each for dependant in _all(self.dependant) for each in dependant.query_params]
        self.queries = {field.alias: _is_list(field.field_info.annotation) for field in asked}
        roles = [each.call.role for each in self.dependant.dependencies if isinstance(each.call, AtLeast)]
        self.role = max(roles, key=list(Role).index, default=None)


def _all(dependant: Dependant) -> list[Dependant]:
    """A dependant and, through all that it depends on, theirs."""
    return [dependant, *(below for each in dependant.dependencies for below in _all(each))]


def _is_list(kind: Any) -> bool:
    return typing.get_origin(kind) is list or any(_is_list(each) for each in typing.get_args(kind))


async def _nothing_unknown(request: fastapi.Request) -> None:
    """Refuses what a route does not take, so that what is misspelt is not silently ignored."""
    route = request.scope["route"]
    assert isinstance(route, Route)
    given = [name for name, _ in request.query_params.multi_items()]
    for name in given:
        if name not in route.queries:
            words = f"there is no such parameter{meant(name, route.queries)}"
            raise _refused(f"query parameter {name!r}: {words}", Finding(words, f"/{name}", 0, 0, "query"))
        if given.count(name) > 1 and not route.queries[name]:
            words = "it is given more than once"
            raise _refused(f"query parameter {name!r}: {words}", Finding(words, f"/{name}", 0, 0, "query"))
    if "PUT" in route.methods:  # its body is no JSON, and is read by the route itself
        return
    if route.body_field is None and not _is_nothing(await request.body()):
        raise _refused("the body: this takes none; leave it out", Finding("this takes no body", "", 0, 0))


def _refused(words: str, finding: Finding) -> errors.Invalid:
    return errors.Invalid("request_invalid", words, (finding,))


def _is_nothing(body: bytes) -> bool:
    try:
        return not body or json.loads(body) == {}
    except (ValueError, RecursionError):
        return False


def open_to_all() -> fastapi.APIRouter:
    """Routes that need no token."""
    return _router(Depends(_nothing_unknown))


def guarded() -> fastapi.APIRouter:
    """Routes that need a token of any role; those that need more say so by their parameters."""
    return _router(Depends(AtLeast(Role.VIEWER)), Depends(_nothing_unknown))


def _router(*dependencies: params.Depends) -> fastapi.APIRouter:
    return fastapi.APIRouter(
        prefix="/v1",
        route_class=Route,
        dependencies=dependencies,
        generate_unique_id_function=lambda route: route.name,
    )
