"""Deployments side by side: the files of each, and what differs between two of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Literal

import sqlalchemy as sa

from shallop_cloud.configs import MAX_BYTES, Format, diff, lines
from shallop_cloud.store import contents, deployments, releases
from shallop_cloud.store.deployments import Instance
from shallop_cloud.store.releases import Place

Kind = Literal["added", "removed", "changed", "same"]


@dataclasses.dataclass(frozen=True, slots=True)
class File:
    """One config file of a deployment.

    Attributes:
        data: None if it is not text, or too large to be looked into.
    """

    instance: Instance
    format: Format
    data: bytes | None

    @property
    def place(self) -> Place:
        """Where it goes."""
        return self.instance.config_type, self.instance.slot


Files = Mapping[Place, File]


@dataclasses.dataclass(frozen=True, slots=True)
class FileDiff:
    """One place of two deployments, and what differs there.

    Attributes:
        path: on the robot, of the newer one if both have it; ``format`` likewise.
        text: the difference in lines, as ``diff -u`` tells it without the names of files; empty if there is none. If a
            side cannot be looked into, one line with sizes and digests.
    """

    place: Place
    path: str
    format: Format
    kind: Kind
    before: Instance | None
    after: Instance | None
    found: diff.FileDiff
    text: str


def files(connection: sa.Connection, deployment: sa.RowMapping | None) -> Files:
    """The files of a deployment's row by place; none if there is no deployment."""
    if deployment is None:
        return {}
    instances = deployments.instances(connection, [deployment["id"]])[deployment["id"]]
    data = contents.texts(connection, [each.digest for each in instances if each.size <= MAX_BYTES])
    slots = releases.slots(connection, [deployment["release_id"]])[deployment["release_id"]]
    formats = {slot.place: Format(slot.format) for slot in slots}
    made = (File(each, formats[each.config_type, each.slot], data.get(each.digest)) for each in instances)
    return {file.place: file for file in made}


def compare(before: Files, after: Files) -> list[FileDiff]:
    """What became of each file, by config type and slot; what did not change is among them."""
    return [_compared(place, before.get(place), after.get(place)) for place in sorted({*before, *after})]


def _compared(place: Place, before: File | None, after: File | None) -> FileDiff:
    shown = after or before
    assert shown is not None
    # Two releases may want another format in one place; then what both are is text.
    alike = before is None or after is None or before.format is after.format
    found, text = _looked_into(before, after, shown.format if alike else Format.TEXT)
    return FileDiff(
        place=place,
        path=shown.instance.path,
        format=shown.format,
        kind=_kind(before, after),
        before=before and before.instance,
        after=after and after.instance,
        found=found,
        text=text,
    )


def _looked_into(before: File | None, after: File | None, format_: Format) -> tuple[diff.FileDiff, str]:
    if any(file is not None and file.data is None for file in (before, after)):
        same = _kind(before, after) == "same"
        return diff.FileDiff(same_bytes=same, same_meaning=same), "" if same else f"{binary(before, after)}\n"
    old, new = before and before.data, after and after.data
    return diff.compare(old, new, format_), "".join(f"{line}\n" for line in lines.unified(old, new))


def binary(before: File | None, after: File | None) -> str:
    """What is said of a file that cannot be looked into."""
    versions = [file.instance for file in (before, after) if file is not None]
    return diff.binary(*((each.size, each.digest) for each in versions))


def _kind(before: File | None, after: File | None) -> Kind:
    if before is None:
        return "added"
    if after is None:
        return "removed"
    return "same" if before.instance.digest == after.instance.digest else "changed"


def is_same(compared: Sequence[FileDiff]) -> bool:
    """Whether no file differs."""
    return all(each.kind == "same" for each in compared)
