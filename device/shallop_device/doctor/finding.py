"""What the doctor found."""

from __future__ import annotations

import dataclasses
from typing import Literal

Grade = Literal["ok", "warn", "fail"]


@dataclasses.dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        subject: what it belongs to: ``disk``, ``broker`` and so on.
        words: what was found, and where.
        advice: what to do next; empty where there is nothing to do.
    """

    grade: Grade
    subject: str
    words: str
    advice: str = ""


def ok(subject: str, words: str) -> Finding:
    """As it should be."""
    return Finding("ok", subject, words)


def warn(subject: str, words: str, advice: str) -> Finding:
    """It works, and may not for ever."""
    return Finding("warn", subject, words, advice)


def fail(subject: str, words: str, advice: str) -> Finding:
    """The agent cannot do its work like this."""
    return Finding("fail", subject, words, advice)
