"""What can be done to a robot of the bench: the vocabulary, as people type it. Who does it is another's business.

::

    offline 30s     its link is cut, and comes back by itself
    power-cut 2s    it loses its power, and gets it back
    disk-full 30s   every write fails for lack of space
    corrupt-state   its state database is overwritten
    slow 200ms      each message takes so much longer
    clock -50y      its wall clock is so far off
    duplicate       each message comes twice
    reorder         messages overtake each other
    heal            all of that is over
"""

from __future__ import annotations

import dataclasses
import enum
import re
from collections.abc import Mapping, Sequence


class FaultError(ValueError):
    """Words that name no fault; the message says what can stand there."""


class Kind(enum.StrEnum):
    """A kind of fault."""

    OFFLINE = "offline"
    POWER_CUT = "power-cut"
    DISK_FULL = "disk-full"
    CORRUPT_STATE = "corrupt-state"
    SLOW = "slow"
    CLOCK = "clock"
    DUPLICATE = "duplicate"
    REORDER = "reorder"
    HEAL = "heal"


DEFAULTS: Mapping[Kind, float] = {Kind.OFFLINE: 30.0, Kind.POWER_CUT: 1.0, Kind.DISK_FULL: 30.0, Kind.SLOW: 0.2}
"""The seconds of the kinds that have some, when none are given."""
MAX_SECONDS = 86_400.0
"""The longest fault that ends by itself, and the slowest link."""
MAX_CLOCK = 100 * 365.25 * 86_400
"""How far a wall clock can be off, either way."""

_AMOUNT = re.compile(r"([+-]?)(\d{1,10}(?:\.\d{1,3})?)(ms|s|m|h|d|y)\Z")
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0, "y": 365.25 * 86_400}


@dataclasses.dataclass(frozen=True, slots=True)
class Fault:
    """One fault.

    Attributes:
        seconds: how long ``offline``, ``power-cut`` and ``disk-full`` last; by how much ``slow`` delays each message,
            until ``heal``; by how much ``clock`` is off, negative for the past, until ``heal``. 0 for the others.
    """

    kind: Kind
    seconds: float = 0.0

    @classmethod
    def parse(cls, words: Sequence[str]) -> Fault:
        """The fault that one or two words name: ``["slow", "200ms"]``.

        Raises:
            FaultError: an unknown kind, an amount that is none, is out of bounds, or belongs to no such kind.
        """
        name, *rest = words or [""]
        try:
            kind = Kind(name)
        except ValueError:
            raise FaultError(f"{name!r} is no fault; there are: {', '.join(Kind)}") from None
        if not rest:
            if kind is Kind.CLOCK:
                raise FaultError("clock needs to know how far: clock -50y, clock +3h")
            return cls(kind, DEFAULTS.get(kind, 0.0))
        if kind not in DEFAULTS and kind is not Kind.CLOCK:
            raise FaultError(f"{kind} takes no amount, and {' '.join(rest)!r} was given")
        if len(rest) > 1:
            raise FaultError(f"{kind} takes one amount, and {' '.join(rest)!r} was given")
        return cls(kind, _seconds(kind, rest[0]))

    def __str__(self) -> str:
        """As ``parse`` takes it."""
        return f"{self.kind} {self.seconds:.3f}s" if self.seconds else str(self.kind)


def _seconds(kind: Kind, text: str) -> float:
    found = _AMOUNT.match(text)
    if found is None:
        raise FaultError(f"{text!r} is no amount of time: write 200ms, 30s, 5m, 2h, 1d or 50y")
    sign, number, unit = found.groups()
    seconds = float(number) * _UNITS[unit] * (-1 if sign == "-" else 1)
    if kind is Kind.CLOCK:
        if abs(seconds) > MAX_CLOCK:
            raise FaultError(f"a clock is off by 100y at most, and {text} was given")
    elif not 0 < seconds <= MAX_SECONDS:
        raise FaultError(f"{kind} takes more than 0 and at most 1d, and {text} was given")
    return seconds
