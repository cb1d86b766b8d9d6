# pyright: reportMissingTypeStubs=false
# (amqtt is annotated, but ships no py.typed)
"""One client's connection: whole packets in, packets out, and an end to it when the client breaks a limit.

Packets are framed here and only then decoded by amqtt, each from its own bytes: a malformed one cannot swallow the
next, and a huge one is refused by its length before a byte of it is kept.
"""

from __future__ import annotations

import asyncio
import dataclasses
import struct
from typing import Any, TypeAlias

from amqtt import errors
from amqtt.adapters import BufferReader, StreamReaderAdapter
from amqtt.mqtt import packet as packet_types
from amqtt.mqtt import packet_class
from amqtt.mqtt.connack import ConnackPacket
from amqtt.mqtt.packet import MQTTFixedHeader, MQTTPacket
from amqtt.mqtt.publish import PublishPacket

from shallop_cloud.bench.broker_plugins import Limits

Packet: TypeAlias = MQTTPacket[Any, Any, Any]
"""Any packet of amqtt's: its three type parameters say nothing that a reader of all kinds can use."""

MAX_UNACKNOWLEDGED = 65_535
"""How many packet identifiers there are (2.3.1)."""

_MALFORMED = (errors.AMQTTError, errors.CodecError, errors.MQTTError, errors.NoDataError, struct.error, ValueError)
_FLAGS_OF_TWO = {packet_types.PUBREL, packet_types.SUBSCRIBE, packet_types.UNSUBSCRIBE}


class BadPacket(Exception):
    """A client broke the protocol; the server must close its connection (4.8.0-1)."""


@dataclasses.dataclass(frozen=True)
class Frame:
    """One packet, not yet decoded."""

    header: MQTTFixedHeader
    body: bytes

    async def decode(self) -> Packet:
        """The packet.

        Raises:
            BadPacket: the body is not what its header says.
        """
        reader = BufferReader(self.body)
        try:
            packet = await packet_class(self.header).from_stream(reader, fixed_header=self.header)
        except (
            errors.AMQTTError,
            errors.MQTTError,
            errors.CodecError,
            errors.NoDataError,
            ValueError,
            struct.error,
        ) as e:
            raise BadPacket(f"malformed packet: {e}") from e
        if await reader.read():
            raise BadPacket("malformed packet: bytes left over")
        return packet


class Wire:
    """A client's connection. Nothing here waits for the client to read: what is sent is buffered, within a limit."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, limits: Limits.Config) -> None:
        self._reader = reader
        self._writer = writer
        self._limits = limits
        self._loop = asyncio.get_running_loop()
        self._heard_at = self._loop.time()
        self._alarm: asyncio.TimerHandle | None = None
        self._unacknowledged: set[int] = set()
        self._last_packet_id = 0
        self.aborted_because: str | None = None
        """Why the broker cut this connection, if it did."""

    async def frame(self) -> Frame:
        """The next packet.

        Raises:
            BadPacket: its header is not one of MQTT 3.1.1 (2.2), or says that the packet is over the limit.
            EOFError, OSError: the connection ended.
        """
        try:
            header = await MQTTFixedHeader.from_stream(StreamReaderAdapter(self._reader))
        except errors.MQTTError as error:
            raise BadPacket(str(error)) from error
        if header is None:
            raise EOFError("the client closed the connection")
        if header.packet_type != packet_types.PUBLISH and header.flags != 2 * (header.packet_type in _FLAGS_OF_TWO):
            raise BadPacket(f"packet type {header.packet_type} with flags {header.flags}")
        if header.remaining_length > self._limits.max_packet_bytes:
            raise BadPacket(f"a packet of {header.remaining_length} bytes, over {self._limits.max_packet_bytes}")
        body = await self._reader.readexactly(header.remaining_length)
        if self._writer.is_closing():
            raise EOFError("the broker ended the connection")  # what it had still buffered must not count
        self._heard_at = self._loop.time()
        return Frame(header, body)

    def allow_silence(self, seconds: float | None) -> None:
        """Cut the connection as soon as no packet came for this long, from now on; None allows any silence.

        amqtt notices the silence and does nothing (``handle_read_timeout``), so a robot that lost its power or its
        network stays connected for ever and its last will is never heard.
        """
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        if seconds is not None:
            self._alarm = self._loop.call_at(self._heard_at + seconds, self._check_silence, seconds)

    def _check_silence(self, seconds: float) -> None:
        if self._loop.time() >= self._heard_at + seconds:
            self.abort(f"silent for {seconds:g} s")
        else:
            self.allow_silence(seconds)

    def send(self, packet: Packet) -> None:
        """Send a packet; one that no longer finds a connection is lost, as it would be on the way."""
        if self._writer.is_closing():
            return
        self._writer.write(packet.to_bytes())
        if self._writer.transport.get_write_buffer_size() > self._limits.max_unread_bytes:
            self.abort(f"more than {self._limits.max_unread_bytes} bytes unread")

    def publish(self, topic: str, payload: bytes, qos: int, *, retain: bool) -> None:
        """Send a message once. With QoS 1 the client acknowledges it, and sessions are clean: no copy is kept."""
        packet_id: int | None = None
        if qos:
            if len(self._unacknowledged) == MAX_UNACKNOWLEDGED:
                self.abort(f"{MAX_UNACKNOWLEDGED} messages unacknowledged")
                return
            packet_id = self._free_packet_id()
            self._unacknowledged.add(packet_id)
        self.send(PublishPacket.build(topic, payload, packet_id, False, qos, retain))

    def acknowledged(self, packet_id: int) -> None:
        """The client has a message of QoS 1."""
        self._unacknowledged.discard(packet_id)

    def refuse(self, return_code: int) -> None:
        """Answer a CONNECT with a refusal and close (3.2.2.3)."""
        self.send(ConnackPacket.build(0, return_code))
        self.close()

    def close(self) -> None:
        """End the connection after what was sent."""
        self.allow_silence(None)
        self._writer.close()

    def abort(self, why: str) -> None:
        """End the connection now; whoever waits in ``frame`` gets an EOFError or OSError."""
        if not self._writer.is_closing():
            self.aborted_because = why
        self.allow_silence(None)
        self._writer.transport.abort()

    def _free_packet_id(self) -> int:
        while True:
            self._last_packet_id = self._last_packet_id % MAX_UNACKNOWLEDGED + 1
            if self._last_packet_id not in self._unacknowledged:
                return self._last_packet_id
