"""Two texts compared line by line, in the unified format of ``diff -u``, within bounds."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence

from shallop_cloud.configs import alignment
from shallop_cloud.configs.alignment import Effort, Gap

CONTEXT = 3
"""Lines shown around a difference."""
MAX_LINES = 5_000
"""How many lines a comparison has; then one line says how many were left out."""


def split(content: bytes | None) -> list[str]:
    """The lines of a file, each with its end, none for no file. Bytes that are no UTF-8 are shown as ``\\xff``."""
    text = (content or b"").decode(errors="backslashreplace")
    *whole, last = text.split("\n")
    return [*(f"{line}\n" for line in whole), *([last] if last else [])]


def unified(before: bytes | None, after: bytes | None) -> tuple[str, ...]:
    """The differing lines with ``-`` and ``+`` before them, in hunks with their context; no file names on top.

    Empty if the files are the same. Takes bounded time: where too much differs, lines are paired by their number.
    """
    old, new = split(before), split(after)
    matched = alignment.matches(keys(old), keys(new), Effort())
    hunks = _hunks(list(alignment.gaps(matched, len(old), len(new))))
    every = [line for hunk in hunks for line in _hunk(old, new, hunk)]
    if len(every) > MAX_LINES:
        return (*every[:MAX_LINES], f"… {len(every) - MAX_LINES} more lines")
    return tuple(every)


def keys(lines: Sequence[str]) -> list[bytes]:
    """What lines are compared by: short, whatever stands in them."""
    return [hashlib.sha256(line.encode()).digest() if len(line) > _SHORT else line.encode() for line in lines]


_SHORT = 64


def _hunks(gaps: Sequence[Gap]) -> Iterator[list[Gap]]:
    """Gaps whose contexts touch belong together."""
    hunk: list[Gap] = []
    for gap in gaps:
        if hunk and gap.start - hunk[-1].end > 2 * CONTEXT:
            yield hunk
            hunk = []
        hunk.append(gap)
    if hunk:
        yield hunk


def _hunk(old: Sequence[str], new: Sequence[str], gaps: Sequence[Gap]) -> Iterator[str]:
    head, tail = min(CONTEXT, gaps[0].start), min(CONTEXT, len(old) - gaps[-1].end)
    start, end = gaps[0].start - head, gaps[-1].end + tail
    after_start, after_end = gaps[0].after_start - head, gaps[-1].after_end + tail
    yield f"@@ -{_range(start, end)} +{_range(after_start, after_end)} @@"
    at = start
    for gap in gaps:
        yield from _told(" ", old[at : gap.start])
        yield from _told("-", old[gap.start : gap.end])
        yield from _told("+", new[gap.after_start : gap.after_end])
        at = gap.end
    yield from _told(" ", old[at:end])


def _range(start: int, end: int) -> str:
    length = end - start
    begin = start + 1 if length else start
    return f"{begin}" if length == 1 else f"{begin},{length}"


def _told(sign: str, lines: Sequence[str]) -> Iterator[str]:
    for line in lines:
        yield sign + line.removesuffix("\n")
        if not line.endswith("\n"):
            yield "\\ No newline at end of file"
