"""Tables for people: colours on a terminal, plain and stable text anywhere else.

All text goes through `words.clean` here, so no command can forget it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import click

from shallop_cloud.cli import words

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

EMPTY = "-"
"""What stands in a cell that has nothing to say, so that columns can be counted."""


class Cell(NamedTuple):
    """A text with a colour."""

    text: str
    style: str


Content = str | Cell

_STYLES = {
    "deployed": "green",
    "online": "green",
    "yes": "green",
    "staged": "blue",
    "queued": "cyan",
    "removing": "cyan",
    "drifted": "yellow",
    "retrying": "yellow",
    "not enrolled": "yellow",
    "no": "yellow",
    "failed": "bold red",
    "offline": "red",
    "archived": "dim",
}


def state(word: str) -> Cell:
    """A word of state in its colour; the word alone must be enough."""
    return Cell(word, _STYLES.get(word, ""))


def is_plain(*, err: bool = False) -> bool:
    """Whether stdout (or stderr) gets no colours and no fixed width: not a terminal, a dumb one, or ``NO_COLOR``."""
    stream = sys.stderr if err else sys.stdout
    return not stream.isatty() or bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") == "dumb"


def columns(titles: Sequence[str], rows: Sequence[Sequence[Content]]) -> None:
    """Prints rows below titles. Piped, nothing is ever cut or wrapped."""
    if is_plain():
        _print_plain([titles, *rows])
        return
    from rich.table import Table  # slow to load

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for title in titles:
        table.add_column(title, overflow="fold", no_wrap=title in _WHOLE)
    for row in rows:
        table.add_row(*map(_rich, row))
    _print_rich(table)


_WHOLE = frozenset({"ID", "DEVICE", "RELEASE", "STATUS", "TARGET", "AT", "DEPLOYMENT", "CURRENT"})


def fields(pairs: Sequence[tuple[str, Content]]) -> None:
    """Prints one fact a line, for a single thing."""
    if is_plain():
        _print_plain([(f"{name}:", value) for name, value in pairs])
        return
    from rich.table import Table  # slow to load

    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in pairs:
        table.add_row(f"{name}:", _rich(value))
    _print_rich(table)


def _text(content: Content) -> str:
    return words.clean(content.text if isinstance(content, Cell) else content) or EMPTY


def _rich(content: Content) -> Text:
    from rich.text import Text

    return Text(_text(content), style=content.style if isinstance(content, Cell) else "")


def _print_rich(table: Table) -> None:
    from rich.console import Console

    Console(highlight=False).print(table)


def _print_plain(rows: Sequence[Sequence[Content]]) -> None:
    texts = [[_text(content) for content in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*texts, strict=True)]
    for row in texts:
        click.echo("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip())
