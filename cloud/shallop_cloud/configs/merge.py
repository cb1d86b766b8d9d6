"""Two versions of a config file that grew from one: both sets of changes in one file, or where they contradict.

``base`` is what both started from, ``ours`` the author's version, and ``theirs`` what has come into force since. The
outcome is the text of ``ours``, with its comments and layout, and the values that only ``theirs`` changed. Values are
compared exactly here: 1 and 1.0 are two values, because ROS 2 refuses one where it expects the other.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from shallop_cloud.configs import addresses, documents, findings, line_merge, patching, pointers, values
from shallop_cloud.configs.documents import Document, Format
from shallop_cloud.configs.findings import START, Finding, Path, Position, Refused
from shallop_cloud.configs.fingerprints import Fingerprints
from shallop_cloud.configs.operations import Operation, Remove, Set
from shallop_cloud.configs.shown import Showing

MAX_CONFLICTS = 1_000
"""How many conflicts are told."""


@dataclasses.dataclass(frozen=True, slots=True)
class Side:
    """What one version has at a place: the value, fit to be shown (`shown.Showing`), and where it stands."""

    value: Any
    at: Position


@dataclasses.dataclass(frozen=True, slots=True)
class Conflict:
    """A place that the two versions changed in different ways. None for a version that has nothing there.

    Of a file without structure the sides are lines, and the pointer is empty.
    """

    pointer: str
    message: str
    base: Side | None
    theirs: Side | None
    ours: Side | None


@dataclasses.dataclass(frozen=True, slots=True)
class Merge:
    """The outcome. ``content`` is what the file shall be, None for no file; it means nothing if there are conflicts."""

    content: bytes | None
    conflicts: tuple[Conflict, ...] = ()
    """At most 1000, the first ones."""

    @property
    def is_clean(self) -> bool:
        """Whether all changes go together."""
        return not self.conflicts


def merge(base: bytes | None, theirs: bytes | None, ours: bytes | None, format: Format) -> Merge:  # noqa: A002
    """Both sets of changes in one file; None is no file. Takes bounded time.

    JSON and YAML are merged key by key; a list is one value. Texts, and files that cannot be parsed, are merged line by
    line.
    """
    if theirs in (base, ours):
        return Merge(ours)
    if ours == base:
        return Merge(theirs)
    if theirs is None or ours is None:
        gone, kept = ("removed", "changed") if theirs is None else ("changed", "removed")
        message = f"the file was {gone} since, and {kept} here"
        return Merge(None, (Conflict("", message, *(_file(each) for each in (base, theirs, ours))),))
    if format is Format.TEXT:
        return _by_lines(base, theirs, ours)
    try:
        old = None if base is None else _parsed(base, format)
        new, own = _parsed(theirs, format), _parsed(ours, format)
    except Refused:
        return _by_lines(base, theirs, ours)
    return _Values(old, new, own).outcome(ours, format)


def _parsed(content: bytes, format: Format) -> Document:  # noqa: A002
    return documents.parse(content, format, any_keys=True)


def _file(content: bytes | None) -> Side | None:
    return None if content is None else Side(values.show(content.decode(errors="backslashreplace")), START)


def _by_lines(base: bytes | None, theirs: bytes, ours: bytes) -> Merge:
    merged = line_merge.merge(base or b"", theirs, ours)
    if isinstance(merged, bytes):
        return Merge(merged)
    showing = Showing()
    message = "these lines were changed since, and differently here"
    return Merge(
        None,
        tuple(
            Conflict("", message, *(Side(showing.plain(part.text), Position(part.line, 1)) for part in clash))
            for clash in merged[:MAX_CONFLICTS]
        ),
    )


class _Absent:
    """What stands where there is nothing."""


_ABSENT = _Absent()


class _Values:
    def __init__(self, base: Document | None, theirs: Document, ours: Document) -> None:
        self._documents = (base, theirs, ours)
        self._fingerprints = Fingerprints(exact=True)
        self._showing = Showing()
        self._conflicts: list[Conflict] = []
        self._operations: list[Operation] = []

    def outcome(self, ours: bytes, format: Format) -> Merge:  # noqa: A002
        base, theirs, own = (_ABSENT if each is None else each.value for each in self._documents)
        self._merge(base, theirs, own, ())
        if self._conflicts:
            return Merge(None, tuple(self._conflicts))
        try:
            return Merge(patching.apply(ours, format, self._operations))
        except Refused as refused:
            return Merge(None, tuple(map(self._unpatchable, refused.findings)))

    def _unpatchable(self, finding: Finding) -> Conflict:
        """A change of theirs that cannot be made in the text of ours."""
        message = f"changed since, and cannot be changed here: {finding.message}"
        return self._conflict(finding.pointer, message)

    def _conflict(self, pointer: str, message: str) -> Conflict:
        base, theirs, ours = (self._side(document, pointer) for document in self._documents)
        return Conflict(pointer, message, base, theirs, ours)

    def _merge(self, base: Any, theirs: Any, ours: Any, path: Path) -> None:
        if self._is_same(theirs, ours) or self._is_same(theirs, base):
            return
        unchanged = self._is_same(ours, base)
        if isinstance(theirs, values.Table) and isinstance(ours, values.Table) and not _is_other(base):
            old: dict[str, Any] = base if isinstance(base, values.Table) else {}
            for key in {**ours, **theirs, **old}:
                sides = (old.get(key, _ABSENT), theirs.get(key, _ABSENT), ours.get(key, _ABSENT))
                self._merge(*sides, (*path, key))
        elif unchanged and isinstance(theirs, values.Row) and isinstance(ours, values.Row):
            self._take_list(theirs, ours, path)
        elif unchanged:
            self._take(theirs, path)
        elif len(self._conflicts) < MAX_CONFLICTS:
            self._conflicts.append(self._conflict(findings.pointer_of(path), _words(base, theirs, ours)))

    def _take(self, theirs: Any, path: Path) -> None:
        pointer = findings.pointer_of(path)
        self._operations.append(Remove(pointer) if theirs is _ABSENT else Set(pointer, theirs))

    def _take_list(self, theirs: values.Row, ours: values.Row, path: Path) -> None:
        """Item by item where the items are likely the same ones, so that what stands around them stays."""
        if len(theirs) == len(ours):
            for index, (new, own) in enumerate(zip(theirs, ours, strict=True)):
                self._merge(own, new, own, (*path, index))
        elif all(map(self._is_same, theirs, ours)) and len(theirs) > len(ours):
            for new in theirs[len(ours) :]:
                self._take(new, (*path, pointers.APPEND))
        else:
            self._take(theirs, path)

    def _is_same(self, one: Any, other: Any) -> bool:
        if one is _ABSENT or other is _ABSENT:
            return one is other
        return self._fingerprints.of(one) == self._fingerprints.of(other)

    def _side(self, document: Document | None, pointer: str) -> Side | None:
        path = None if document is None else addresses.walk(document.value, pointer)
        if document is None or path is None:
            return None
        value = document.value
        for step in path:
            value = value[step]
        return Side(self._showing.plain(value), document.position(path))


def _is_other(base: Any) -> bool:
    return base is not _ABSENT and not isinstance(base, values.Table)


def _words(base: Any, theirs: Any, ours: Any) -> str:
    if theirs is _ABSENT:
        return "removed since, and changed here"
    if ours is _ABSENT:
        return "changed since, and removed here"
    return f"{'added' if base is _ABSENT else 'changed'} since, and differently here"
