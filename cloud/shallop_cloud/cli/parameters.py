"""What people type, checked before anything is sent: keys, labels, config files, values, expectations, pages."""

from __future__ import annotations

import dataclasses
import datetime
import functools
import re
from collections.abc import Callable, Iterable, Mapping
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


def label_change(text: str) -> tuple[str, str | None]:
    """``site=lyon``, or ``site-`` to take it away: then there is no value."""
    if "=" not in text and text.endswith("-") and len(text) > 1:
        return text[:-1], None
    if "=" not in text:
        raise click.BadParameter(f"{text!r} is neither KEY=VALUE nor KEY-, such as site=lyon or site-")
    return label(text)


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


DEFAULT_SLOT = "default"


@dataclasses.dataclass(frozen=True, slots=True)
class Place:
    """Where a file goes in a deployment: a config type and one of its slots."""

    config_type: str
    slot: str = DEFAULT_SLOT

    @property
    def place(self) -> str:
        """As people type it: ``lidar/front``, or ``motion-control`` for the slot that need not be named."""
        return self.config_type if self.slot == DEFAULT_SLOT else f"{self.config_type}/{self.slot}"


def place(text: str) -> Place:
    """``motion-control`` or ``lidar/front``."""
    config_type, slash, slot = text.partition("/")
    if not config_type or "/" in slot or (slash and not slot):
        raise click.BadParameter(f"{text!r} is not TYPE or TYPE/SLOT, such as motion-control or lidar/front")
    return Place(config_type, slot or DEFAULT_SLOT)


@dataclasses.dataclass(frozen=True, slots=True)
class Config(Place):
    """A place, and the file that its content is read from; ``-`` is stdin."""

    file: str = "-"


def config(text: str) -> Config:
    """``motion-control=motion.yaml`` or ``lidar/front=front.yaml``."""
    where, sign, file = text.partition("=")
    if not where or not sign or not file:
        raise click.BadParameter(f"{text!r} is not TYPE=FILE, such as motion-control=motion.yaml")
    found = place(where)
    return Config(found.config_type, found.slot, file)


def since(text: str) -> str:
    """A time as the API takes it, of ``2026-03-01T08:00:00Z`` or of an age: ``90s``, ``30m``, ``2h``, ``7d``."""
    if (age := _AGE.fullmatch(text)) is not None:
        ago = datetime.timedelta(seconds=int(age[1]) * _SECONDS[age[2]])
        return (datetime.datetime.now(datetime.UTC) - ago).isoformat()
    try:
        then = datetime.datetime.fromisoformat(text)
    except ValueError:
        then = None
    if then is None or then.tzinfo is None:
        raise click.BadParameter(f"{text!r} is neither an age, such as 2h, nor a time, such as 2026-03-01T08:00:00Z")
    return then.isoformat()


_AGE = re.compile("([0-9]{1,6})([smhd])")
_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}


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


def selecting(command: Command) -> Command:
    """Gives a command ``--label``, which may be repeated, and passes it ``labels`` by key."""

    @click.option(
        "--label", "pairs", type=label, multiple=True, metavar="K=V", help="Devices with it; may be repeated."
    )
    @functools.wraps(command)
    def told(*args: Any, pairs: tuple[tuple[str, str], ...], **rest: Any) -> None:
        return command(*args, labels=labels(pairs), **rest)

    return told


def queried(labels: Mapping[str, str]) -> list[str]:
    """Labels as a query has them."""
    return [f"{name}={value}" for name, value in labels.items()]


def expecting(command: Command) -> Command:
    """Gives a command ``--expected-current``, and passes it ``expected_current``."""
    option = click.option(
        "--expected-current",
        type=expectation,
        metavar="DPL|none",
        help="Refuse (6) if the device is ordered to run something else than this by now.",
    )
    return option(command)


def term(text: str) -> int:
    """Seconds, of ``90s``, ``2m``, ``1h`` or ``1d``."""
    found = _AGE.fullmatch(text)
    seconds = int(found[1]) * _SECONDS[found[2]] if found else 0
    if not 1 <= seconds <= LONGEST_TERM:
        raise click.BadParameter(f"{text!r} is not a time of 1s to 1d, such as 90s or 2m")
    return seconds


LONGEST_TERM = 86_400
"""Seconds in which a robot can be told to have an answer of the cloud."""


@dataclasses.dataclass(frozen=True, slots=True)
class Term:
    """A term in seconds; None for none at all."""

    seconds: int | None


def term_or_none(text: str) -> Term:
    """``none``, or a term."""
    return Term(None if text.lower() == "none" else term(text))


def confirming(command: Command) -> Command:
    """Gives a command ``--confirm-within``, and passes it ``confirm_s``: seconds, or None for the device's own."""
    option = click.option(
        "--confirm-within",
        "confirm_s",
        type=term,
        metavar="TIME",
        help="The robot undoes it unless the cloud answers within so long, such as 2m.",
    )
    return option(command)


def confirmed(confirm_s: int | None) -> dict[str, int]:
    """What a body says of it: nothing, if nothing was said."""
    return {} if confirm_s is None else {"confirm_s": confirm_s}


def no_wait_for_staged(staged: bool, wait_for: float | None) -> None:
    """Raises `click.UsageError` for a wait that could not end."""
    if staged and wait_for is not None:
        raise click.UsageError("--wait waits for the device, which a staged deployment does not reach")


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


def example(*lines: str) -> str:
    """The end of a command's help."""
    return "\b\n" + "\n".join(["Example:" if len(lines) == 1 else "Examples:", *(f"  {line}" for line in lines)])
