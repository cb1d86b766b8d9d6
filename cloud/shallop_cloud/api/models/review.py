"""What a person looks at before a waiting deployment is ordered."""

from __future__ import annotations

import pydantic

from shallop_cloud.api.models.base import Shown
from shallop_cloud.api.models.deployments import Deployment
from shallop_cloud.api.models.diff import FileDiff


class Review(Shown):
    """A waiting deployment, what became current since it was staged, and what it would change now."""

    deployment: Deployment
    current: str | None = pydantic.Field(description="What is desired now: the one to name when restaging or merging.")
    since: list[Deployment] = pydantic.Field(
        description="What was ordered after the deployment was staged or last restaged, oldest first."
    )
    files: list[FileDiff] = pydantic.Field(description="From what is current to the deployment.")
    base: str | None = pydantic.Field(description="What was desired when it was staged or last restaged.")
