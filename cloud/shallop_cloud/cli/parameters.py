"""What people type, checked before anything is sent: keys, labels, config files, expectations, pages."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterable
from typing import Any

import click

Command = Callable[..., None]

KEY_CHARACTERS = 128


def key(text: str) -> str:
    """An id, the beginning of one, a name or a version: whatever the server looks up."""
    if not text.strip() or len(text) > KEY_CHARACTERS or text in (".", "..") or any(each in "/:\0" for each in text):
        raise click.BadParameter(f"{text!r} is neither an id nor a name")
    return text


def label(text: str) -> tuple[str, str]:
    """``site=lyon``."""
    name, sign, value = text.partition("=")
    if not name or not sign:
        raise click.BadParameter(f"{text!r} is not KEY=VALUE, such as site=lyon")
    return name, value


def labels(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Labels by key.

    Raises:
        click.UsageError: a key occurs twice.
    """
    by_key: dict[str, str] = {}
    for name, value in pairs:
        if name in by_key:
            raise click.UsageError(f"label {name!r} is given twice: {by_key[name]!r} and {value!r}")
        by_key[name] = value
    return by_key


@dataclasses.dataclass(frozen=True, slots=True)
class Config:
    """A config type, and the file that its content is read from; ``-`` is stdin."""

    config_type: str
    file: str


def config(text: str) -> Config:
    """``motion-control=motion.yaml``."""
    config_type, sign, file = text.partition("=")
    if not config_type or not sign or not file:
        raise click.BadParameter(f"{text!r} is not TYPE=FILE, such as motion-control=motion.yaml")
    return Config(config_type, file)


@dataclasses.dataclass(frozen=True, slots=True)
class Expectation:
    """The deployment that is believed to be desired now; None for no deployment at all."""

    deployment: str | None


def expectation(text: str) -> Expectation:
    """``none``, or a deployment."""
    return Expectation(None if text.lower() == "none" else key(text))


def expected(expectation: Expectation | None) -> dict[str, str | None]:
    """What the body of an act says of it: nothing, if nothing is expected."""
    return {} if expectation is None else {"expected_current": expectation.deployment}


@dataclasses.dataclass(frozen=True, slots=True)
class Paging:
    """Which part of a list is shown."""

    limit: int
    cursor: str | None
    everything: bool


def paged(command: Command) -> Command:
    """Gives a command ``--limit``, ``--cursor`` and ``--all``, and passes it ``paging``."""

    @click.option("--limit", type=click.IntRange(1, 500), default=50, show_default=True, help="How many a page.")
    @click.option("--cursor", metavar="CURSOR", help="Go on where an earlier page ended (its next_cursor).")
    @click.option("--all", "everything", is_flag=True, help="All pages.")
    @functools.wraps(command)
    def told(*args: Any, limit: int, cursor: str | None, everything: bool, **rest: Any) -> None:
        return command(*args, paging=Paging(limit, cursor, everything), **rest)

    return told


def waiting(command: Command) -> Command:
    """Gives a command ``--wait`` and ``--timeout``, and passes it ``wait_for``: seconds, or None not to wait."""

    @click.option("--wait", is_flag=True, help="Until the device has confirmed it: 0 then, 9 if it failed.")
    @click.option(
        "--timeout",
        type=click.FloatRange(min=0, min_open=True),
        metavar="SECONDS",
        help=f"How long to wait; ends with 8.  [default: {WAIT:g}]",
    )
    @functools.wraps(command)
    def told(*args: Any, wait: bool, timeout: float | None, **rest: Any) -> None:
        if timeout is not None and not wait:
            raise click.UsageError("--timeout belongs to --wait")
        return command(*args, wait_for=(timeout or WAIT) if wait else None, **rest)

    return told


WAIT = 120.0
"""Seconds that ``--wait`` waits if nothing else is said."""


def example(line: str) -> str:
    """The end of a command's help."""
    return f"\b\nExample:\n  {line}"
