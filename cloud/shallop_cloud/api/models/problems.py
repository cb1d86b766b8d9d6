"""What is not success."""

from __future__ import annotations

import pydantic

from shallop_cloud.api.models.base import Shown


class ProblemError(Shown):
    """One thing that is wrong with a document or the request's body."""

    message: str
    pointer: str
    source: str
    line: int
    column: int


class Problem(Shown):
    """RFC 9457 problem details."""

    type: str
    title: str
    status: int
    code: str
    detail: str
    errors: list[ProblemError] = pydantic.Field(default_factory=list[ProblemError])
    request_id: str
