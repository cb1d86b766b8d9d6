"""What differs between deployments."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query

from shallop_cloud.api import asking, models, show_diff
from shallop_cloud.api.asking import S
from shallop_cloud.services import diff

router = asking.guarded()
Side = Annotated[
    str,
    Query(
        min_length=1, max_length=160, description="A deployment, or ``device:NAME`` for what is desired of a device."
    ),
]


@router.get("/diff")
def show_diff_of(shore: S, before: Side, after: Side) -> models.Diff:
    """What differs between the files of two deployments."""
    return show_diff.diff(diff.compare(shore, before, after))
