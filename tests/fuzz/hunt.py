"""Feeds a parser with inputs that nobody thought of, and tells what it raised that it does not declare."""

from __future__ import annotations

import dataclasses
import random
import re
import signal
import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from fuzz.mutation import mutated
from fuzz.parsers import Parser

MOST_KEPT = 400
"""Inputs that are kept because they brought out words which none did before."""
HANGS_AFTER_S = 20.0
_CHANGING = re.compile(r"\d+|'[^']*'|\"[^\"]*\"|/\S+")


class TooSlow(BaseException):
    """One input took longer than any may; no handler swallows it."""


@dataclasses.dataclass(frozen=True, slots=True)
class Found:
    """An input, and what it did."""

    data: bytes
    what: str

    def __str__(self) -> str:
        shown = self.data if len(self.data) <= 300 else self.data[:300] + b"..."
        return f"{self.what}\n    input of {len(self.data)} bytes: {shown!r}"


@dataclasses.dataclass(slots=True)
class Outcome:
    """What a hunt brought."""

    name: str
    inputs: int = 0
    kept: int = 0
    found: list[Found] = dataclasses.field(default_factory=list)
    slowest_s: float = 0.0

    def __str__(self) -> str:
        line = f"{self.name}: {self.inputs} inputs, {len(self.found)} undeclared"
        return "\n".join([line, *(f"  {each}" for each in self.found)])


def hunt(parser: Parser, *, seconds: float = float("inf"), inputs: int = 2**62, seed: int = 0) -> Outcome:
    """Tries so many inputs, or so long. Each kind of finding is told once."""
    rng = random.Random(f"{seed} {parser.name}")
    outcome = Outcome(parser.name)
    said: set[str] = set()
    with parser.ready() as parse:
        corpus = list(parser.seeds())
        first = len(corpus)
        end = float("inf")
        while outcome.inputs < inputs and time.monotonic() < end:
            is_seed = outcome.inputs < first
            if outcome.inputs == first:  # the seeds load what the parser needs, which is not its time
                end = time.monotonic() + seconds
            data = corpus[outcome.inputs] if is_seed else mutated(rng, corpus)
            words, is_declared, took = _tried(parser, parse, data)
            outcome.inputs += 1
            outcome.slowest_s = max(outcome.slowest_s, took)
            if took > parser.within_s and not is_seed:
                words, is_declared = f"took {took:.1f} s; at most {parser.within_s:g}", False
            kind = _CHANGING.sub("…", words)[:200]
            if kind not in said:
                said.add(kind)
                if not is_declared:
                    outcome.found.append(Found(data, words))
                elif not is_seed and len(corpus) < first + MOST_KEPT:
                    corpus.append(data)
        outcome.kept = len(corpus) - first
    return outcome


def _tried(parser: Parser, parse: Any, data: bytes) -> tuple[str, bool, float]:
    """What came of one input: words, whether they are declared, and seconds of this thread's processor time."""
    started = time.thread_time()
    try:
        with _alarm():
            parse(data)
    except parser.declared as error:
        return f"{type(error).__name__}: {error}", True, time.thread_time() - started
    except TooSlow:
        return "hangs", False, 0.0
    except Exception as error:  # noqa: BLE001  what is not declared is what is looked for
        place = error.__traceback__
        while place is not None and place.tb_next is not None:
            place = place.tb_next
        where = f" at {place.tb_frame.f_code.co_filename.rpartition('/')[2]}:{place.tb_lineno}" if place else ""
        return f"{type(error).__name__}{where}: {str(error)[:200]}", False, time.thread_time() - started
    return "ok", True, time.thread_time() - started


@contextmanager
def _alarm() -> Generator[None]:
    def late(*_: object) -> None:
        raise TooSlow

    before = signal.signal(signal.SIGVTALRM, late)
    signal.setitimer(signal.ITIMER_VIRTUAL, HANGS_AFTER_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
