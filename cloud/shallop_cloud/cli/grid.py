"""The widths of a table's columns, and texts that fit them; counted in the cells of a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

GAP = 2
"""Blanks between columns."""

FREE = frozenset({"CHANGE", "CONFIG TYPES", "DESCRIPTION", "DIGEST", "LABELS", "PATH", "PROBLEM", "REASON"})
"""Titles of columns whose texts may be long, and say most of it at their beginning."""

NAMES = frozenset({"DEVICE", "CONFIG TYPE", "WHO"})

STATES = frozenset({"STATUS"})
"""Titles of columns of a word that may have more behind it."""

_FLOORS = ((FREE, 12), (STATES, 12), (NAMES, 12), (FREE, 4), (NAMES, 6), (None, 3))
"""Which columns give way, one kind after the other (None: all), and how narrow they become."""


def width(text: str) -> int:
    """How many cells a text takes: most characters one, those of East Asia and emoji two."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len  # slow to load

    return cell_len(text)


def cut(text: str, to: int) -> str:
    """``text``, or as much of it as fits, with an ellipsis at its end."""
    if width(text) <= to:
        return text
    if text.isascii():
        return f"{text[: to - 1]}…"
    from rich.cells import set_cell_size

    return f"{set_cell_size(text, to - 1).rstrip()}…"


def cut_line(texts: Sequence[str], room: int) -> list[str]:
    """Texts that follow one another in a line too long for ``room`` cells: its beginning, an ellipsis, then nothing."""
    left = room
    kept: list[str] = []
    for text in texts:
        # One cell is kept for the ellipsis, which stands where the line ends.
        kept.append(text if width(text) < left else cut(f"{text}  ", left) if left > 0 else "")
        left = left - width(text) if width(text) < left else 0
    return kept


def fitted(titles: Sequence[str], rows: Sequence[Sequence[str]], room: int | None) -> list[int]:
    """The width of each column, so that a line fits into ``room`` cells if that can be; None is any amount."""
    widths = [max(width(text) for text in (title, *column)) for title, *column in zip(titles, *rows, strict=True)]
    if room is None:
        return widths
    for kind, floor in _FLOORS:
        shrinkable = [number for number, title in enumerate(titles) if kind is None or title in kind]
        while sum(widths) + GAP * (len(widths) - 1) > room:
            widest = max(shrinkable, key=lambda number: widths[number], default=None)
            if widest is None or widths[widest] <= floor:
                break
            widths[widest] -= 1
    return widths


def apart(texts: Iterable[str], least: int) -> int:
    """How long a beginning tells all of ``texts`` from one another, at least ``least``."""
    different = set(texts)
    length = least
    while len({each[:length] for each in different}) < len(different):
        length += 1
    return length
