"""What must be true of what a robot says of its own freshness, by the number among the invariants.

As in ``checks``, nothing here asks the code under test for its opinion of what is newer: what the cloud had recorded
when, and which of its answers came through, is all that counts.
"""

from __future__ import annotations

from typing import NoReturn

from shallop_device import freshness
from shallop_protocol import device

from shallop_cloud.bench.simulation.timeline import Timeline
from shallop_cloud.bench.simulation.violation import Violation

SLACK_S = 60.0
"""Beyond its limit, what an agent may take until it says so: a turn that waits for its disk."""
_LOOKS_S = 0.01
"""By so much a robot's clock may be before the world's: a little of its time passes with each look."""


class FreshnessChecks:
    """S34 and S35 of one robot.

    Attributes:
        answers: what the cloud ever answered to this robot, and has not come through yet.
    """

    def __init__(self, name: str, limits: freshness.Limits, timeline: Timeline) -> None:
        self.answers: set[bytes] = set()
        self._name = name
        self._limits = limits
        self._timeline = timeline
        self._desired = (0, 0)
        self._newest_list = 1
        self._has: tuple[device.Memory, int] | None = None
        self._behind_since: float | None = None
        self._started_at = 0.0
        self._answered_at = 0.0

    @property
    def is_behind(self) -> bool:
        """The cloud wants something that the robot does not have."""
        return self._behind_since is not None

    # What happened.

    def started(self) -> None:
        """The agent starts, and knows of no answer."""
        self._started_at = self._timeline.now
        self._has = None
        self._behind_since = None

    def desires(self, position: tuple[int, int], newest_list: int) -> None:
        """The cloud's newest order, and key list, are these from now on."""
        self._desired, self._newest_list = position, newest_list
        self._compare()

    def came(self, payload: bytes) -> None:
        """Something came as an echo. Only the first time that an answer comes can it be one to an open question."""
        if payload in self.answers:
            self.answers.remove(payload)
            self._answered_at = self._timeline.now

    # What must be true.

    def goes_on(self, memory: device.Memory, key_list: int, told: freshness.Freshness) -> None:
        """A turn of the agent is over.

        S34: what it takes for proven was so. S35: where it got no answer, or not what is newest, it says so in time.
        """
        self._has = memory, key_list
        self._compare()
        now, behind_since, proven = self._timeline.now, self._behind_since, told.proven_s_ago
        if behind_since is not None and proven is not None and now - proven > behind_since + _LOOKS_S:
            words = f"{now - proven:.3f} that it has the newest, and since {behind_since:.3f} it has not"
            self._fail("S34", f"it takes for proven at {words}")
        since = min(self._answered_at, now if behind_since is None else behind_since)
        silent = now - max(self._started_at, since)
        if silent > self._limits.stale_after + SLACK_S and not told.is_stale:
            self._fail("S35", f"for {silent:.0f} s nothing proves that it has the newest, and it does not say so")

    def _compare(self) -> None:
        if self._has is None or not self._lacks_something(*self._has):
            self._behind_since = None
        elif self._behind_since is None:
            self._behind_since = self._timeline.now

    def _lacks_something(self, memory: device.Memory, key_list: int) -> bool:
        if key_list < self._newest_list:
            return True
        if not self._desired[1] or self._desired <= memory.position:
            return False
        return memory.refused is None or memory.refused.generation != self._desired[1]

    def _fail(self, invariant: str, words: str) -> NoReturn:
        raise Violation(invariant, f"{self._name}: {words}")
