"""What differs between two versions of a config file: in meaning, where it can be read, else in its lines."""

from __future__ import annotations

import contextlib
import dataclasses
import enum
from collections.abc import Iterator
from typing import Any, cast

from shallop_cloud.configs import alignment, documents, findings, lines
from shallop_cloud.configs.alignment import Effort
from shallop_cloud.configs.documents import Document, Format
from shallop_cloud.configs.findings import Path, Position, Refused
from shallop_cloud.configs.fingerprints import Fingerprints
from shallop_cloud.configs.shown import Showing

MAX_CHANGES = 1_000
"""How many changes are told, the first ones by place."""


class Kind(str, enum.Enum):
    """What became of a value."""

    ADDED = "added"
    REMOVED = "removed"
    CHANGED = "changed"


@dataclasses.dataclass(frozen=True, slots=True)
class Change:
    """One value that is not what it was. What did not exist has neither value nor place.

    Values are what ``json.dumps(allow_nan=False)`` takes: NaN and infinity are the texts ``.nan``, ``.inf`` and
    ``-.inf`` (`shown.Showing`).
    """

    kind: Kind
    pointer: str
    """Where it stands after the change; of what was removed, where it stood before. Items of lists may have moved."""
    before: Any
    after: Any
    before_at: Position | None
    after_at: Position | None


@dataclasses.dataclass(frozen=True, slots=True)
class FileDiff:
    """What differs between two versions of a file."""

    same_bytes: bool
    same_meaning: bool
    """Whether every program reads the same values: comments, layout, the order of keys, and 1 or 1.0 do not count.
    Of a file without structure, or one that cannot be parsed, all bytes count."""
    changes: tuple[Change, ...] = ()
    """By place, at most 1000. None for a file without structure, or if either version cannot be parsed."""
    omitted: int = 0
    """How many more changes there are."""
    lines: tuple[str, ...] = ()
    """For a file without ``changes`` by its nature: the unified comparison of its lines."""


def compare(before: bytes | None, after: bytes | None, format: Format) -> FileDiff:  # noqa: A002
    """What differs between two versions of a file; None is no file. Takes bounded time.

    Lists are compared by their longest common subsequence. Items that have no equal are paired in order between two
    that have. `lines.unified` tells the difference in lines, of any format.
    """
    if before == after:
        return FileDiff(same_bytes=True, same_meaning=True)
    if format is not Format.TEXT:
        with contextlib.suppress(Refused):
            return _Comparison(_parsed(before, format), _parsed(after, format)).outcome()
    return FileDiff(same_bytes=False, same_meaning=False, lines=lines.unified(before, after))


def binary(*versions: tuple[int, str]) -> str:
    """What is said of versions of a file that cannot be looked into, each by its size and digest: ``binary, 20.0 MB ->
    20.1 MB, sha256:… -> sha256:…``.
    """
    sizes = [f"{size / 1e6:.1f} MB" if size >= 100_000 else f"{size} B" for size, _ in versions]
    return f"binary, {' -> '.join(sizes)}, {' -> '.join(digest for _, digest in versions)}"


def _parsed(content: bytes | None, format: Format) -> Document | None:  # noqa: A002
    return None if content is None else documents.parse(content, format, any_keys=True)


class _Comparison:
    """Walks through two documents at once. ``path`` is a place in the new one, ``old_path`` in the old one."""

    def __init__(self, old: Document | None, new: Document | None) -> None:
        self._old, self._new = old, new
        self._fingerprints = Fingerprints()
        self._effort = Effort()
        self._showing = Showing()

    def outcome(self) -> FileDiff:
        found: list[Change] = []
        count = 0
        for count, (kind, old_path, path) in enumerate(self._root(), 1):
            if count <= MAX_CHANGES:
                found.append(self._change(kind, old_path, path))
        return FileDiff(
            same_bytes=False, same_meaning=not count, changes=tuple(found), omitted=max(0, count - MAX_CHANGES)
        )

    def _root(self) -> Iterator[tuple[Kind, Path, Path]]:
        if self._old is None:
            yield Kind.ADDED, (), ()
        elif self._new is None:
            yield Kind.REMOVED, (), ()
        else:
            yield from self._values(self._old.value, self._new.value, (), ())

    def _values(self, old: Any, new: Any, old_path: Path, path: Path) -> Iterator[tuple[Kind, Path, Path]]:
        if self._fingerprints.of(old) == self._fingerprints.of(new):
            return
        if isinstance(old, dict) and isinstance(new, dict):
            yield from self._objects(cast("dict[str, Any]", old), cast("dict[str, Any]", new), old_path, path)
        elif isinstance(old, list) and isinstance(new, list):
            yield from self._lists(cast("list[Any]", old), cast("list[Any]", new), old_path, path)
        else:
            yield Kind.CHANGED, old_path, path

    def _objects(
        self, old: dict[str, Any], new: dict[str, Any], old_path: Path, path: Path
    ) -> Iterator[tuple[Kind, Path, Path]]:
        """In the order of ``new``; what was removed comes behind the key that it stood behind."""
        removed: dict[str | None, list[str]] = {}
        last: str | None = None
        for key in old:
            if key in new:
                last = key
            else:
                removed.setdefault(last, []).append(key)
        for key in (None, *new):
            if key is not None and key in old:
                yield from self._values(old[key], new[key], (*old_path, key), (*path, key))
            elif key is not None:
                yield Kind.ADDED, (), (*path, key)
            for gone in removed.get(key, ()):
                yield Kind.REMOVED, (*old_path, gone), ()

    def _lists(self, old: list[Any], new: list[Any], old_path: Path, path: Path) -> Iterator[tuple[Kind, Path, Path]]:
        ours, theirs = [[self._fingerprints.of(each) for each in row] for row in (old, new)]
        matched = alignment.matches(ours, theirs, self._effort)
        for gap in alignment.gaps(matched, len(old), len(new)):
            before, after = range(gap.start, gap.end), range(gap.after_start, gap.after_end)
            for one, other in zip(before, after, strict=False):
                yield from self._values(old[one], new[other], (*old_path, one), (*path, other))
            for one in before[len(after) :]:
                yield Kind.REMOVED, (*old_path, one), ()
            for other in after[len(before) :]:
                yield Kind.ADDED, (), (*path, other)

    def _change(self, kind: Kind, old_path: Path, path: Path) -> Change:
        before, before_at = (None, None) if kind is Kind.ADDED else self._shown(self._old, old_path)
        after, after_at = (None, None) if kind is Kind.REMOVED else self._shown(self._new, path)
        pointer = findings.pointer_of(old_path if kind is Kind.REMOVED else path)
        return Change(kind, pointer, before, after, before_at, after_at)

    def _shown(self, document: Document | None, path: Path) -> tuple[Any, Position]:
        assert document is not None, "only what is there can be at a path"
        value = document.value
        for step in path:
            value = value[step]
        return self._showing.plain(value), document.position(path)
