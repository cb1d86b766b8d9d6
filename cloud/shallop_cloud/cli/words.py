"""Text for people: what devices and servers sent, made harmless, and times as ages."""

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping

from shallop_protocol import terminal


def clean(text: str, *, strip: bool = True) -> str:
    """``text`` as one line that a terminal only shows, without tabs. ``strip``: nor blanks at its ends."""
    cleaned = re.sub(r"[\t\n]+", " ", terminal.lines(text))
    return cleaned.strip() if strip else cleaned


def clean_lines(text: str) -> str:
    """``text`` as lines, each of them clean."""
    return "\n".join(clean(each, strip=False) for each in text.split("\n"))


def instant(text: str) -> datetime.datetime:
    """A time as the API writes it (RFC 3339)."""
    return datetime.datetime.fromisoformat(text)


def ago(then: str | None, now: datetime.datetime) -> str:
    """How long before ``now`` a time of the API was: ``3m ago``; empty for none. A clock ahead of ours reads as 0."""
    return f"{_span(now - instant(then))} ago" if then else ""


def until(then: str | None, now: datetime.datetime) -> str:
    """When something ends: ``2026-03-08T08:00:00Z (in 7d)``, or ``(expired)``; empty for none."""
    if then is None:
        return ""
    left = instant(then) - now
    # What was made for 7 days a moment ago is to read so, not as 6.
    moment = datetime.timedelta(seconds=30 if left > datetime.timedelta(minutes=30) else 0)
    hint = f"in {_span(left + moment)}" if left > datetime.timedelta() else "expired"
    return f"{stamp(then)} ({hint})"


def stamp(then: str | None) -> str:
    """A time of the API to the second, in UTC: ``2026-03-01T08:00:00Z``; empty for none."""
    return f"{instant(then).astimezone(datetime.UTC):%Y-%m-%dT%H:%M:%SZ}" if then else ""


def time_of_day(then: str) -> str:
    """A time of the API to the minute, in UTC, for what is near: ``14:05 UTC``."""
    return f"{instant(then).astimezone(datetime.UTC):%H:%M} UTC"


def term(seconds: int) -> str:
    """``2m``, ``90s``: a length of time as people type it."""
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "m")):
        if seconds % size == 0:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def with_age(then: str | None, now: datetime.datetime) -> str:
    """Both: ``2026-03-01T08:00:00Z (3m ago)``; empty for none."""
    return f"{stamp(then)} ({ago(then, now)})" if then else ""


def age(seconds: float | None) -> str:
    """An age that the server reckoned: ``3m ago``; empty for none."""
    return "" if seconds is None else f"{_span(datetime.timedelta(seconds=seconds))} ago"


def short(id_: str | None) -> str:
    """The beginning of an id, as long as people need to tell and type it: ``DPL-7K3QF``."""
    prefix, dash, rest = (id_ or "").partition("-")
    return f"{prefix}{dash}{rest[:TYPED]}"


TYPED = 5
"""Characters of an id behind its prefix that are nearly always enough; the server asks for more where they are not."""


def counted(number: int, noun: str, plural: str = "") -> str:
    """``1 change``, ``2 changes``."""
    return f"{number} {noun if number == 1 else plural or f'{noun}s'}"


def now() -> datetime.datetime:
    """The time, in UTC."""
    return datetime.datetime.now(datetime.UTC)


def labels(pairs: Mapping[str, str]) -> str:
    """``model=amr2,site=lyon``, by key."""
    return ",".join(f"{key}={pairs[key]}" for key in sorted(pairs))


def _span(length: datetime.timedelta) -> str:
    seconds = max(0, int(length.total_seconds()))
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "m")):
        if seconds >= size:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"
