"""What routes ask for: the shore, who asks, and the parameters that many have in common."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Path

from shallop_cloud.api import etags
from shallop_cloud.api.access import Admin, Operator, S, Viewer
from shallop_cloud.api.lists import Cursor, Labels, Limit, Since, expanding
from shallop_cloud.api.routing import guarded, open_to_all

Key = Annotated[
    str,
    Path(min_length=1, max_length=128, pattern=r"^[^/:\x00]+$", description="An id, the beginning of one, or a name."),
]
Tagged = Annotated[etags.Tagged, Depends()]
Precondition = Annotated[etags.Precondition, Depends()]

__all__ = [
    "guarded", "open_to_all", "S", "Viewer", "Operator", "Admin", "Key",
    "Limit", "Cursor", "Since", "Labels", "expanding", "Tagged", "Precondition",
]  # fmt: skip
