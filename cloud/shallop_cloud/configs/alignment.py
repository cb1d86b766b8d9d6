"""Which items of one sequence are those of another: the longest common subsequence, found within a bound.

The algorithm is Myers' (An O(ND) Difference Algorithm and Its Variations, 1986): cheap where little differs, which is
the common case. Where much differs it would take quadratic time; then items are paired by their index instead.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import NamedTuple

WORK = 400_000
"""Steps that one comparison may take, all its sequences together: about a quarter of a second."""


@dataclasses.dataclass(slots=True)
class Effort:
    """What may still be spent on alignments."""

    left: int = WORK


class Gap(NamedTuple):
    """Items between two matches: ``before[start:end]`` against ``after[after_start:after_end]``; one may be empty."""

    start: int
    end: int
    after_start: int
    after_end: int


def matches(before: Sequence[bytes], after: Sequence[bytes], effort: Effort) -> list[tuple[int, int]]:
    """The indexes of equal items, rising in both sequences: as many as can be if ``effort`` suffices.

    If it does not, these are the common items at both ends, and between them those that have the same index from the
    start.
    """
    head = _common(before, after)
    tail = _common(before[head:][::-1], after[head:][::-1])
    middle, after_middle = before[head : len(before) - tail], after[head : len(after) - tail]
    found = _myers(middle, after_middle, effort)
    if found is None:
        pairs = enumerate(zip(middle, after_middle, strict=False))
        found = [(index, index) for index, (one, other) in pairs if one == other]
    return [
        *((index, index) for index in range(head)),
        *((head + one, head + other) for one, other in found),
        *((len(before) - back, len(after) - back) for back in range(tail, 0, -1)),
    ]


def gaps(matched: Sequence[tuple[int, int]], length: int, after_length: int) -> Iterator[Gap]:
    """What lies between matches, where there is anything."""
    start = after_start = 0
    for end, after_end in [*matched, (length, after_length)]:
        if end > start or after_end > after_start:
            yield Gap(start, end, after_start, after_end)
        start, after_start = end + 1, after_end + 1


def _common(one: Sequence[bytes], other: Sequence[bytes]) -> int:
    """How many items both begin with."""
    count = 0
    while count < len(one) and count < len(other) and one[count] == other[count]:
        count += 1
    return count


def _myers(before: Sequence[bytes], after: Sequence[bytes], effort: Effort) -> list[tuple[int, int]] | None:
    """The matches, or None once the effort is spent. ``x`` counts in ``before``; diagonal k holds (x, x - k)."""
    if not before or not after:
        return []
    trace: list[dict[int, int]] = [{1: 0}]
    while effort.left > 0:
        furthest, edits = trace[-1], len(trace) - 1
        reached: dict[int, int] = {}
        for k in range(-edits, edits + 1, 2):
            x = start = _entry(furthest, k, edits)
            while x < len(before) and x - k < len(after) and before[x] == after[x - k]:
                x += 1
            reached[k] = x
            effort.left -= 1 + x - start
            if x >= len(before) and x - k >= len(after):
                return _way(trace, k, x)
        trace.append(reached)
    return None


def _entry(furthest: dict[int, int], k: int, edits: int) -> int:
    """The ``x`` at which the last of ``edits`` edits enters diagonal ``k``."""
    return furthest[k + 1] if _is_insertion(furthest, k, edits) else furthest[k - 1] + 1


def _is_insertion(furthest: dict[int, int], k: int, edits: int) -> bool:
    return k == -edits or (k != edits and furthest[k - 1] < furthest[k + 1])


def _way(trace: Sequence[dict[int, int]], k: int, x: int) -> list[tuple[int, int]]:
    """The matches on the way to ``x`` on diagonal ``k``. ``trace`` has, for each edit, what was reached before it."""
    found: list[tuple[int, int]] = []
    for edits in range(len(trace) - 1, -1, -1):
        furthest = trace[edits]
        found += ((each, each - k) for each in range(x - 1, _entry(furthest, k, edits) - 1, -1))
        k += 1 if _is_insertion(furthest, k, edits) else -1
        x = furthest[k]
    return found[::-1]
