"""Contents: bytes by their digest."""

from __future__ import annotations

from typing import Annotated

import pydantic
from shallop_protocol import digests

from shallop_cloud.api.models.base import Shown

Digest = Annotated[str, pydantic.Field(pattern=digests.PATTERN)]


class Content(Shown):
    """Bytes that are recorded, for any number of config instances."""

    digest: str
    size: int
    text: bool = pydantic.Field(description="Whether they are UTF-8.")
