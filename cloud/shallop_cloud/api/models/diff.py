"""What differs between deployments, and what a merge of them would be."""

from __future__ import annotations

from typing import Any, Literal

import pydantic

from shallop_cloud.api.models.base import Shown
from shallop_cloud.api.models.problems import ProblemError
from shallop_cloud.configs import Format


class VersionOfFile(Shown):
    """One of the two versions of a file."""

    instance: str
    digest: str
    size: int


class Change(Shown):
    """One value that is not what it was. What did not exist has neither value nor place.

    NaN and infinity, which JSON cannot say, are the texts ``.nan``, ``.inf`` and ``-.inf``.
    """

    kind: Literal["added", "removed", "changed"]
    pointer: str
    before: Any
    after: Any
    before_line: int | None
    before_column: int | None
    after_line: int | None
    after_column: int | None


class FileDiff(Shown):
    """What differs in one place."""

    config_type: str
    slot: str
    path: str
    format: Format
    kind: Literal["added", "removed", "changed", "same"]
    before: VersionOfFile | None
    after: VersionOfFile | None
    same_meaning: bool = pydantic.Field(
        description="Whether every program reads the same values: comments, layout and the order of keys do not count."
    )
    changes: list[Change]
    omitted: int = pydantic.Field(description="How many more changes there are than are told.")
    text: str = pydantic.Field(
        description="The difference in lines, as ``diff -u`` tells it; of a file that is binary or large, what it is."
    )


class Compared(Shown):
    """One side of a comparison."""

    deployment: str
    device_name: str
    release: str


class Diff(Shown):
    """What differs between two deployments."""

    before: Compared
    after: Compared
    files: list[FileDiff]
    same: bool


class MergeConflict(Shown):
    """A place that was changed on both sides, differently. ``line`` and ``column`` are in the staged one's file."""

    pointer: str
    message: str
    base: Any
    current: Any
    staged: Any
    line: int | None
    column: int | None


class MergedFile(Shown):
    """What becomes of one file. ``ours`` is what the staged deployment changed, ``theirs`` what became current."""

    config_type: str
    slot: str
    path: str
    kind: Literal["unchanged", "ours", "theirs", "merged", "conflict"]
    content: str | None = pydantic.Field(
        description="Null for no file, for one that is binary or large, and while there are conflicts."
    )
    conflicts: list[MergeConflict]


class Merge(Shown):
    """A proposal: the staged deployment with what became current since. Nothing was changed."""

    base: str | None
    current: str | None
    staged: str
    clean: bool = pydantic.Field(description="Whether it can be accepted as it is.")
    files: list[MergedFile]
    findings: list[ProblemError] = pydantic.Field(
        description="What is wrong with the merged files, held against the schemas of the staged one's release."
    )
