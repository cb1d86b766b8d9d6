"""One MQTT connection, for one robot or for many, on an asyncio loop. It ends once, and is not used again."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Sequence
from typing import Protocol

from shallop_cloud.bench.simulated import packets

KEEPALIVE_S = 30
CONNECT_TIMEOUT_S = 10.0
ACKNOWLEDGE_S = 60.0
"""A publish that was not acknowledged for so long is given up, and whoever sent it is told."""
FILTERS_AT_ONCE = 200
"""In one SUBSCRIBE; some brokers refuse longer packets."""
_FLUSH_BYTES = 32_768


@dataclasses.dataclass(frozen=True, slots=True)
class Login:
    """As whom to connect, and the last will, if there is one."""

    client_id: str
    username: str
    password: str = dataclasses.field(repr=False)
    will: packets.Will | None = None


class Ears(Protocol):
    """What a line tells. Nothing of it may raise."""

    def up(self, line: Line) -> None:
        """The broker accepted the connection."""
        ...

    def heard(self, line: Line, topic: bytes, payload: bytes) -> None:
        """A message came. The broker has its acknowledgement when this returns."""
        ...

    def answered(self, line: Line, sender: object, *, acknowledged: bool) -> None:
        """What ``sender`` published was acknowledged, or was given up."""
        ...

    def lost(self, line: Line, why: str, *, refused: bool) -> None:
        """The connection is over, or was never made. Nothing more is heard of it."""
        ...


class Line(asyncio.Protocol):
    """One connection. What is written while messages are handled goes out together."""

    def __init__(self, login: Login, ears: Ears, loop: asyncio.AbstractEventLoop) -> None:
        self._login = login
        self._ears = ears
        self._loop = loop
        self._transport: asyncio.Transport | None = None
        self._received = bytearray()
        self._out = bytearray()
        self._flushing = False
        self._number = 0
        self._waiting: dict[int, tuple[object, float]] = {}
        self._opened = loop.time()
        self._said_at = self._heard_at = self._opened
        self._refused = False
        self._over = False
        self.is_up = False
        self.up_at = 0.0

    async def open(self, host: str, port: int) -> None:
        """Begins to connect; how that ends is told to the ears."""
        try:
            await asyncio.wait_for(self._loop.create_connection(lambda: self, host, port), CONNECT_TIMEOUT_S)
        except (OSError, TimeoutError) as error:
            self._end(f"cannot connect: {error or 'no answer'}")

    def subscribe(self, filters: Sequence[bytes]) -> None:
        """Asks for these topics, and for what is retained there."""
        for start in range(0, len(filters), FILTERS_AT_ONCE):
            self._write(packets.subscribe(self._next_number(), filters[start : start + FILTERS_AT_ONCE]))

    def publish(self, topic: bytes, payload: bytes, *, retain: bool, sender: object) -> None:
        """Sends a message; ``Ears.answered`` says what became of it, unless the connection is lost before."""
        number = self._next_number()
        self._waiting[number] = (sender, self._loop.time())
        self._write(packets.publish(topic, payload, number, retain=retain))

    def close(self) -> None:
        """Ends the connection in good order."""
        self._write(packets.DISCONNECT)
        self._flush()
        if self._transport:
            self._transport.close()
        self._end("closed")

    def abort(self, why: str = "cut") -> None:
        """Ends the connection as a cut cable does, except that the broker notices at once."""
        if self._transport:
            self._transport.abort()
        self._end(why)

    @property
    def waits(self) -> bool:
        """Whether something that was published is not acknowledged yet."""
        return bool(self._waiting)

    def look_after(self, now: float) -> None:
        """Keeps the connection alive, finds out that it is dead, and gives up what is not acknowledged. Call it every
        few seconds."""
        if self._over:
            return
        if not self.is_up and now - self._opened > CONNECT_TIMEOUT_S:
            self.abort("the broker does not answer")
        elif now - self._heard_at > 1.5 * KEEPALIVE_S:
            self.abort("the broker has fallen silent")
        else:
            if self.is_up and now - self._said_at > KEEPALIVE_S / 2:
                self._write(packets.PINGREQ)
            while self._waiting:
                number, (sender, since) = next(iter(self._waiting.items()))
                if now - since <= ACKNOWLEDGE_S:
                    break
                del self._waiting[number]
                self._ears.answered(self, sender, acknowledged=False)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """asyncio: the socket is connected."""
        assert isinstance(transport, asyncio.Transport)
        if self._over:
            transport.abort()
            return
        self._transport = transport
        login = self._login
        self._write(packets.connect(login.client_id, login.username, login.password, KEEPALIVE_S, login.will))

    def data_received(self, data: bytes) -> None:
        """asyncio: bytes came."""
        self._heard_at = self._loop.time()
        self._received += data
        try:
            for first, body in packets.split(self._received):
                self._take(first, body)
                if self._over:
                    return
        except packets.WireError as error:
            self.abort(f"the broker does not speak MQTT: {error}")
        self._flush()

    def connection_lost(self, exc: Exception | None) -> None:
        """asyncio: the socket is gone."""
        self._end(str(exc) if exc else "the broker closed the connection")

    def _take(self, first: int, body: bytes) -> None:
        match first & 0xF0:
            case packets.PUBLISH:
                topic, number, payload = packets.parse_publish(first, body)
                self._ears.heard(self, topic, payload)
                if number:
                    self._write(packets.puback(number))
            case packets.PUBACK:
                found = self._waiting.pop(int.from_bytes(body[:2], "big"), None)
                if found:
                    self._ears.answered(self, found[0], acknowledged=True)
            case packets.CONNACK:
                self._connected(body)
            case packets.SUBACK if 0x80 in body[2:]:
                self.abort("the broker refused a subscription")
            case packets.SUBACK | packets.PINGRESP:
                return
            case _:
                raise packets.WireError(f"a packet of type {first >> 4}")

    def _connected(self, body: bytes) -> None:
        if body[1:2] != b"\0":
            self._refused = True
            self.abort(f"the broker refused the connection: code {body[1]}")
            return
        self.is_up = True
        self.up_at = self._loop.time()
        self._ears.up(self)

    def _next_number(self) -> int:
        number = self._number % packets.MAX_ID + 1
        while number in self._waiting:
            number = number % packets.MAX_ID + 1
        self._number = number
        return number

    def _write(self, packet: bytes) -> None:
        self._out += packet
        if len(self._out) >= _FLUSH_BYTES:
            self._flush()
        elif not self._flushing:
            self._flushing = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._flushing = False
        if self._out and self._transport and not self._over:
            self._transport.write(bytes(self._out))
            self._out.clear()
            self._said_at = self._loop.time()

    def _end(self, why: str) -> None:
        if self._over:
            return
        self._over = True
        self.is_up = False
        self._waiting.clear()
        self._ears.lost(self, why, refused=self._refused)
