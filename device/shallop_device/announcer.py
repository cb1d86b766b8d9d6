"""Has the hook ``applied`` run for what came into sight outside of a trial: what returned, nothing any more, or what an
earlier run of the agent did not come to.

It compares what is in sight with what the hook last took notice of, so no change is lost. What went wrong is tried
again, ever more seldom.
"""

from __future__ import annotations

import random

from shallop_protocol import device
from shallop_protocol.statuses import Activity

from shallop_device import backoff, clock, errors, logbook, passage, store


class Announcer:
    """Sees that robot software hears of what is in sight."""

    def __init__(
        self, way: passage.Passage, memory: store.Store, retry: backoff.Backoff, time: clock.Clock, rng: random.Random
    ) -> None:
        self._passage = way
        self._store = memory
        self._retry = retry
        self._clock = time
        self._rng = rng
        self._failures = 0
        self._again_at: float | None = None

    @property
    def wake_at(self) -> float | None:
        """The monotonic moment of the next attempt; None if there is none, or it waits for the end of an errand."""
        return None if self._passage.is_busy else self._again_at

    def start_over(self) -> None:
        """The next attempt is due now; nothing went wrong so far."""
        self._failures = 0
        self._again_at = None

    def announce(self, memory: device.Memory, current: str | None) -> None:
        """Has the hook run if it is to hear of what is in sight.

        Args:
            current: the deployment in sight. One that is on its way into force is announced by its trial.
        """
        wanted = memory.wanted
        is_on_its_way = wanted is not None and wanted.id == current and wanted.activity is Activity.QUEUED
        if not self._passage.announces or current == self._store.announced or is_on_its_way:
            self._again_at = None
            return
        if self._passage.is_busy or (self._again_at is not None and self._clock.monotonic() < self._again_at):
            return
        self._again_at = None
        change = "removed" if current is None else "deployed" if wanted and wanted.id == current else "returned"
        ordered = memory.order.deployment if memory.order else None
        try:
            self._passage.announce(current, change, ordered if ordered and ordered.id == current else None)
        except errors.HeldUp as error:
            self.later(error, current)

    def later(self, error: errors.HeldUp, current: str | None) -> None:
        """It did not go well; it is tried again after a while."""
        logbook.log_held_up(error, current)
        self._failures += 1
        self._again_at = self._clock.monotonic() + self._retry.delay(self._failures, self._rng)
