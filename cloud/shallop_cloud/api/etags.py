"""Versions of things (RFC 9110, section 8.8.3): nothing is sent twice, or overwritten unseen."""

from __future__ import annotations

import hashlib
import json
import re
from typing import Annotated, Any, TypeVar

import fastapi
from fastapi import Header

from shallop_cloud import errors
from shallop_cloud.api import models

T = TypeVar("T", bound=models.Shown)

FOR_EVER = "private, max-age=31536000, immutable"
_TAGS = re.compile(r'(?:W/)?("[\x21\x23-\x7e\x80-\xff]*")')
_AGE = "age_s"
"""What ends so grows with every second, and is no change of the thing."""


def of(shown: models.Shown) -> str:
    """The ETag of something that may change."""
    text = json.dumps(_without_ages(shown.model_dump(mode="json")), sort_keys=True)
    return strong(hashlib.sha256(text.encode()).hexdigest()[:32])


def strong(text: str) -> str:
    """The ETag with this text."""
    return f'"{text}"'


def _without_ages(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_ages(each) for key, each in value.items() if not key.endswith(_AGE)}  # pyright: ignore
    return [_without_ages(each) for each in value] if isinstance(value, list) else value  # pyright: ignore


def _names(header: str, tag: str) -> bool:
    return header.strip() == "*" or tag in _TAGS.findall(header)


class Tagged:
    """A dependency of a GET route: what it shows gets its ETag, and the answer is 304 for who has seen it.

    A call takes what is shown, and gives it back to be returned.
    """

    def __init__(
        self,
        response: fastapi.Response,
        if_none_match: Annotated[str | None, Header(max_length=4096, description="ETags that you have.")] = None,
    ) -> None:
        self._response = response
        self._has = if_none_match

    def __call__(self, shown: T) -> T:
        """For a thing that may change."""
        return self._show(shown, of(shown), "private, no-cache")

    def for_ever(self, shown: T, text: str) -> T:
        """For a thing that never changes: its ETag is ``text``, its id or digest."""
        return self._show(shown, strong(text), FOR_EVER)

    def has_seen(self, text: str) -> bool:
        """Whether the caller has what never changes and has this ETag: then the answer is 304."""
        return self._has_seen(strong(text))

    def _show(self, shown: T, tag: str, keep: str) -> T:
        self._response.headers.update({"ETag": tag, "Cache-Control": keep})
        if self._has_seen(tag):
            self._response.status_code = 304
        return shown

    def _has_seen(self, tag: str) -> bool:
        return self._has is not None and _names(self._has, tag)


class Precondition:
    """A dependency of a PATCH route: what the caller has seen, if the request says so by ``If-Match``."""

    def __init__(
        self,
        if_match: Annotated[
            str | None, Header(max_length=4096, description="The ETag that this is to change; another is left alone.")
        ] = None,
    ) -> None:
        self._seen = if_match

    def check(self, shown: models.Shown) -> None:
        """Refuses to change a thing, as it is shown now, that is not what the caller has seen. Call it in the
        transaction of the change.

        Raises:
            errors.Problem: 412 ``precondition_failed``.
        """
        if self._seen is not None and not _names(self._seen, of(shown)):
            words = "it is not what If-Match names; somebody has changed it: get it again, then decide"
            raise errors.Problem(412, "precondition_failed", words)
