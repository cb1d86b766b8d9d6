"""MQTT as far as the proxy has to know it: where packets begin and end, who connects, what a message is. 3.1.1 and 5.

Numbers in brackets are sections of MQTT 3.1.1; those of MQTT 5 say so.
"""

from __future__ import annotations

import dataclasses
import enum

LEVEL_5 = 5
_MAX_LENGTH_BYTES = 4


class PacketType(enum.IntEnum):
    """The kinds of packets (2.2.1), and what is none."""

    NONE = 0
    """Bytes that cannot be MQTT."""
    CONNECT = 1
    CONNACK = 2
    PUBLISH = 3
    PUBACK = 4
    PUBREC = 5
    PUBREL = 6
    PUBCOMP = 7
    SUBSCRIBE = 8
    SUBACK = 9
    UNSUBSCRIBE = 10
    UNSUBACK = 11
    PINGREQ = 12
    PINGRESP = 13
    DISCONNECT = 14
    AUTH = 15


class NotMqtt(ValueError):
    """Bytes that are not what they would have to be."""


@dataclasses.dataclass(frozen=True, slots=True)
class Packet:
    """One packet as it came.

    Attributes:
        body: where in ``data`` the fixed header ends.
    """

    data: bytes
    body: int

    @property
    def type(self) -> PacketType:
        """Which kind it is."""
        return PacketType(self.data[0] >> 4) if self.body else PacketType.NONE

    @property
    def qos(self) -> int:
        """Of a PUBLISH (3.3.1.2)."""
        return self.data[0] >> 1 & 3

    def again(self) -> Packet:
        """A PUBLISH as it is sent once more: with DUP set, unless its QoS is 0 (3.3.1.1)."""
        return Packet(bytes([self.data[0] | 8]) + self.data[1:], self.body) if self.qos else self

    def damaged(self, place: int, difference: int) -> Packet:
        """With the byte at this place of the body changed, and everything else as it was."""
        at = self.body + place
        return Packet(self.data[:at] + bytes([self.data[at] ^ difference]) + self.data[at + 1 :], self.body)


@dataclasses.dataclass(frozen=True, slots=True)
class Connect:
    """What a CONNECT says of a client (3.1). The level is 4 for MQTT 3.1.1."""

    client_id: str
    level: int


@dataclasses.dataclass(frozen=True, slots=True)
class Message:
    """What a PUBLISH carries (3.3)."""

    topic: str
    payload: bytes
    qos: int
    retain: bool
    dup: bool
    packet_id: int | None


class Cutter:
    """Cuts a stream of bytes into packets. Where it stops being MQTT, everything from there on is of no type."""

    def __init__(self) -> None:
        self._rest = b""
        self._is_mqtt = True

    def feed(self, data: bytes) -> list[Packet]:
        """The packets that are complete with these bytes."""
        data = self._rest + data
        found: list[Packet] = []
        start = 0
        while self._is_mqtt and (size := self._size(data, start)) is not None:
            header, total = size
            if start + total > len(data):
                break
            found.append(Packet(data[start : start + total], header))
            start += total
        self._rest = data[start:]
        if not self._is_mqtt and self._rest:
            found.append(Packet(self._rest, 0))
            self._rest = b""
        return found

    def _size(self, data: bytes, start: int) -> tuple[int, int] | None:
        """Bytes of the fixed header and of the whole packet (2.2.3); None if they are not known yet."""
        if start >= len(data):
            return None
        try:
            length, end = _varint(data, start + 1)
        except NotMqtt:
            self._is_mqtt = data[start] >> 4 != 0 and len(data) - start - 1 < _MAX_LENGTH_BYTES
            return None
        if data[start] >> 4 == 0:
            self._is_mqtt = False
            return None
        return end - start, end - start + length


def connect_of(packet: Packet) -> Connect:
    """What a CONNECT says.

    Raises:
        NotMqtt: it is none, or is cut off.
    """
    if packet.type is not PacketType.CONNECT:
        raise NotMqtt(f"{packet.type.name} instead of a CONNECT")
    data = packet.data
    _, at = _text(data, packet.body)
    level = _byte(data, at)
    at += 4  # level, flags, keep-alive
    if level >= LEVEL_5:
        at = _after_properties(data, at)
    client_id, _ = _text(data, at)
    return Connect(client_id, level)


def message_of(packet: Packet, level: int) -> Message:
    """What a PUBLISH carries, on a connection of this protocol level.

    Raises:
        NotMqtt: it is none, or is cut off.
    """
    if packet.type is not PacketType.PUBLISH:
        raise NotMqtt(f"{packet.type.name} instead of a PUBLISH")
    data, first = packet.data, packet.data[0]
    topic, at = _text(data, packet.body)
    packet_id: int | None = None
    if packet.qos:
        packet_id, at = _byte(data, at) << 8 | _byte(data, at + 1), at + 2
    if level >= LEVEL_5:
        at = _after_properties(data, at)
    return Message(topic, data[at:], packet.qos, bool(first & 1), bool(first & 8), packet_id)


def _byte(data: bytes, at: int) -> int:
    if at >= len(data):
        raise NotMqtt("cut off")
    return data[at]


def _text(data: bytes, at: int) -> tuple[str, int]:
    """A text (1.5.3), and where it ends."""
    end = at + 2 + (_byte(data, at) << 8 | _byte(data, at + 1))
    if end > len(data):
        raise NotMqtt("cut off")
    return data[at + 2 : end].decode(errors="replace"), end


def _after_properties(data: bytes, at: int) -> int:
    """Where the properties end (MQTT 5, 2.2.2)."""
    length, at = _varint(data, at)
    if at + length > len(data):
        raise NotMqtt("cut off")
    return at + length


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """A variable byte integer (2.2.3), and where it ends."""
    value = 0
    for digit in range(_MAX_LENGTH_BYTES):
        byte = _byte(data, at + digit)
        value |= (byte & 127) << 7 * digit
        if byte < 128:
            return value, at + digit + 1
    raise NotMqtt("a length of more than four bytes")
