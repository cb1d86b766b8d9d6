"""As much of MQTT 3.1.1 as simulated robots speak: QoS 1, clean sessions, one will. Pure.

Source: http://docs.oasis-open.org/mqtt/mqtt/v3.1.1/mqtt-v3.1.1.html; the numbers in the text are its sections. A
library's client costs several times as much for each message, and the robots of a benchmark share two processors with
the broker and the cloud that are measured.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

PINGREQ = b"\xc0\x00"
DISCONNECT = b"\xe0\x00"
CONNACK, PUBLISH, PUBACK, SUBACK, PINGRESP = 0x20, 0x30, 0x40, 0x90, 0xD0
"""First bytes, without the flags in the lower four bits (2.2.1)."""
MAX_ID = 65_535

_CLEAN, _WILL, _WILL_QOS_1, _WILL_RETAIN, _PASSWORD, _USER = 0x02, 0x04, 0x08, 0x20, 0x40, 0x80
_MAX_LENGTH_BYTES = 4


class WireError(ValueError):
    """Bytes that are no packet."""


@dataclasses.dataclass(frozen=True, slots=True)
class Will:
    """What the broker publishes, retained, when a connection ends without good-bye."""

    topic: bytes
    payload: bytes


def connect(client_id: str, username: str, password: str, keepalive: int, will: Will | None) -> bytes:
    """CONNECT (3.1) with a clean session; without a user name, without an account."""
    flags = _CLEAN
    payload = _text(client_id.encode())
    if will:
        flags |= _WILL | _WILL_QOS_1 | _WILL_RETAIN
        payload += _text(will.topic) + _text(will.payload)
    if username:
        flags |= _USER | _PASSWORD
        payload += _text(username.encode()) + _text(password.encode())
    body = b"\0\4MQTT\4" + bytes((flags,)) + keepalive.to_bytes(2, "big") + payload
    return b"\x10" + _length(len(body)) + body


def subscribe(number: int, filters: Sequence[bytes]) -> bytes:
    """SUBSCRIBE (3.8), all with QoS 1."""
    body = number.to_bytes(2, "big") + b"".join(_text(each) + b"\1" for each in filters)
    return b"\x82" + _length(len(body)) + body


def publish(topic: bytes, payload: bytes, number: int, *, retain: bool) -> bytes:
    """PUBLISH (3.3) with QoS 1."""
    length = _length(4 + len(topic) + len(payload))
    return b"".join((b"\x33" if retain else b"\x32", length, _text(topic), number.to_bytes(2, "big"), payload))


def puback(number: bytes) -> bytes:
    """PUBACK (3.4) for the packet identifier, as it came."""
    return b"\x40\x02" + number


def split(buffer: bytearray) -> Iterator[tuple[int, bytes]]:
    """Takes the whole packets from the front of what was received: the first byte of each, and what comes after its
    length (2.2.3). What is left in the buffer is the beginning of the next one.

    Raises:
        WireError: a length of more than four bytes.
    """
    position, end = 0, len(buffer)
    try:
        while position + 2 <= end:
            length, shift, body = 0, 0, position + 1
            while True:
                if body == end:
                    return
                byte = buffer[body]
                length |= (byte & 0x7F) << shift
                shift += 7
                body += 1
                if byte < 0x80:
                    break
                if shift == 7 * _MAX_LENGTH_BYTES:
                    raise WireError("a packet's length has more than four bytes")
            if body + length > end:
                return
            first, packet = buffer[position], bytes(buffer[body : body + length])
            position = body + length
            yield first, packet
    finally:
        del buffer[:position]


def parse_publish(first: int, body: bytes) -> tuple[bytes, bytes | None, bytes]:
    """Topic, packet identifier (None with QoS 0) and payload of a PUBLISH.

    Raises:
        WireError: it is cut short.
    """
    end = 2 + int.from_bytes(body[:2], "big")
    payload = end + 2 if first & 0x06 else end
    if payload > len(body):
        raise WireError("a PUBLISH is cut short")
    return body[2:end], body[end:payload] or None, body[payload:]


def _text(data: bytes) -> bytes:
    return len(data).to_bytes(2, "big") + data


def _length(length: int) -> bytes:
    if length < 128:
        return bytes((length,))
    digits = bytearray()
    while length:
        length, digit = divmod(length, 128)
        digits.append(digit | 0x80 if length else digit)
    return bytes(digits)
