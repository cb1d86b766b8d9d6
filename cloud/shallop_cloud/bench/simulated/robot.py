"""One robot: what ``shallop_device.agent`` does, without a thread, a socket or a database of its own.

The fleet brings it what happens and the time, and gives it turns; it says what is to be published by a function that
it was given. What it must not forget survives ``lose_power``, and a part of it ``lose_database``.
"""

from __future__ import annotations

import dataclasses
import datetime
import random
import uuid
from collections.abc import Callable

from shallop_device.agent import HEARTBEAT_S, PRESENCE_S
from shallop_protocol import device, keys, messages, trust
from shallop_protocol import errors as protocol_errors
from shallop_protocol.topics import Kind

from shallop_cloud.bench.simulated.disk import Disk
from shallop_cloud.bench.simulated.hands import Hands
from shallop_cloud.bench.simulated.roster import Seat

Say = Callable[[Kind, bytes], None]
"""Publishes a message of a robot that is online. A report's acknowledgement comes back as ``Robot.answered``."""


@dataclasses.dataclass(frozen=True, slots=True)
class Crew:
    """What all robots of a fleet share. ``listed`` is the key list that they enrolled with."""

    roots: keys.Roots
    listed: keys.KeyList
    agent: messages.Agent
    rng: random.Random


class Robot:
    """One robot, online or not.

    Attributes:
        clock_off: seconds by which its wall clock is off.
        connection: the number of its newest connection.
        orders: how many messages it took as desired state, the newest of them with ``order_bytes``.
        reports: how many of its reports were acknowledged.
    """

    __slots__ = (
        "_beat_at",
        "_crew",
        "_hello_at",
        "_in_flight",
        "_presence_at",
        "_report",
        "_say",
        "_say_again",
        "_sent_news",
        "clock_off",
        "connection",
        "hands",
        "incarnation",
        "is_online",
        "order_bytes",
        "orders",
        "reports",
        "seat",
        "seq",
        "wire_id",
    )

    def __init__(self, seat: Seat, crew: Crew, say: Say, now: float) -> None:
        self.seat = seat
        self.wire_id = seat.wire_id
        self.hands = Hands(trust.Trust(self.wire_id, crew.roots, crew.listed), Disk(seat.rejects))
        self.clock_off = 0.0
        self.orders = self.reports = self.order_bytes = 0
        self._crew = crew
        self._say = say
        self._renew()
        self._restart(now)

    def lose_power(self, now: float) -> None:
        """Nothing is left but memory and disk. The fleet has ended its connection, or does."""
        self.hands.restart()
        self._restart(now)

    def lose_database(self, now: float) -> None:
        """Its database is lost and made anew: another incarnation, which knows nothing. The disk is as it was."""
        self.hands.forget()
        self._renew()
        self.lose_power(now)

    def next_connection(self) -> messages.Presence:
        """Counts a connection that is about to be tried; its last will."""
        self.connection += 1
        return self.presence("offline")

    def presence(self, status: str) -> messages.Presence:
        """What is said of the newest connection: ``online`` or ``offline``."""
        return messages.Presence(
            device=self.wire_id,
            status="online" if status == "online" else "offline",
            incarnation=self.incarnation,
            connection=self.connection,
        )

    def greet(self) -> None:
        """Its connection stands."""
        self.is_online = True
        self._say_again = True
        self._say_online()

    def lose(self) -> None:
        """Its connection is over."""
        self.is_online = False
        self._in_flight = None

    def order(self, payload: bytes) -> None:
        """Bytes from the topic of its desired state. If they bring nothing new, the report is said again."""
        self.orders += 1
        self.order_bytes = len(payload)
        said = self.hands.news
        self.hands.take(payload, self._wall())
        self._say_again |= self.hands.news == said

    def renew(self, listed: keys.KeyList) -> None:
        """A key list that the roots signed."""
        self.hands.renew(listed, self._wall())

    def hello(self, payload: bytes, now: float) -> None:
        """Bytes from the topic of the cloud's hello: answered at a random moment within the spread."""
        try:
            spread = messages.parse_hello(payload).spread_s
        except protocol_errors.ProtocolError:
            return
        if self._hello_at is None:
            self._hello_at = now + self._crew.rng.uniform(0.0, spread)

    def answered(self, *, acknowledged: bool) -> None:
        """The report on its way was acknowledged, or was given up: if it is still news, it is said again."""
        news, self._in_flight = self._in_flight, None
        if news is not None and acknowledged:
            self._sent_news = max(news, self._sent_news)
            self.reports += 1

    def turn(self, now: float) -> float:
        """Does all that is due, and gives the monotonic moment at which something is due again."""
        wall = self._wall()
        if now >= self._beat_at:
            self._beat_at = now + HEARTBEAT_S
            self.hands.news += 1
        if now >= self._presence_at:
            self._presence_at = now + PRESENCE_S
            self._say_online()
        if self._hello_at is not None and now >= self._hello_at:
            self._hello_at = None
            self.hands.news += 1
            self._say_online()
        while self.hands.work(now, wall, self._crew.rng):
            self._publish(wall)
        self._publish(wall)
        due = (self._beat_at, self._presence_at, self._hello_at, self.hands.retry_at)
        return min(moment for moment in due if moment is not None)

    def _say_online(self) -> None:
        if self.is_online:
            self._say(Kind.PRESENCE, self.presence("online").to_bytes())

    @property
    def is_settled(self) -> bool:
        """Whether nothing is left to do and the broker has the newest report."""
        return self._in_flight is None and self._sent_news == self.hands.news and self.hands.is_done

    @property
    def report_bytes(self) -> int:
        """The size of its newest report."""
        return len(self._report[1])

    def _publish(self, wall: datetime.datetime) -> None:
        """Sends the newest report if it is news, or was asked for. At most one is in flight."""
        news = self.hands.news
        if not self.is_online or self._in_flight is not None or (news == self._sent_news and not self._say_again):
            return
        if news != self._report[0]:
            self._report = (news, self._compose(wall))
        self._in_flight = news
        self._say_again = False
        self._say(Kind.REPORT, self._report[1])

    def _compose(self, wall: datetime.datetime) -> bytes:
        self.seq += 1
        return device.report(
            self.hands.memory,
            self.hands.disk.observe(),
            device=self.wire_id,
            incarnation=self.incarnation,
            seq=self.seq,
            now=wall,
            clock_synced=self.clock_off == 0,
            agent=self._crew.agent,
            next_attempts=self.hands.next_attempts,
            keys=self.hands.trust.listed.version,
        ).to_bytes()

    def _renew(self) -> None:
        """A new database."""
        self.incarnation = str(uuid.UUID(int=self._crew.rng.getrandbits(128), version=4))
        self.seq = 0
        self.connection = 0
        self._sent_news = 0
        self._report = (0, b"")

    def _restart(self, now: float) -> None:
        """A new agent."""
        self.is_online = False
        self._in_flight: int | None = None
        self._say_again = False
        self._hello_at: float | None = None
        self._beat_at = now + self._crew.rng.uniform(0.5, 1.0) * HEARTBEAT_S
        self._presence_at = now + self._crew.rng.uniform(0.5, 1.0) * PRESENCE_S

    def _wall(self) -> datetime.datetime:
        now = datetime.datetime.now(datetime.timezone.utc)
        return now + datetime.timedelta(seconds=self.clock_off) if self.clock_off else now
