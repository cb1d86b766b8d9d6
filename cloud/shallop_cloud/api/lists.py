"""What all lists have in common: pages, filters, and things shown along with others."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import inspect
import json
from collections.abc import Callable, Mapping
from typing import Annotated, Any

import fastapi
from fastapi import Depends, Query, params

from shallop_cloud import errors
from shallop_cloud.api import models

Limit = Annotated[int, Query(ge=1, le=500, description="How many at most.")]
Cursor = Annotated[str | None, Query(max_length=1024, description="The ``next_cursor`` of an earlier page.")]
Since = Annotated[models.Moment | None, Query(description="What is from then or later (RFC 3339).")]

_MARK_CHARACTERS = 12
_NO_FILTERS = ("limit", "cursor", "expand")


def _labels(
    label: Annotated[
        list[Annotated[str, Query(min_length=2, max_length=256, pattern=r"^[^=]+=")]],
        Query(max_length=32, description="``key=value``; with several, those that have all of them."),
    ] = [],  # noqa: B006  FastAPI copies it
) -> Mapping[str, str]:
    labels: dict[str, str] = {}
    for each in label:
        key, _, value = each.partition("=")
        if labels.setdefault(key, value) != value:
            words = f"nothing has both {key}={labels[key]} and {key}={value}; ask for one value of a label"
            raise errors.Invalid("label_invalid", words)
    return labels


Labels = Annotated[Mapping[str, str], Depends(_labels)]
"""Labels that all must have, by key."""


def expanding(*names: str) -> params.Depends:
    """A dependency: which of these shall be shown along, a ``frozenset`` of names."""
    one = "|".join(names)

    def expand(
        expand: str | None = Query(
            default=None,
            max_length=128,
            pattern=rf"^({one})(,({one}))*$",
            description=f"What is shown along, with commas between: {', '.join(names)}.",
        ),
    ) -> frozenset[str]:
        return frozenset(expand.split(",")) if expand else frozenset()

    return Depends(expand)


@dataclasses.dataclass(frozen=True, slots=True)
class Mark:
    """What tells the cursors of one list, narrowed by some filters, from those of all others."""

    text: str

    def on(self, place: str | None) -> str | None:
        """The cursor that stands for a place in this list."""
        return None if place is None else self.text + place

    def off(self, cursor: str | None) -> str | None:
        """The place that a cursor stands for.

        Raises:
            errors.Problem: 400 ``cursor_invalid``.
        """
        if cursor is not None and not cursor.startswith(self.text):
            words = "this cursor belongs to another list, or to other filters; start without one"
            raise errors.Problem(400, "cursor_invalid", words)
        return None if cursor is None else cursor[len(self.text) :]


def _mark(request: fastapi.Request) -> Mark:
    filters = sorted(each for each in request.query_params.multi_items() if each[0] not in _NO_FILTERS)
    text = json.dumps([request.url.path, filters])
    return Mark(hashlib.sha256(text.encode()).hexdigest()[:_MARK_CHARACTERS])


def marked(endpoint: Callable[..., models.Page[Any]]) -> Callable[..., models.Page[Any]]:
    """The same endpoint, of a list, whose cursors are good for this list and its filters alone."""

    @functools.wraps(endpoint)
    def listed(*, mark: Mark, cursor: str | None, **given: Any) -> models.Page[Any]:
        page = endpoint(cursor=mark.off(cursor), **given)
        return page.model_copy(update={"next_cursor": mark.on(page.next_cursor)})

    signature = inspect.signature(endpoint, eval_str=True)
    asked = inspect.Parameter("mark", inspect.Parameter.KEYWORD_ONLY, annotation=Annotated[Mark, Depends(_mark)])
    listed.__signature__ = signature.replace(  # pyright: ignore[reportAttributeAccessIssue]  what `inspect` looks for
        parameters=[*signature.parameters.values(), asked]
    )
    return listed
