"""Virtual time: one queue of what is to happen, and no clock but the moment of the event in hand."""

from __future__ import annotations

import heapq
from collections.abc import Callable

Act = Callable[[], None]


class Appointment:
    """Something that is to happen; it may be called off."""

    __slots__ = ("act",)

    def __init__(self, act: Act) -> None:
        self.act: Act | None = act

    def call_off(self) -> None:
        """It will not happen."""
        self.act = None


class Timeline:
    """What is to happen, by moment, and among equal moments in the order in which it was asked for.

    Attributes:
        now: seconds since the world began.
    """

    def __init__(self) -> None:
        self.now = 0.0
        self._count = 0
        self._queue: list[tuple[float, int, Appointment]] = []

    def after(self, seconds: float, act: Act) -> Appointment:
        """Has something happen so much later; never earlier than what is happening now."""
        appointment = Appointment(act)
        self._count += 1
        heapq.heappush(self._queue, (self.now + max(0.0, seconds), self._count, appointment))
        return appointment

    def advance(self, until: float) -> bool:
        """Lets the next thing happen. False, and it is ``until``, if there is none before that moment."""
        while self._queue and self._queue[0][0] <= until:
            moment, _, appointment = heapq.heappop(self._queue)
            if appointment.act is not None:
                self.now = moment
                appointment.act()
                return True
        self.now = until
        return False
