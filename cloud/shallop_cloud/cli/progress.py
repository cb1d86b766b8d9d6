"""What is going on, on stderr, while a command takes its time."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator

import click

from shallop_cloud.cli import tables, words

Tell = Callable[[str], None]


@contextlib.contextmanager
def shown(awaited: str) -> Generator[Tell]:
    """Gives a function that says what is known by now. What is news stays as a line.

    On a terminal, a living line below says what is awaited; it goes when the block ends, the news do not.
    """
    if tables.is_plain(err=True):
        yield _news(lambda text: click.echo(text, err=True))
        return
    from rich.console import Console
    from rich.text import Text

    console = Console(stderr=True, highlight=False)
    with console.status(Text(words.clean(awaited))):
        yield _news(lambda text: console.print(Text(text)))


@contextlib.contextmanager
def counted(awaited: str, *, piped: bool = True) -> Generator[Tell]:
    """Gives a function that says how far it is. On a terminal that is one living line; else each news is a line, or
    without ``piped`` nothing.
    """
    if tables.is_plain(err=True):
        yield _news(lambda text: click.echo(text, err=True) if piped else None)
        return
    from rich.console import Console
    from rich.text import Text

    with Console(stderr=True, highlight=False).status(Text(words.clean(awaited))) as status:
        yield lambda text: status.update(Text(words.clean(f"{awaited}: {text}")))


def _news(say: Tell) -> Tell:
    last = ""

    def tell(text: str) -> None:
        nonlocal last
        if text != last:
            last = text
            say(words.clean(text))

    return tell
