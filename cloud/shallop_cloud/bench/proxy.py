"""A network between MQTT clients and a broker, as bad as one wants it: a TCP proxy that knows MQTT 3.1.1 and 5.

It runs on an event loop of its own in a thread of its own; every method can be called from any other thread, and what
it orders is in force when it returns::

    with Proxy(("127.0.0.1", 1883), rng=random.Random(7)) as network:
        host, port = network.address            # clients connect here instead
        network.offline("dev-a", seconds=30)    # its connections are cut and refused, and it comes back by itself
        network.slow(0.2, "dev-a", "dev-b")     # each packet takes so much longer, each way
        network.duplicate(share=0.1)            # every tenth message comes twice, for every client
        network.reorder(way=Way.TO_CLIENT)      # a message is overtaken by the next one
        network.drop_puback("dev-a")            # acknowledgements are lost
        network.corrupt("dev-a", share=0.01)    # one byte of a message is another
        network.stall("dev-a")                  # half-open: nothing is read, nothing is closed
        network.reset("dev-a")                  # its connections end now; it may connect again
        network.heal("dev-a")                   # what was ordered for it by name is over
        network.heal()                          # everything is over
        network.traffic()["dev-a"].to_broker.bytes

Clients are named by the client id of their CONNECT. No name means everyone, those who connect later included. What was
ordered for everyone and what was ordered for one client add up, and repeated orders too: two delays are one longer one.
With ``seconds``, trouble ends by itself; with ``way``, it is confined to one direction; ``share`` is the probability
with which it befalls a packet, by the generator of random numbers that was given. The proxy alone draws from that one.

A duplicate of QoS 1 or 2 has DUP set. A message that is held back goes on after half a second if none overtakes it.
Damage is done to the body of a PUBLISH (topic, packet id, properties, payload), never to the framing; TCP would notice
it, but something behind TCP may do it. Bytes that are no MQTT pass as they are.
"""

from __future__ import annotations

import asyncio
import collections
import concurrent.futures
import dataclasses
import random
import threading
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import TypeVar

from shallop_cloud.bench.proxy_link import Kind, Link, Trouble, Way
from shallop_cloud.bench.proxy_wire import Packet, PacketType

__all__ = ["Count", "Passing", "Proxy", "ProxyError", "Traffic", "Way"]

BACKLOG = 4_096
"""How many connections may wait to be accepted."""
HAND_OVER_STEPS = 4
"""How many turns of the event loop asyncio needs at most from accepting a connection to ``connection_made``."""

ResultT = TypeVar("ResultT")


class ProxyError(Exception):
    """The proxy cannot start. The message says where and why."""


@dataclasses.dataclass(frozen=True, slots=True)
class Passing:
    """A packet on its way, as it arrived at the proxy, before anything happened to it.

    Attributes:
        level: the protocol level of the connection, 4 for MQTT 3.1.1.
        at: on the monotonic clock.
    """

    client: str
    level: int
    way: Way
    packet: Packet
    at: float


@dataclasses.dataclass(frozen=True, slots=True)
class Count:
    """What was sent in one direction: whole packets and their bytes, without those of TCP."""

    packets: int = 0
    bytes: int = 0
    by_type: collections.Counter[PacketType] = dataclasses.field(default_factory=collections.Counter[PacketType])

    def __add__(self, other: Count) -> Count:
        return Count(self.packets + other.packets, self.bytes + other.bytes, self.by_type + other.by_type)


@dataclasses.dataclass(frozen=True, slots=True)
class Traffic:
    """What a client and the broker have sent each other since the proxy was made, before anything happened to it."""

    to_broker: Count = dataclasses.field(default_factory=Count)
    to_client: Count = dataclasses.field(default_factory=Count)
    connections: int = 0

    def __add__(self, other: Traffic) -> Traffic:
        return Traffic(
            self.to_broker + other.to_broker,
            self.to_client + other.to_client,
            self.connections + other.connections,
        )


@dataclasses.dataclass(frozen=True, eq=False)
class _Order:
    """Trouble, and whose it is; None for everyone's."""

    clients: frozenset[str] | None
    trouble: Trouble


@dataclasses.dataclass(frozen=True)
class _Running:
    thread: threading.Thread
    loop: asyncio.AbstractEventLoop
    stop: asyncio.Event
    address: tuple[str, int]


class Proxy:
    """The network; as a context manager or by start and stop. The module says what it can do.

    Args:
        broker: where the broker listens. It need not be there yet.
        rng: decides what befalls which packet.
        listen: where to listen; port 0 takes a free one, another one at each start.
        watch: called for every packet, in the proxy's thread: it must be quick, and must not raise.
    """

    def __init__(
        self,
        broker: tuple[str, int],
        *,
        rng: random.Random,
        listen: tuple[str, int] = ("127.0.0.1", 0),
        watch: Callable[[Passing], None] | None = None,
    ) -> None:
        self._broker = broker
        self._rng = rng
        self._listen = listen
        self._watch = watch
        self._running: _Running | None = None
        self._links: set[Link] = set()
        self._orders: list[_Order] = []
        self._counts: dict[tuple[str, Way], collections.Counter[PacketType]] = {}
        self._bytes: collections.Counter[tuple[str, Way]] = collections.Counter()
        self._connections: collections.Counter[str] = collections.Counter()

    @property
    def address(self) -> tuple[str, int]:
        """Host and port that it listens on.

        Raises:
            RuntimeError: it is not running.
        """
        return self._run_by().address

    def start(self) -> None:
        """Start, and return when it accepts connections.

        Raises:
            ProxyError: it cannot listen, for instance because the address is in use.
            RuntimeError: it is running already.
        """
        if self._running is not None:
            raise RuntimeError("the proxy is running already")
        started: concurrent.futures.Future[_Running] = concurrent.futures.Future()
        thread = threading.Thread(target=lambda: asyncio.run(self._run(started)), name="mqtt-proxy", daemon=True)
        thread.start()
        try:
            self._running = started.result()
        except BaseException:
            thread.join()
            raise

    def stop(self) -> None:
        """End every connection by a reset, and return when they are closed; nothing happens where it is not running.
        Orders and counts are kept.
        """
        running, self._running = self._running, None
        if running is not None:
            running.loop.call_soon_threadsafe(running.stop.set)
            running.thread.join()

    def __enter__(self) -> Proxy:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def offline(self, *clients: str, seconds: float | None = None) -> None:
        """Cut their connections, and refuse new ones."""
        self._order(Trouble(Kind.OFFLINE), clients, seconds)

    def stall(self, *clients: str, seconds: float | None = None, way: Way | None = None) -> None:
        """Read nothing and close nothing; new connections are accepted and lead nowhere. Nothing is lost by it: what
        was sent arrives when it is over, as TCP has it.
        """
        self._order(Trouble(Kind.STALL, way), clients, seconds)

    def slow(self, delay: float, *clients: str, seconds: float | None = None, way: Way | None = None) -> None:
        """Delay every packet by this many seconds, without changing their order."""
        self._order(Trouble(Kind.SLOW, way, delay=delay), clients, seconds)

    def duplicate(
        self, *clients: str, seconds: float | None = None, way: Way | None = None, share: float = 1.0
    ) -> None:
        """Send messages twice."""
        self._order(Trouble(Kind.DUPLICATE, way, share), clients, seconds)

    def reorder(self, *clients: str, seconds: float | None = None, way: Way | None = None, share: float = 1.0) -> None:
        """Hold messages back behind the next one."""
        self._order(Trouble(Kind.REORDER, way, share), clients, seconds)

    def drop_puback(
        self, *clients: str, seconds: float | None = None, way: Way | None = None, share: float = 1.0
    ) -> None:
        """Lose acknowledgements of QoS 1."""
        self._order(Trouble(Kind.DROP_PUBACK, way, share), clients, seconds)

    def corrupt(self, *clients: str, seconds: float | None = None, way: Way | None = None, share: float = 1.0) -> None:
        """Change one byte in messages."""
        self._order(Trouble(Kind.CORRUPT, way, share), clients, seconds)

    def reset(self, *clients: str) -> None:
        """End their connections, once."""

        def cut() -> None:
            for link in tuple(self._links):
                if not clients or (link.who is not None and link.who.client_id in clients):
                    link.cut()

        self._call(cut)

    def heal(self, *clients: str) -> None:
        """End what was ordered for these clients by name; without names, everything. What waited goes on at once."""

        def end() -> None:
            named = frozenset(clients)
            rest = [order for order in self._orders if clients and not (order.clients and order.clients & named)]
            kept = [
                dataclasses.replace(order, clients=order.clients - named)
                for order in self._orders
                if clients and order.clients and order.clients & named and order.clients - named
            ]
            self._orders = rest + kept
            self._beset()

        self._call(end)

    def clients(self) -> tuple[str, ...]:
        """The client ids that are connected now, in order."""
        return self._call(lambda: tuple(sorted({link.who.client_id for link in self._links if link.who is not None})))

    def traffic(self) -> dict[str, Traffic]:
        """What was sent so far, by client id. ``sum(network.traffic().values(), Traffic())`` is all of it."""
        return self._call(
            lambda: {
                client: Traffic(self._count(client, Way.TO_BROKER), self._count(client, Way.TO_CLIENT), connections)
                for client, connections in self._connections.items()
            }
        )

    def admit(self, link: Link) -> Sequence[Trouble]:
        """For the connections: a client said who it is."""
        assert link.who is not None
        self._connections[link.who.client_id] += 1
        return self._troubles(link.who.client_id)

    def see(self, link: Link, way: Way, packet: Packet) -> None:
        """For the connections: a packet arrived."""
        assert link.who is not None
        key = (link.who.client_id, way)
        self._counts.setdefault(key, collections.Counter())[packet.type] += 1
        self._bytes[key] += len(packet.data)
        if self._watch is not None:
            self._watch(Passing(link.who.client_id, link.who.level, way, packet, time.monotonic()))

    def leave(self, link: Link) -> None:
        """For the connections: one is over."""
        self._links.discard(link)

    def _order(self, trouble: Trouble, clients: tuple[str, ...], seconds: float | None) -> None:
        order = _Order(frozenset(clients) or None, trouble)

        def begin() -> None:
            self._orders.append(order)
            self._beset()
            if seconds is not None:
                asyncio.get_running_loop().call_later(seconds, end)

        def end() -> None:
            self._orders = [each for each in self._orders if each.trouble is not trouble]
            self._beset()

        self._call(begin)

    def _beset(self) -> None:
        for link in tuple(self._links):
            if link.who is not None:
                link.beset(self._troubles(link.who.client_id))

    def _troubles(self, client: str) -> list[Trouble]:
        return [order.trouble for order in self._orders if order.clients is None or client in order.clients]

    def _count(self, client: str, way: Way) -> Count:
        by_type = self._counts.get((client, way), collections.Counter[PacketType]())
        return Count(by_type.total(), self._bytes[client, way], collections.Counter(by_type))

    def _run_by(self) -> _Running:
        if self._running is None:
            raise RuntimeError("the proxy is not running: start it first")
        return self._running

    def _call(self, act: Callable[[], ResultT]) -> ResultT:
        """Does it in the proxy's thread, and gives what comes of it."""
        done: concurrent.futures.Future[ResultT] = concurrent.futures.Future()

        def run() -> None:
            try:
                done.set_result(act())
            except BaseException as error:  # noqa: BLE001 - raised again in the thread that called
                done.set_exception(error)

        self._run_by().loop.call_soon_threadsafe(run)
        return done.result()

    async def _run(self, started: concurrent.futures.Future[_Running]) -> None:
        loop, stop = asyncio.get_running_loop(), asyncio.Event()
        host, port = self._listen
        try:
            server = await loop.create_server(self._accept, host, port, backlog=BACKLOG)
        except OSError as error:
            started.set_exception(ProxyError(f"the proxy cannot listen on {host}:{port}: {error}"))
            return
        found: tuple[str, int] = server.sockets[0].getsockname()[:2]
        started.set_result(_Running(threading.current_thread(), loop, stop, found))
        await stop.wait()
        for listener in server.sockets:  # what asyncio has just accepted would be forgotten, open, by a close
            loop.remove_reader(listener.fileno())
        for _ in range(HAND_OVER_STEPS):
            await asyncio.sleep(0)
        server.close()
        while self._links:
            for link in tuple(self._links):
                link.cut()
            await asyncio.sleep(0)

    def _accept(self) -> asyncio.Protocol:
        link = Link(self, self._broker, self._rng)
        self._links.add(link)
        return link.client
