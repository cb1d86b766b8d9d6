"""One client's connection through the proxy: two sockets, two lanes between them, and the trouble on each."""

from __future__ import annotations

import asyncio
import collections
import dataclasses
import enum
import random
import socket
import struct
from collections.abc import Iterable, Sequence
from typing import Protocol, cast

from shallop_cloud.bench.proxy_wire import Connect, Cutter, NotMqtt, Packet, PacketType, connect_of

HOLD_S = 0.5
"""So long a message is held back for the next one to overtake it; if none comes, it goes on by itself."""
_LINGER_NOT = struct.pack("ii", 1, 0)


class Way(enum.StrEnum):
    """A direction."""

    TO_BROKER = "to broker"
    TO_CLIENT = "to client"

    @property
    def back(self) -> Way:
        """The other one."""
        return Way.TO_CLIENT if self is Way.TO_BROKER else Way.TO_BROKER


class Kind(enum.StrEnum):
    """What can be wrong with a connection for a while."""

    OFFLINE = "offline"
    STALL = "stall"
    SLOW = "slow"
    DUPLICATE = "duplicate"
    REORDER = "reorder"
    DROP_PUBACK = "drop puback"
    CORRUPT = "corrupt"


@dataclasses.dataclass(frozen=True, slots=True)
class Trouble:
    """Something that is wrong.

    Attributes:
        way: the direction that it is confined to.
        share: of the packets that it can befall, so many do; the dice say which.
        delay: by how many seconds ``slow`` delays each packet.
    """

    kind: Kind
    way: Way | None = None
    share: float = 1.0
    delay: float = 0.0


class House(Protocol):
    """What a connection needs of the proxy that it belongs to."""

    def admit(self, link: Link) -> Sequence[Trouble]:
        """It is known now who connects; what is wrong with this client's connections?"""
        ...

    def see(self, link: Link, way: Way, packet: Packet) -> None:
        """A packet arrived, going this way."""
        ...

    def leave(self, link: Link) -> None:
        """Both sockets are closed."""
        ...


class _Lane:
    """One direction: packets go in, and come out late, twice, in another order, damaged, or not at all."""

    def __init__(self, way: Way, rng: random.Random) -> None:
        self._way = way
        self._rng = rng
        self._loop = asyncio.get_running_loop()
        self._troubles: Sequence[Trouble] = ()
        self._queue: collections.deque[tuple[float, bytes | None]] = collections.deque()
        self._held: list[Packet] = []
        self._hold: asyncio.TimerHandle | None = None
        self._alarm: asyncio.TimerHandle | None = None
        self._to: asyncio.Transport | None = None
        self._is_over = False

    def beset(self, troubles: Iterable[Trouble]) -> None:
        """From now on, this is wrong and nothing else; what waited only for something else goes on."""
        self._troubles = [each for each in troubles if each.way in (None, self._way)]
        soon = self._loop.time() + self._delay
        self._queue = collections.deque((min(due, soon), data) for due, data in self._queue)
        if not any(each.kind is Kind.REORDER for each in self._troubles):
            self._let_go()
        self.pump()

    @property
    def is_stalled(self) -> bool:
        return any(each.kind is Kind.STALL for each in self._troubles)

    def connect(self, to: asyncio.Transport) -> None:
        """Here it comes out."""
        self._to = to
        self.pump()

    def take(self, packet: Packet) -> None:
        """A packet comes in; ``pump`` lets it out."""
        match packet.type:
            case PacketType.PUBACK if self._befalls(Kind.DROP_PUBACK):
                return
            case PacketType.PUBLISH:
                self._take_message(packet)
            case PacketType.DISCONNECT:
                self._let_go()
                self._put(packet.data)
            case _:
                self._put(packet.data)

    def finish(self) -> None:
        """Nothing more comes in; when the rest has come out, the socket is closed."""
        self._let_go()
        self._put(None)
        self.pump()

    def close(self) -> None:
        """Nothing more comes out."""
        self._is_over = True
        self._queue.clear()
        for timer in (self._hold, self._alarm):
            if timer is not None:
                timer.cancel()

    def pump(self) -> None:
        """Lets out what is due."""
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        if self._to is None or self.is_stalled:
            return
        now = self._loop.time()
        ready: list[bytes] = []
        is_end = False
        while self._queue and self._queue[0][0] <= now:
            _, data = self._queue.popleft()
            if data is None:
                is_end = True
            else:
                ready.append(data)
        if ready:
            self._to.write(b"".join(ready))
        if is_end:
            self._to.close()
        if self._queue:
            self._alarm = self._loop.call_at(self._queue[0][0], self.pump)

    def _take_message(self, message: Packet) -> None:
        body = len(message.data) - message.body
        if body and self._befalls(Kind.CORRUPT):
            message = message.damaged(self._rng.randrange(body), self._rng.randrange(1, 256))
        copies = [message, message.again()] if self._befalls(Kind.DUPLICATE) else [message]
        if not self._held and self._befalls(Kind.REORDER):
            self._held = copies
            self._hold = self._loop.call_later(HOLD_S, self._let_go_late)
            return
        for copy in copies:
            self._put(copy.data)
        self._let_go()

    def _let_go(self) -> None:
        """Sends on what was held back."""
        if self._hold is not None:
            self._hold.cancel()
            self._hold = None
        held, self._held = self._held, []
        for packet in held:
            self._put(packet.data)

    def _let_go_late(self) -> None:
        self._let_go()
        self.pump()

    def _put(self, data: bytes | None) -> None:
        if self._is_over:
            return
        due = self._loop.time() + self._delay
        if self._queue:
            due = max(due, self._queue[-1][0])
        self._queue.append((due, data))

    @property
    def _delay(self) -> float:
        return sum(each.delay for each in self._troubles)

    def _befalls(self, kind: Kind) -> bool:
        return any(each.kind is kind and self._rng.random() < each.share for each in self._troubles)


class Link:
    """One client's connection. The broker hears of it only when the client has said who it is.

    What comes from one side is written to the other, and the end of one side is, after the rest, the end of the other.
    A side that does not read makes the proxy read no more from the other.
    """

    def __init__(self, house: House, broker: tuple[str, int], rng: random.Random) -> None:
        self.who: Connect | None = None
        """Who connected; None before its first packet. One that is no CONNECT comes from a client without a name."""
        self._house = house
        self._broker = broker
        self._lanes = {way: _Lane(way, rng) for way in Way}
        self._cutters = {way: Cutter() for way in Way}
        self._sockets: dict[Way, asyncio.Transport] = {}
        self._unread: set[Way] = set()
        self._connecting: asyncio.Task[None] | None = None
        self._is_cut = False
        self.client = _End(self, Way.TO_BROKER)
        """The client's side, to be connected by the listener."""

    def beset(self, troubles: Sequence[Trouble]) -> None:
        """From now on, this is wrong with the connection and nothing else."""
        for lane in self._lanes.values():
            lane.beset(troubles)
        if any(each.kind is Kind.OFFLINE for each in troubles):
            self.cut()
        self._read_or_not()

    def cut(self) -> None:
        """Ends it at once, on both sides by a reset; what was on its way is lost."""
        self._is_cut = True
        if self._connecting is not None and self._connecting is not asyncio.current_task():
            self._connecting.cancel()
        for transport in tuple(self._sockets.values()):
            _reset(transport)

    def made(self, way: Way, transport: asyncio.Transport) -> None:
        """A side is connected, from which packets go this way."""
        self._sockets[way] = transport
        if self._is_cut:
            _reset(transport)
            return
        self._lanes[way.back].connect(transport)
        self._read_or_not()

    def heard(self, way: Way, data: bytes) -> None:
        """A side sent something."""
        for packet in self._cutters[way].feed(data):
            if self.who is None:
                self._identify(packet)
            if self._is_cut:
                return
            self._house.see(self, way, packet)
            self._lanes[way].take(packet)
        self._lanes[way].pump()

    def lost(self, way: Way) -> None:
        """A side is closed."""
        del self._sockets[way]
        self._lanes[way.back].close()
        self._lanes[way].finish()
        self._leave_if_over()

    def full(self, way: Way, *, is_full: bool) -> None:
        """The side from which packets go this way does not read, or does again; so the other one is not read."""
        if is_full:
            self._unread.add(way.back)
        else:
            self._unread.discard(way.back)
        self._read_or_not()

    def _identify(self, first: Packet) -> None:
        try:
            self.who = connect_of(first)
        except NotMqtt:
            self.who = Connect("", 0)
        self.beset(self._house.admit(self))
        if not self._is_cut:
            self._connecting = asyncio.get_running_loop().create_task(self._connect())
            self._connecting.add_done_callback(lambda _: self._leave_if_over())

    async def _connect(self) -> None:
        try:
            host, port = self._broker
            await asyncio.get_running_loop().create_connection(lambda: _End(self, Way.TO_CLIENT), host, port)
        except OSError:
            self.cut()

    def _leave_if_over(self) -> None:
        if not self._sockets and (self._connecting is None or self._connecting.done()):
            self._house.leave(self)

    def _read_or_not(self) -> None:
        for way, transport in self._sockets.items():
            if transport.is_closing():
                continue
            if way in self._unread or self._lanes[way].is_stalled:
                transport.pause_reading()
            else:
                transport.resume_reading()


class _End(asyncio.Protocol):
    """One side of a connection; what it hears goes ``way``."""

    def __init__(self, link: Link, way: Way) -> None:
        self._link = link
        self._way = way

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._link.made(self._way, cast("asyncio.Transport", transport))  # of a stream protocol it is one

    def data_received(self, data: bytes) -> None:
        self._link.heard(self._way, data)

    def pause_writing(self) -> None:
        self._link.full(self._way, is_full=True)

    def resume_writing(self) -> None:
        self._link.full(self._way, is_full=False)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  why it was lost makes no difference
        self._link.lost(self._way)


def _reset(transport: asyncio.Transport) -> None:
    """Closes a socket at once, and has the other side hear of it by a reset instead of an orderly end."""
    held: socket.socket | None = transport.get_extra_info("socket")
    if held is not None and not transport.is_closing():
        held.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT)
    transport.abort()
