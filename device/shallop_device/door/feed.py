"""The newest things that happened, in a ring that any number of readers follow at their own pace.

Nobody waits for a reader: there is no queue for one, only its place in the ring. Who falls out of the ring begins
anew with a snapshot.
"""

from __future__ import annotations

import collections
import dataclasses
import secrets
import threading
from typing import Literal

KEPT = 1000
KEPT_BYTES = 1_048_576

Kind = Literal["report", "deployment", "trial", "hold", "event"]


@dataclasses.dataclass(frozen=True, slots=True)
class Entry:
    """One thing that happened.

    Attributes:
        data: one line of JSON.
    """

    number: int
    kind: Kind
    data: bytes


class Feed:
    """The ring: the newest ``kept`` entries, and at most so many bytes of them."""

    def __init__(self, kept: int = KEPT, kept_bytes: int = KEPT_BYTES) -> None:
        self._run = secrets.token_hex(4)
        self._kept = kept
        self._kept_bytes = kept_bytes
        self._entries: collections.deque[Entry] = collections.deque()
        self._bytes = 0
        self._last = 0
        self._is_closed = False
        self._changed = threading.Condition()

    @property
    def last(self) -> int:
        """The number of the newest entry; 0 before the first."""
        return self._last

    @property
    def is_closed(self) -> bool:
        """Whether nothing more will come."""
        return self._is_closed

    def publish(self, kind: Kind, data: bytes) -> None:
        """Adds an entry; the oldest make room for it."""
        with self._changed:
            self._last += 1
            self._entries.append(Entry(self._last, kind, data))
            self._bytes += len(data)
            while len(self._entries) > self._kept or (self._bytes > self._kept_bytes and len(self._entries) > 1):
                self._bytes -= len(self._entries.popleft().data)
            self._changed.notify_all()

    def close(self) -> None:
        """Lets every reader go."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()

    def id_of(self, number: int) -> str:
        """The id of an entry. Those of another run of the agent are different."""
        return f"{self._run}-{number}"

    def place(self, last_id: str) -> int | None:
        """The number of the last entry that a reader saw; None if what came after it is not all here."""
        run, _, digits = last_id.partition("-")
        if run != self._run or not (digits.isascii() and digits.isdecimal() and len(digits) < 20):
            return None
        number = int(digits)
        with self._changed:
            return number if self._first - 1 <= number <= self._last else None

    def after(self, number: int, timeout: float) -> list[Entry] | None:
        """What came after an entry; waits up to ``timeout`` seconds for something. None if some of it is gone."""
        with self._changed:
            self._changed.wait_for(lambda: self._last > number or self._is_closed, timeout)
            if number < self._first - 1:
                return None
            return [entry for entry in self._entries if entry.number > number]

    @property
    def _first(self) -> int:
        return self._entries[0].number if self._entries else self._last + 1
