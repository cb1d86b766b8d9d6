"""What a probe can find, and what each finding means."""

from __future__ import annotations

import dataclasses
import enum


class Verdict(enum.Enum):
    """How a broker stands in one respect."""

    OK = "ok"
    WEAKER = "weaker"
    """shallop works, and something is slower, less visible, or needs an option."""
    UNFIT = "unfit"
    """Do not use this broker, or not as it is configured."""
    UNKNOWN = "not checked"


@dataclasses.dataclass(frozen=True, slots=True)
class Finding:
    """What was seen."""

    verdict: Verdict
    observed: str


@dataclasses.dataclass(frozen=True, slots=True)
class Result:
    """A finding about one subject.

    Attributes:
        subject: what was probed, in two or three words.
        means: what the finding means for shallop, for a person.
    """

    subject: str
    verdict: Verdict
    observed: str
    means: str


def ok(observed: str) -> Finding:
    """As it should be."""
    return Finding(Verdict.OK, observed)


def weaker(observed: str) -> Finding:
    """Not as it should be, and shallop can live with it."""
    return Finding(Verdict.WEAKER, observed)


def unfit(observed: str) -> Finding:
    """Not as it must be."""
    return Finding(Verdict.UNFIT, observed)
