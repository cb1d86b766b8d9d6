"""Three versions of a text merged line by line, as ``diff3 -m`` does (Khanna, Kunal, Pierce: A Formal Investigation of
Diff3, 2007).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from shallop_cloud.configs import alignment, lines
from shallop_cloud.configs.alignment import Effort


class Part(NamedTuple):
    """Some lines of a version, and the number of the first one, from 1."""

    text: str
    line: int


class Clash(NamedTuple):
    """Lines that two versions changed in different ways."""

    base: Part
    theirs: Part
    ours: Part


class _Chunk(NamedTuple):
    """A stretch of all three versions, as ranges of their lines."""

    base: range
    theirs: range
    ours: range


def merge(base: bytes, theirs: bytes, ours: bytes) -> bytes | list[Clash]:
    """Both sets of changes in one text, or every place where they clash. Takes bounded time.

    Changes clash where no unchanged line is between them.
    """
    versions = [lines.split(each) for each in (base, theirs, ours)]
    merged: list[str] = []
    clashes: list[Clash] = []
    for chunk in _chunks(*versions):
        old, new, own = (version[part.start : part.stop] for version, part in zip(versions, chunk, strict=True))
        if new in (old, own):
            merged += own
        elif own == old:
            merged += new
        else:
            parts = zip((old, new, own), chunk, strict=True)
            clashes.append(Clash(*(Part("".join(text), place.start + 1) for text, place in parts)))
    return clashes or "".join(merged).encode()


def _chunks(base: Sequence[str], theirs: Sequence[str], ours: Sequence[str]) -> Iterator[_Chunk]:
    """The versions cut at the lines that all three share: those lines, and what lies between them, in turn."""
    effort = Effort()
    keys = [lines.keys(each) for each in (base, theirs, ours)]
    in_theirs = dict(alignment.matches(keys[0], keys[1], effort))
    in_ours = dict(alignment.matches(keys[0], keys[2], effort))
    at = (0, 0, 0)
    shared: list[int | None] = [each for each in range(len(base)) if each in in_theirs and each in in_ours]
    for index in [*shared, None]:
        end = (len(base), len(theirs), len(ours)) if index is None else (index, in_theirs[index], in_ours[index])
        behind = (end[0] + 1, end[1] + 1, end[2] + 1)
        yield _Chunk(*map(range, at, end))
        yield _Chunk(*map(range, end, behind))
        at = behind
