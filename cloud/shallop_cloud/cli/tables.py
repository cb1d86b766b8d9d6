"""Tables for people: colours on a terminal, plain and stable text anywhere else.

All text goes through `words.clean` here, so no command can forget it.
"""

from __future__ import annotations

import itertools
import os
import shutil
import sys
import textwrap
from collections.abc import Sequence
from typing import NamedTuple

import click

from shallop_cloud.cli import grid, words

EMPTY = "-"
"""What stands in a cell that has nothing to say, so that columns can be counted."""


class Cell(NamedTuple):
    """A text with a colour."""

    text: str
    style: str


class Id(NamedTuple):
    """An id, whole where programs read, and else as much of it as tells it from the others of its column."""

    text: str


Content = str | Cell | Id

_STYLES = {
    "deployed": "green",
    "online": "green",
    "yes": "green",
    "staged": "blue",
    "queued": "cyan",
    "removing": "cyan",
    "drifted": "yellow",
    "files changed": "yellow",
    "retrying": "yellow",
    "not enrolled": "yellow",
    "no": "yellow",
    "silent": "yellow",
    "lagging": "red",
    "active": "green",
    "retired": "dim",
    "conflict": "bold red",
    "failed": "bold red",
    "refused": "bold red",
    "offline": "red",
    "never": "yellow",
    "archived": "dim",
    "merged": "cyan",
    "in sync": "green",
    "added": "green",
    "removed": "red",
    "changed": "yellow",
    "valid": "green",
    "expired": "yellow",
    "revoked": "dim",
    "ok": "green",
    "weaker": "yellow",
    "unfit": "bold red",
    "not checked": "yellow",
}


def state(word: str) -> Cell:
    """A word of state in its colour; the word alone must be enough."""
    return Cell(word, _STYLES.get(word.rstrip(), ""))


def is_plain(*, err: bool = False) -> bool:
    """Whether stdout (or stderr) gets no colours and no fixed width: not a terminal, a dumb one, or ``NO_COLOR``."""
    stream = sys.stderr if err else sys.stdout
    return not stream.isatty() or bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") == "dumb"


def is_piped() -> bool:
    """Whether stdout is no terminal, so that nothing need be cut to fit it."""
    return not sys.stdout.isatty()


def columns(titles: Sequence[str], rows: Sequence[Sequence[Content]]) -> None:
    """Prints rows below titles, one line each. Piped, nothing is ever cut.

    A terminal that is too narrow cuts texts, has no column of long texts that are all empty, and shows ids as short as
    people would type them.
    """
    if rows and not is_piped():
        said = [
            title not in grid.FREE or any(_text(each) != EMPTY for each in column)
            for title, column in zip(titles, zip(*rows, strict=True), strict=True)
        ]
        titles = list(itertools.compress(titles, said))
        rows = _shortened([list(itertools.compress(row, said)) for row in rows])
    texts = [[_text(content) for content in row] for row in rows]
    widths = grid.fitted(titles, texts, _room())
    _row(titles, widths, ["bold" for _ in titles])
    for row, text in zip(rows, texts, strict=True):
        _row(text, widths, [_style(content) for content in row])


def fields(pairs: Sequence[tuple[str, Content]]) -> None:
    """Prints one fact a line, for a single thing. On a terminal, sentences are broken and what has no blank is cut."""
    widest = max(len(name) for name, _ in pairs) + len(":")
    room = _room()
    for name, content in pairs:
        text = _text(content)
        left = None if room is None else max(room - widest - grid.GAP, 10)
        lines = textwrap.wrap(text, left, break_long_words=False) if left and " " in text else [text]
        for number, line in enumerate(lines):
            label = "" if number else f"{name}:"
            say(Cell(label.ljust(widest + grid.GAP), "bold"), Cell(line, _style(content)))


def say(*parts: Content) -> None:
    """Prints parts, one behind the other, as one line, which a terminal's width cuts and a pipe does not."""
    texts = [_text(part, empty="", strip=False) for part in parts]
    room = _room()
    if room is not None and sum(map(grid.width, texts)) > room:
        texts = grid.cut_line(texts, room)
    line = "".join(_styled(text, _style(part)) for text, part in zip(texts, parts, strict=True))
    click.echo(line.rstrip())


def say_all(text: str, indent: int = 0) -> None:
    """Prints sentences, broken between words where a terminal's line ends; piped, as one line."""
    room = _room() or sys.maxsize
    for line in textwrap.wrap(words.clean(text), max(room - indent, 20)):
        say(" " * indent, line)


def _row(texts: Sequence[str], widths: Sequence[int], styles: Sequence[str]) -> None:
    """One line of a table; blanks are not styled, and none stands at its end."""
    parts: list[Content] = []
    for text, width, style in zip(texts, widths, styles, strict=True):
        shown = grid.cut(text, width)
        parts += [Cell(shown, style), " " * (width - grid.width(shown) + grid.GAP)]
    say(*parts[:-1])


def _text(content: Content, empty: str = EMPTY, *, strip: bool = True) -> str:
    return words.clean(content if isinstance(content, str) else content.text, strip=strip) or empty


def _style(content: Content) -> str:
    return content.style if isinstance(content, Cell) else ""


def _styled(text: str, style: str) -> str:
    """``text`` in a colour and weight such as ``bold red``, for the terminals that want it."""
    if not style or not text or is_plain():
        return text
    told = set(style.split())
    colour = next(iter(told - {"bold", "dim"}), None)
    return click.style(text, fg=colour, bold="bold" in told or None, dim="dim" in told or None)


def _shortened(rows: Sequence[Sequence[Content]]) -> list[list[Content]]:
    """The rows with their ids as short as people would type them, and as tells them apart within a column."""
    lengths: list[int] = []
    for column in zip(*rows, strict=True):
        known = [each.text for each in column if isinstance(each, Id)]
        lengths.append(grid.apart(known, max((len(words.short(each)) for each in known), default=0)))
    return [
        [each.text[:length] if isinstance(each, Id) else each for each, length in zip(row, lengths, strict=True)]
        for row in rows
    ]


def _room() -> int | None:
    """How many cells a line has; None if there is no terminal to fit."""
    return None if is_piped() else shutil.get_terminal_size().columns
