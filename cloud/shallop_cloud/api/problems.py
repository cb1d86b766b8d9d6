"""Errors as RFC 9457 problem details, the same for every route."""

from __future__ import annotations

import typing
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import fastapi
import structlog
from fastapi import exceptions
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from shallop_cloud import errors
from shallop_cloud.api import models
from shallop_cloud.configs.findings import Finding, meant, pointer_of

MEDIA_TYPE = "application/problem+json"
_TITLES = {
    400: "Bad request",
    401: "Not authenticated",
    403: "Forbidden",
    404: "Not found",
    405: "Method not allowed",
    408: "Too slow",
    409: "Conflict",
    412: "Changed meanwhile",
    413: "Too large",
    414: "Too long",
    415: "Not JSON",
    416: "Not there",
    422: "Invalid",
    429: "Too often",
    431: "Too large",
    500: "Internal error",
    503: "Busy",
}
_HEADERS = {
    401: {"WWW-Authenticate": "Bearer"},
    408: {"Connection": "close"},
    429: {"Retry-After": "60"},
    503: {"Retry-After": "1"},
}
_OF_CODE = {"device_unknown": {"WWW-Authenticate": 'Basic realm="shallop"'}}

CODES = {400: "json_invalid", 404: "route_not_found", 405: "method_not_allowed"}
"""Of what the framework finds wrong."""
_OURS = "Value error, "
"""What pydantic puts before what a rule of ours says."""

log = structlog.get_logger()


def install(app: fastapi.FastAPI, allowed: Callable[[str], Iterable[str]]) -> None:
    """Makes every error of the app a problem. ``allowed`` gives the methods that a path takes."""

    async def _http(request: fastapi.Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        headers = {"Allow": ", ".join(allowed(request.url.path))} if error.status_code == 405 else {}
        if headers and request.method == "OPTIONS":
            return Response(status_code=204, headers=headers)
        code = CODES.get(error.status_code, "request_invalid")
        words = f"{request.method} {request.url.path}: {error.detail}"
        return answer(request_id(request), errors.Problem(error.status_code, code, words), headers)

    app.add_exception_handler(errors.Problem, _problem)
    app.add_exception_handler(exceptions.RequestValidationError, _request)
    app.add_exception_handler(HTTPException, _http)


def answer(request_id: str, problem: errors.Problem, headers: Mapping[str, str] | None = None) -> Response:
    """The answer that a problem is, with headers besides its own."""
    body = models.Problem(
        type="about:blank",
        title=_TITLES.get(problem.status, "Error"),
        status=problem.status,
        code=problem.code,
        detail=_text(problem.detail),
        errors=[shown(finding) for finding in problem.errors],
        request_id=request_id,
    )
    own = {**_HEADERS.get(problem.status, {}), **_OF_CODE.get(problem.code, {}), **(headers or {})}
    return Response(body.model_dump_json(), problem.status, own, MEDIA_TYPE)


def shown(finding: Finding) -> models.ProblemError:
    """One thing that is wrong, as the API shows it."""
    return models.ProblemError(
        message=_text(finding.message),
        pointer=_text(finding.pointer),
        source=_text(finding.file),
        line=finding.line,
        column=finding.column,
    )


MOST_QUOTED = 2_000
"""Characters of one text of an answer: what a request is quoted with is as long as its sender likes."""


def _text(quoted: str) -> str:
    """What a request is quoted with, which need not be text that can be sent, or short."""
    shortened = quoted if len(quoted) <= MOST_QUOTED else f"{quoted[:MOST_QUOTED]}…"
    return shortened.encode(errors="backslashreplace").decode()


def request_id(request: fastapi.Request) -> str:
    """The id that this request goes by in logs and answers."""
    return request.scope.get("shallop_request_id", "")


async def _problem(request: fastapi.Request, error: Exception) -> Response:
    assert isinstance(error, errors.Problem)
    return answer(request_id(request), error)


async def _request(request: fastapi.Request, error: Exception) -> Response:
    assert isinstance(error, exceptions.RequestValidationError)
    found: list[Any] = list(error.errors())[:50]
    if any(each["type"] == "json_invalid" for each in found):
        words = f"the body is not JSON: {found[0].get('ctx', {}).get('error', found[0]['msg'])}"
        return answer(request_id(request), errors.Problem(400, "json_invalid", words))
    findings = tuple(
        Finding(
            each["msg"].removeprefix(_OURS) + _hint(request, each),
            pointer_of(each["loc"][1:]),
            0,
            0,
            "" if each["loc"][0] == "body" else str(each["loc"][0]),
        )
        for each in found
    )
    first = findings[0]
    words = f"{first.file or 'the body'} {first.pointer}: {first.message}".replace("  ", " ")
    return answer(request_id(request), errors.Invalid("request_invalid", words, findings))


def _hint(request: fastapi.Request, found: Mapping[str, Any]) -> str:
    """What a field of the body was meant to be, if it is one that nothing has."""
    if found["type"] != "extra_forbidden" or len(found["loc"]) != 2:
        return ""
    body: Any = request.scope["route"].body_field  # FastAPI's own field, of the model or of one that may be left out
    kinds = typing.get_args(body.field_info.annotation) or (body.field_info.annotation,)
    return meant(str(found["loc"][1]), [name for kind in kinds for name in getattr(kind, "model_fields", ())])


def unexpected(request_id: str, error: Exception) -> Response:
    """Logs what nobody foresaw; gives the answer, which says nothing of it."""
    log.error("a request failed", request_id=request_id, exc_info=error)
    words = f"something went wrong in the server; its log has the details under {request_id}"
    return answer(request_id, errors.Problem(500, "internal_error", words))
