"""A robot's place in the fleet: its topics, its next turn, and what troubles its messages on the way."""

from __future__ import annotations

import asyncio
import random

from shallop_protocol import keys
from shallop_protocol.topics import RETAINED, Kind, Topics

from shallop_cloud.bench.simulated.line import Line
from shallop_cloud.bench.simulated.robot import Crew, Robot
from shallop_cloud.bench.simulated.roster import Seat

OVERTAKING_S = 0.2
"""Messages that overtake each other are late by up to so much."""


class Berth:
    """One robot.

    Attributes:
        line: the connection on which it is online.
        is_away: a fault keeps it from having one.
        slow: seconds by which each of its messages is late, in both directions.
        duplicates: each of them comes twice.
        reorders: each of them is late by a random time.
    """

    def __init__(self, seat: Seat, crew: Crew, topics: Topics, loop: asyncio.AbstractEventLoop) -> None:
        self.robot = Robot(seat, crew, self._say, loop.time())
        self.topics = {kind: topics.of(seat.wire_id, kind).encode() for kind in (Kind.DESIRED, *RETAINED)}
        self.line: Line | None = None
        self.is_away = False
        self.connected_at = 0.0
        self._loop = loop
        self._rng = crew.rng
        self._timer: asyncio.TimerHandle | None = None
        self._alarm = float("inf")
        self.heal()

    def heal(self) -> None:
        """Its messages travel as they should, and its clock is right."""
        self.slow = 0.0
        self.duplicates = self.reorders = False
        self.robot.clock_off = 0.0

    def moor(self, line: Line) -> None:
        """Its connection stands, and has its subscriptions."""
        self.line = line
        self.connected_at = self._loop.time()
        self.robot.greet()
        self.turn()

    def unmoor(self) -> None:
        """Its connection is over."""
        self.line = None
        self.robot.lose()

    def ordered(self, payload: bytes) -> None:
        """Desired state came for it."""
        if self._is_plain:
            self._take(payload)
        else:
            self._late(payload)

    def renewed(self, listed: keys.KeyList) -> None:
        """The cloud told whose orders count."""
        self.robot.renew(listed)
        self.turn()

    def greeted(self, payload: bytes) -> None:
        """The cloud said hello."""
        self.robot.hello(payload, self._loop.time())
        self.turn()

    def answered(self, *, acknowledged: bool) -> None:
        """Its report was acknowledged, or was given up."""
        self.robot.answered(acknowledged=acknowledged)
        self.turn()

    def turn(self) -> None:
        """Lets the robot do what is due now, and sees that it has a turn when something is due again."""
        due = self.robot.turn(self._loop.time())
        if due < self._alarm:
            if self._timer:
                self._timer.cancel()
            self._alarm = due
            self._timer = self._loop.call_at(due, self._ring)

    @property
    def _is_plain(self) -> bool:
        return not (self.slow or self.duplicates or self.reorders)

    def _ring(self) -> None:
        self._alarm = float("inf")
        self.turn()

    def _take(self, payload: bytes) -> None:
        self.robot.order(payload)
        self.turn()

    def _say(self, kind: Kind, payload: bytes) -> None:
        line = self.line
        assert line is not None
        sender = self if kind is Kind.REPORT else None
        if self._is_plain:
            line.publish(self.topics[kind], payload, retain=True, sender=sender)
            return
        for _ in range(2 if self.duplicates else 1):
            self._loop.call_later(self._delay(self._rng), self._say_late, line, kind, payload, sender)
            sender = None

    def _say_late(self, line: Line, kind: Kind, payload: bytes, sender: Berth | None) -> None:
        if self.line is line:
            line.publish(self.topics[kind], payload, retain=True, sender=sender)

    def _late(self, payload: bytes) -> None:
        for _ in range(2 if self.duplicates else 1):
            self._loop.call_later(self._delay(self._rng), self._take_late, self.line, payload)

    def _take_late(self, line: Line | None, payload: bytes) -> None:
        if line is not None and self.line is line:
            self._take(payload)

    def _delay(self, rng: random.Random) -> float:
        return self.slow + (rng.uniform(0.0, OVERTAKING_S) if self.reorders else 0.0)
