"""Keeps one connection up, for one robot or for many, and brings what is heard on it to the right one."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import random
import secrets
from collections.abc import Mapping, Sequence

from shallop_device import backoff
from shallop_device.agent import SETTLED_S
from shallop_protocol import errors as protocol_errors
from shallop_protocol import keys
from shallop_protocol.topics import CLOUD, Kind

from shallop_cloud.bench.simulated.berth import Berth
from shallop_cloud.bench.simulated.line import Line, Login
from shallop_cloud.bench.simulated.packets import Will

logger = logging.getLogger(__name__)


@dataclasses.dataclass(slots=True)
class Harbour:
    """What all moorings share.

    Attributes:
        hello, keys: the topics of the cloud's hello and of its key list.
        roots: who signs key lists.
        by_topic: every robot, by the topic of its desired state.
        connects: connections accepted so far.
        last: when a connection was last accepted or lost, or a report acknowledged.
    """

    host: str
    port: int
    username: str
    password: str
    hello: bytes
    keys: bytes
    roots: keys.Roots
    by_topic: Mapping[bytes, Berth]
    loop: asyncio.AbstractEventLoop
    rng: random.Random
    connects: int = 0
    last: float = 0.0


class Mooring:
    """One connection after the other, with the waits of the real agent between them."""

    def __init__(self, harbour: Harbour, berths: Sequence[Berth], *, is_own: bool) -> None:
        self._harbour = harbour
        self.berths = berths
        self._is_own = is_own
        self._line: Line | None = None
        self._failures = 0
        self._again: asyncio.TimerHandle | None = None
        self._opening: asyncio.Task[None] | None = None
        self._is_closing = False

    def open(self) -> None:
        """Begins to connect."""
        self._again = None
        if self._line is None and not self._is_closing and not (self._is_own and self.berths[0].is_away):
            harbour = self._harbour
            self._line = Line(self._login(), self, harbour.loop)
            self._opening = harbour.loop.create_task(self._line.open(harbour.host, harbour.port))

    def close(self) -> None:
        """Ends the connection in good order, for good."""
        self._is_closing = True
        if self._again:
            self._again.cancel()
        if self._line:
            self._line.close()

    def say_goodbye(self) -> None:
        """Every robot that is online says that it goes."""
        for berth in self.berths:
            self._say_offline(berth)

    def send_away(self, berth: Berth) -> None:
        """Cuts one robot's connection, and keeps it from connecting again."""
        berth.is_away = True
        if self._is_own:
            if self._again:
                self._again.cancel()
                self._again = None
            if self._line:
                self._line.abort()
        else:
            self._say_offline(berth)  # in the broker's place: a shared connection has no last will for each robot
            self._unmoor(berth)

    def bring_back(self, berth: Berth) -> None:
        """Lets it connect again, at once."""
        berth.is_away = False
        if self._is_own:
            self.open()
        elif self._line and self._line.is_up and berth.line is None:
            self._line.subscribe([berth.topics[Kind.DESIRED]])
            self._moor(berth, self._line)

    def look_after(self, now: float) -> None:
        """Call it every few seconds."""
        if self._line:
            self._line.look_after(now)

    @property
    def waits(self) -> bool:
        """Whether something that was said is not acknowledged yet."""
        return self._line is not None and self._line.waits

    def up(self, line: Line) -> None:
        """As ``line.Ears`` says."""
        here = [berth for berth in self.berths if not berth.is_away]
        line.subscribe([self._harbour.keys, self._harbour.hello, *(berth.topics[Kind.DESIRED] for berth in here)])
        for berth in here:
            self._moor(berth, line)

    def heard(self, line: Line, topic: bytes, payload: bytes) -> None:  # noqa: ARG002
        """As ``line.Ears`` says."""
        if topic == self._harbour.keys:
            self._renew(payload)
        elif topic == self._harbour.hello:
            for berth in self.berths:
                if berth.line:
                    berth.greeted(payload)
        elif (berth := self._harbour.by_topic.get(topic)) and berth.line:
            berth.ordered(payload)

    def _renew(self, payload: bytes) -> None:
        try:
            listed = keys.open_key_list(payload, self._harbour.roots)
        except protocol_errors.ProtocolError as error:
            logger.warning("a key list was refused: %s", error)
            return
        for berth in self.berths:
            if berth.line:
                berth.renewed(listed)

    def answered(self, line: Line, sender: object, *, acknowledged: bool) -> None:
        """As ``line.Ears`` says."""
        if isinstance(sender, Berth) and sender.line is line:
            self._harbour.last = self._harbour.loop.time()
            sender.answered(acknowledged=acknowledged)

    def lost(self, line: Line, why: str, *, refused: bool) -> None:
        """As ``line.Ears`` says."""
        self._line = None
        for berth in self.berths:
            self._unmoor(berth)
        if self._is_closing:
            return
        loop = self._harbour.loop
        self._harbour.last = loop.time()
        if line.up_at and loop.time() - line.up_at >= SETTLED_S:
            self._failures = 0
        self._failures += 1
        logger.debug("not connected: %s", why)
        if refused:
            logger.warning("%s: %s", self.berths[0].robot.seat.name, why)
        if not (self._is_own and self.berths[0].is_away):
            schedule = backoff.UNWELCOME if refused else backoff.RECONNECT
            self._again = loop.call_later(schedule.delay(self._failures, self._harbour.rng), self.open)

    def _login(self) -> Login:
        harbour = self._harbour
        if not self._is_own:
            return Login(f"{CLOUD}-robots-{secrets.token_hex(6)}", harbour.username, harbour.password)
        berth = self.berths[0]
        robot = berth.robot
        will = Will(berth.topics[Kind.PRESENCE], robot.next_connection().to_bytes())
        return Login(robot.wire_id, robot.wire_id, robot.seat.password or "", will)

    def _moor(self, berth: Berth, line: Line) -> None:
        if not self._is_own:
            berth.robot.next_connection()
        self._harbour.connects += 1
        self._harbour.last = self._harbour.loop.time()
        berth.moor(line)

    def _unmoor(self, berth: Berth) -> None:
        if berth.line:
            berth.unmoor()

    def _say_offline(self, berth: Berth) -> None:
        if berth.line:
            offline = berth.robot.presence("offline").to_bytes()
            berth.line.publish(berth.topics[Kind.PRESENCE], offline, retain=True, sender=None)
