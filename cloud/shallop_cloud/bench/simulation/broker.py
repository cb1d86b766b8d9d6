"""A broker of MQTT as the protocol may assume it at best and must bear it at worst, and the lines to it.

A line carries packets in order, each way, with a delay; when it breaks, what is on its way is lost. The broker keeps
retained messages, answers each publish, and delivers with QoS 1: at least once. With its ``Mood`` set, it also
delivers twice, late and in another order, forgets what it acknowledged, and lets last wills come long after.
"""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable, Collection
from typing import Protocol

from shallop_protocol.topics import Kind

from shallop_cloud.bench.simulation.timeline import Timeline

CONNECT_TIMEOUT_S = 10.0
SILENT_S = 45.0
"""A peer that says nothing is given up after one and a half times the keep-alive."""


@dataclasses.dataclass(slots=True)
class Mood:
    """How a line, or the broker as a whole, behaves for a while.

    Attributes:
        drops: the chance that an acknowledged message goes no further.
        repeats: the chance that a message is delivered once more, up to ``late`` seconds later.
        delays: the chance that a message is overtaken by those of the next ``late`` seconds.
    """

    drops: float = 0.0
    repeats: float = 0.0
    delays: float = 0.0
    late: float = 60.0


@dataclasses.dataclass(frozen=True, slots=True)
class Message:
    """What travels."""

    topic: str
    payload: bytes
    retain: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Habits:
    """What a broker does that MQTT leaves open.

    Attributes:
        replays_wildcards: a wildcard subscription gets the retained messages.
        keeps_sessions: messages for a client that is away wait for it.
        latency: the least and the most seconds that a packet takes, as a rule.
        will_delay: a last will comes up to so many seconds after the connection was given up.
    """

    replays_wildcards: bool = True
    keeps_sessions: bool = False
    latency: tuple[float, float] = (0.002, 0.05)
    will_delay: float = 0.0


class Peer(Protocol):
    """The client's end of a line."""

    def connected(self) -> None:
        """The broker accepted the connection."""
        ...

    def delivered(self, message: Message) -> None:
        """A message came."""
        ...

    def acknowledged(self, number: int) -> None:
        """The broker has what was published under this number."""
        ...

    def lost(self, why: str) -> None:
        """The connection is over."""
        ...


class Line:
    """One connection of one client, from the CONNECT on.

    Attributes:
        is_open: the client takes it to stand. ``is_known``: the broker does.
        is_cut: nothing passes any more, though one or both may not know it yet.
    """

    def __init__(self, broker: Broker, client: str, peer: Peer, rng: random.Random, filters: tuple[str, ...],
                 will: Message | None) -> None:  # fmt: skip
        self.client = client
        self.filters = filters
        self.will = will
        self.is_open = True
        self.is_known = False
        self.is_cut = False
        self._broker = broker
        self._peer = peer
        self._rng = rng
        self._sent = 0
        self._free_up = self._free_down = 0.0

    def publish(self, message: Message) -> int | None:
        """Sends with QoS 1. Its number, or None if the line is known to be down."""
        if not (self.is_open and self.is_known):
            return None
        self._sent += 1
        number = self._sent
        self.up(lambda: self._broker.take(self, message, number))
        return number

    def close(self) -> None:
        """The client ends it in good order: no will."""
        if self.is_open:
            self.is_open = False
            self.will = None
            self._broker.forget(self)

    def cut(self, *, silently: bool = False) -> None:
        """Nothing passes from now on. Both ends see it at once, or only when they miss each other."""
        if self.is_cut:
            return
        self.is_cut = True
        seconds = self._rng.uniform(0.6, 1.0) * SILENT_S if silently else 0.0
        self._broker.timeline.after(seconds, lambda: self.lose("the connection was lost"))
        self._broker.timeline.after(SILENT_S if silently else 0.0, lambda: self._broker.give_up(self))

    def die(self, *, silently: bool = False) -> None:
        """The client is gone. What it sent still arrives; the broker sees it then, or only misses it later."""
        self.is_open = False
        seconds = max(0.0, self._free_up - self._broker.timeline.now) + (SILENT_S if silently else 0.0)
        self._broker.timeline.after(seconds, self._end)

    def lose(self, why: str) -> None:
        """The client learns that it is over."""
        if self.is_open:
            self.is_open = False
            self.is_cut = True
            self._peer.lost(why)

    def up(self, act: Callable[[], None]) -> None:
        """Has something happen at the broker when the packet is there."""
        self._free_up = max(self._free_up, self._arrival())
        self._carry(self._free_up, lambda: None if self.is_cut else act())

    def down(self, act: Callable[[], None]) -> None:
        """Has something happen at the client when the packet is there."""
        self._free_down = max(self._free_down, self._arrival())
        self._carry(self._free_down, lambda: None if self.is_cut or not self.is_open else act())

    def deliver(self, message: Message) -> None:
        """The broker sends a message to the client, unless it holds it back."""
        if message.topic.rpartition("/")[2] in self._broker.withheld.get(self.client, ()):
            return
        self.down(lambda: self._peer.delivered(message))

    def acknowledge(self, number: int) -> None:
        """The broker answers a publish."""
        self.down(lambda: self._peer.acknowledged(number))

    def welcome(self) -> None:
        """The broker answers the CONNECT."""
        self.down(self._peer.connected)

    def _arrival(self) -> float:
        return self._broker.timeline.now + self._rng.uniform(*self._broker.habits.latency)

    def _carry(self, arrival: float, act: Callable[[], None]) -> None:
        timeline = self._broker.timeline
        timeline.after(arrival - timeline.now, act)

    def _end(self) -> None:
        self._broker.give_up(self)
        self.is_cut = True


class Broker:
    """The broker.

    Attributes:
        is_up: it answers.
        kept: its retained messages by topic; ``former`` are those before them.
        unreachable: the clients that are cut off.
        withheld: the kinds of messages that it holds back, for each client to whom it does that.
        mood: what it does beyond what it should.
        heard: how many messages were published, by topic.
    """

    def __init__(self, timeline: Timeline, rng: random.Random, habits: Habits) -> None:
        self.timeline = timeline
        self.habits = habits
        self.is_up = True
        self.kept: dict[str, bytes] = {}
        self.former: dict[str, bytes] = {}
        self.unreachable: set[str] = set()
        self.withheld: dict[str, Collection[Kind]] = {}
        self.mood = Mood()
        self.heard: dict[str, int] = {}
        self._rng = rng
        self._lines: dict[str, Line] = {}
        self._waiting: dict[str, list[Message]] = {}
        self._filters: dict[str, tuple[str, ...]] = {}

    def connect(
        self, client: str, peer: Peer, rng: random.Random, filters: tuple[str, ...], will: Message | None = None
    ) -> Line:
        """Begins to connect. The client is told of the outcome."""
        line = Line(self, client, peer, rng, filters, will)
        line.up(lambda: self._accept(line))
        if client in self.unreachable:
            line.is_cut = True
        elif not self.is_up:
            self.timeline.after(rng.uniform(0.001, 1.0), lambda: line.lose("connection refused"))
        self.timeline.after(CONNECT_TIMEOUT_S, lambda: None if line.is_known else line.lose("no answer"))
        return line

    def cut_off(self, client: str, *, silently: bool = False) -> None:
        """Nothing passes between a client and the broker until ``reach`` is called."""
        self.unreachable.add(client)
        if client in self._lines:
            self._lines[client].cut(silently=silently)

    def reach(self, client: str) -> None:
        """The way to a client is open again."""
        self.unreachable.discard(client)

    def is_connected(self, client: str) -> bool:
        """Whether both ends of a connection of this client take it to stand, and something passes."""
        line = self._lines.get(client)
        return line is not None and line.is_open and not line.is_cut

    def take(self, line: Line, message: Message, number: int) -> None:
        """A client published something."""
        if self.is_up and line.is_known:
            line.acknowledge(number)
            if self._rng.random() >= self.mood.drops:
                self.publish(message)

    def publish(self, message: Message) -> None:
        """Keeps a message if it is to be kept, and brings it to all who want it."""
        self.heard[message.topic] = self.heard.get(message.topic, 0) + 1
        if message.retain and message.topic in self.kept:
            self.former[message.topic] = self.kept[message.topic]
        if message.retain and message.payload:
            self.kept[message.topic] = message.payload
        elif message.retain:
            self.kept.pop(message.topic, None)
        self._route(message)
        if self.mood.repeats and self._rng.random() < self.mood.repeats:
            self.timeline.after(self._rng.uniform(0.0, self.mood.late), lambda: self._route(message))

    def give_up(self, line: Line) -> None:
        """A connection is over without a good-bye: its will is published, in time."""
        if not line.is_known:
            return
        self.forget(line)
        if line.will is not None and self.is_up:
            will = line.will
            line.will = None
            self.timeline.after(self._rng.uniform(0.0, self.habits.will_delay), lambda: self.publish(will))

    def forget(self, line: Line) -> None:
        """A connection is over."""
        line.is_known = False
        if self._lines.get(line.client) is line:
            del self._lines[line.client]

    def go_down(self, remembered: dict[str, bytes]) -> None:
        """It dies, and with it all connections; it will come back with these retained messages and no sessions."""
        self.is_up = False
        for line in list(self._lines.values()):
            line.is_known = False
            line.cut()
        self._lines.clear()
        self._waiting.clear()
        self._filters.clear()
        self.kept = dict(remembered)

    def come_up(self) -> None:
        """It is back."""
        self.is_up = True

    def _accept(self, line: Line) -> None:
        if not self.is_up:
            return
        earlier = self._lines.get(line.client)
        if earlier is not None:
            self.give_up(earlier)
            earlier.cut()
        line.is_known = True
        self._lines[line.client] = line
        line.welcome()
        for message in self._waiting.pop(line.client, ()):
            line.deliver(message)
        if self.habits.keeps_sessions:
            self._filters[line.client] = line.filters
        for wanted in line.filters:
            if "+" not in wanted and wanted in self.kept:
                line.deliver(Message(wanted, self.kept[wanted], retain=True))
            elif "+" in wanted and self.habits.replays_wildcards:
                for topic, payload in self.kept.items():
                    if _matches(wanted, topic):
                        line.deliver(Message(topic, payload, retain=True))

    def _route(self, message: Message) -> None:
        if self.mood.delays and self._rng.random() < self.mood.delays:
            self.timeline.after(self._rng.uniform(0.0, self.mood.late), lambda: self._bring(message))
        else:
            self._bring(message)

    def _bring(self, message: Message) -> None:
        if not self.is_up:
            return
        for line in list(self._lines.values()):
            if any(_matches(wanted, message.topic) for wanted in line.filters):
                line.deliver(message)
        for client, filters in self._filters.items():
            if client not in self._lines and any(_matches(wanted, message.topic) for wanted in filters):
                self._waiting.setdefault(client, []).append(message)


def _matches(wanted: str, topic: str) -> bool:
    """Whether a filter ``a/+/c`` or an exact one matches."""
    head, plus, tail = wanted.partition("+")
    if not plus:
        return wanted == topic
    return topic.startswith(head) and topic.endswith(tail) and "/" not in topic[len(head) : len(topic) - len(tail)]
