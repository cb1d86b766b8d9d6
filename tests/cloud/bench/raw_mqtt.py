"""An MQTT 3.1.1 client on a bare socket, and a broker to point it at.

It sends what no library would send, a thousand of it fit in one process, and it runs against amqtt's broker as it is
as well as against ours, so that a test can show the trap that a repair is for.
"""

import asyncio
import contextlib
import dataclasses
import gc
import struct
import warnings
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import amqtt.broker
from shallop_cloud.bench.broker import BenchBroker
from shallop_cloud.bench.broker_settings import BrokerSettings
from shallop_cloud.passwords import hash_password, write_passwords

BOUND = 10.0
"""Seconds that a test waits for a condition before it fails."""
QUIET = 0.5
"""Seconds that a test waits before it believes that amqtt's own broker will do nothing."""

CONNACK, PUBLISH, PUBACK, PUBREC, PUBREL, PUBCOMP, SUBACK, UNSUBACK, PINGRESP = 2, 3, 4, 5, 6, 7, 9, 11, 13
PINGREQ_BYTES = b"\xc0\x00"
DISCONNECT_BYTES = b"\xe0\x00"

ResultT = TypeVar("ResultT")


@dataclasses.dataclass(frozen=True)
class Message:
    topic: str
    payload: bytes
    qos: int = 1
    retain: bool = False


def text(value: str | bytes) -> bytes:
    data = value.encode() if isinstance(value, str) else value
    return struct.pack("!H", len(data)) + data


def packet(first_byte: int, body: bytes) -> bytes:
    length, size = b"", len(body)
    while True:
        size, digit = divmod(size, 128)
        length += bytes([digit | (128 if size else 0)])
        if not size:
            return bytes([first_byte]) + length + body


def connect_bytes(
    user: str | None,
    password: str | None,
    client_id: str,
    *,
    keep_alive: int = 60,
    will: Message | None = None,
    clean: bool = True,
    name: str = "MQTT",
    level: int = 4,
    properties: bytes = b"",
) -> bytes:
    flags = 2 * clean
    payload = text(client_id)
    if will is not None:
        flags |= 4 | will.qos << 3 | will.retain << 5
        payload += text(will.topic) + text(will.payload)
    if user is not None:
        flags |= 0x80
        payload += text(user)
    if password is not None:
        flags |= 0x40
        payload += text(password)
    return packet(0x10, text(name) + bytes([level, flags]) + struct.pack("!H", keep_alive) + properties + payload)


def publish_bytes(message: Message, packet_id: int = 1) -> bytes:
    body = text(message.topic) + (struct.pack("!H", packet_id) if message.qos else b"") + message.payload
    return packet(0x30 | message.qos << 1 | message.retain, body)


def subscribe_bytes(packet_id: int, filters: list[str], qos: int) -> bytes:
    return packet(0x82, struct.pack("!H", packet_id) + b"".join(text(each) + bytes([qos]) for each in filters))


class RawClient:
    """One connection. Messages that come while it waits for something else are kept in ``heard``."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.heard: list[Message] = []
        self._packet_id = 0

    @classmethod
    async def open(cls, address: tuple[str, int]) -> "RawClient":
        return cls(*await asyncio.open_connection(*address))

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def read(self) -> tuple[int, bytes]:
        """Type and body of the next packet, a message of QoS 1 acknowledged and kept."""
        first = (await self.reader.readexactly(1))[0]
        size = shift = 0
        while True:
            digit = (await self.reader.readexactly(1))[0]
            size |= (digit & 127) << shift
            shift += 7
            if digit < 128:
                break
        body = await self.reader.readexactly(size)
        if first >> 4 == PUBLISH:
            end = 2 + int.from_bytes(body[:2], "big")
            qos = first >> 1 & 3
            if qos:
                self.send(packet(0x40, body[end : end + 2]))
            self.heard.append(Message(body[2:end].decode(), body[end + 2 * bool(qos) :], qos, bool(first & 1)))
        return first >> 4, body

    async def wait_for(self, kind: int) -> bytes:
        """The body of the next packet of a kind."""

        async def read_on() -> bytes:
            while True:
                found, body = await self.read()
                if found == kind:
                    return body

        return await asyncio.wait_for(read_on(), BOUND)

    async def connect(self, user: str | None, client_id: str | None = None, **options: Any) -> int:
        """Log in as one of the bench's users; the return code of the CONNACK."""
        password = options.pop("password", None if user is None else password_of(user))
        self.send(connect_bytes(user, password, (user or "") if client_id is None else client_id, **options))
        session_present, code = await self.wait_for(CONNACK)
        assert session_present == 0
        return code

    async def subscribe(self, *filters: str, qos: int = 1) -> list[int]:
        """The return codes of the SUBACK."""
        self._packet_id += 1
        self.send(subscribe_bytes(self._packet_id, list(filters), qos))
        body = await self.wait_for(SUBACK)
        assert body[:2] == struct.pack("!H", self._packet_id)
        return list(body[2:])

    async def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        """With QoS 1, until it is acknowledged."""
        self._packet_id += 1
        self.send(publish_bytes(Message(topic, payload, 1, retain), self._packet_id))
        assert await self.wait_for(PUBACK) == struct.pack("!H", self._packet_id)

    async def ping(self) -> list[Message]:
        """What had come before the answer to a ping, taken out of ``heard``."""
        self.send(PINGREQ_BYTES)
        await self.wait_for(PINGRESP)
        heard, self.heard = self.heard, []
        return heard

    async def message(self, bound: float = BOUND) -> Message | None:
        """The next message, or None if none came in time."""

        async def read_on() -> Message:
            while not self.heard:
                await self.read()
            return self.heard.pop(0)

        try:
            return await asyncio.wait_for(read_on(), bound)
        except TimeoutError:
            return None

    async def is_closed(self, bound: float = BOUND) -> bool:
        """Whether the broker ends the connection in time, whatever it still sends before that."""
        try:
            while await asyncio.wait_for(self.reader.read(65_536), bound):
                pass
        except ConnectionError:
            return True
        except TimeoutError:
            return False
        return True

    def cut(self) -> None:
        """End the connection as a crash does, without a DISCONNECT."""
        self.writer.transport.abort()

    async def close(self) -> None:
        self.writer.close()
        with contextlib.suppress(OSError):
            await self.writer.wait_closed()


@dataclasses.dataclass
class Bench:
    """A running broker and its clients, all closed at the end."""

    broker: amqtt.broker.Broker
    clients: list[RawClient] = dataclasses.field(default_factory=list)

    def __post_init__(self) -> None:
        self.address: tuple[str, int] = self.broker._servers["default"].instance.sockets[0].getsockname()

    async def open(self) -> RawClient:
        client = await RawClient.open(self.address)
        self.clients.append(client)
        return client

    async def client(self, user: str, client_id: str | None = None, **options: Any) -> RawClient:
        """A client that was let in."""
        client = await self.open()
        assert await client.connect(user, client_id, **options) == 0
        return client


def password_of(user: str) -> str:
    return f"secret of {user}"


def settings_for(folder: Path, users: list[str], **changes: Any) -> BrokerSettings:
    """Settings for a broker on a free port, and its password file."""
    file = folder / "mqtt-passwords"
    write_passwords(file, {user: hash_password(password_of(user)) for user in users})
    return dataclasses.replace(BrokerSettings(bind="127.0.0.1:0", password_file=file), **changes)


def run(
    broker_class: type[amqtt.broker.Broker],
    config: dict[str, Any],
    scenario: Callable[[Bench], Awaitable[ResultT]],
) -> ResultT:
    """Run a scenario against a fresh broker, and return what it saw."""

    async def main() -> ResultT:
        broker = broker_class(config)
        await broker.start()
        bench = Bench(broker)
        try:
            return await scenario(bench)
        finally:
            await asyncio.gather(*(client.close() for client in bench.clients))
            if broker.transitions.state == "started":
                await asyncio.wait_for(broker.shutdown(), BOUND)

    if issubclass(broker_class, BenchBroker):
        return asyncio.run(main())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # amqtt leaves connections open
        try:
            return asyncio.run(main())
        finally:
            gc.collect()
