"""Errors as RFC 9457 problem details, the same for every route."""

from __future__ import annotations

from typing import Any

import fastapi
import structlog
from fastapi import exceptions
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from shallop_cloud import errors
from shallop_cloud.api import models
from shallop_cloud.configs.findings import Finding, pointer_of

MEDIA_TYPE = "application/problem+json"
_TITLES = {
    400: "Bad request",
    401: "Not authenticated",
    403: "Forbidden",
    404: "Not found",
    405: "Method not allowed",
    409: "Conflict",
    413: "Too large",
    422: "Invalid",
    500: "Internal error",
}

log = structlog.get_logger()


def install(app: fastapi.FastAPI) -> None:
    """Makes every error of the app a problem."""
    app.add_exception_handler(errors.Problem, _problem)
    app.add_exception_handler(exceptions.RequestValidationError, _request)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, _unexpected)


def answer(request_id: str, problem: errors.Problem) -> Response:
    """The answer that a problem is."""
    body = models.Problem(
        type="about:blank",
        title=_TITLES.get(problem.status, "Error"),
        status=problem.status,
        code=problem.code,
        detail=problem.detail,
        errors=[
            models.ProblemError(
                message=finding.message,
                pointer=finding.pointer,
                source=finding.file,
                line=finding.line,
                column=finding.column,
            )
            for finding in problem.errors
        ],
        request_id=request_id,
    )
    headers = {"WWW-Authenticate": "Bearer"} if problem.status == 401 else {}
    return Response(body.model_dump_json(), problem.status, headers, MEDIA_TYPE)


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
        Finding(each["msg"], pointer_of(each["loc"][1:]), 0, 0, "" if each["loc"][0] == "body" else str(each["loc"][0]))
        for each in found
    )
    first = findings[0]
    words = f"{first.file or 'the body'} {first.pointer}: {first.message}".replace("  ", " ")
    return answer(request_id(request), errors.Invalid("request_invalid", words, findings))


async def _http(request: fastapi.Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    codes = {404: "route_not_found", 405: "method_not_allowed"}
    words = f"{request.method} {request.url.path}: {error.detail}"
    return answer(
        request_id(request), errors.Problem(error.status_code, codes.get(error.status_code, "request_invalid"), words)
    )


async def _unexpected(request: fastapi.Request, error: Exception) -> Response:
    log.error("a request failed", request_id=request_id(request), exc_info=error)
    words = f"something went wrong in the server; its log has the details under {request_id(request)}"
    return answer(request_id(request), errors.Problem(500, "internal_error", words))
