"""What a broker may send, checked before the MQTT client believes it.

paho-mqtt makes room for whatever a packet announces, up to 256 MB; keeps each message of QoS 2 until the broker says
otherwise, up to 65,535 of them; and takes a second CONNACK for a second connection. A broker may be broken, or hostile,
so the first bytes of each packet are looked at here, as they come off the socket: those that this agent has not asked
for, and those that are too long, end the connection before anything is kept of them.

Source: MQTT 3.1.1 and MQTT 5, sections 2.1 and 2.2.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import paho.mqtt.client as mqtt

MAX_PUBLISH_BYTES = 2_000_000
"""More than a message of any kind may have. One that is longer is cut to this, so that it is refused in words."""
MAX_CUT_BYTES = 16_777_216
"""One that is longer than this ends the connection."""
MAX_ANSWER_BYTES = 16_384
"""For all packets but PUBLISH."""
PIECE_BYTES = 65_536
"""At most so much is asked of the socket at once."""
BURST = 1_000
PER_SECOND = 50.0
"""Answers that a broker may send: so many at once, and so many a second on the average."""
_MAX_LENGTH_BYTES = 4
_CONNACK, _PUBLISH, _PUBACK, _SUBACK, _PINGRESP, _DISCONNECT = 2, 3, 4, 9, 13, 14
_ONCE = {_CONNACK: "CONNACK", _SUBACK: "SUBACK"}
_OFTEN = frozenset({_PUBLISH, _PUBACK, _PINGRESP, _DISCONNECT})


class Unsolicited(ConnectionError):
    """The broker sent what it may not send, or not to this agent."""


class Guard:
    """Follows the packets of one connection.

    Args:
        now: the monotonic time in seconds.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._seen: set[int] = set()
        self._header = bytearray()
        self._ready = bytearray()
        self._left = self._tail = 0
        self._allowance = float(BURST)
        self._counted_at = now()

    def read(self, size: int, receive: Callable[[int], bytes]) -> bytes:
        """At most so many bytes for the client, as ``receive`` gives them; what it raises passes through.

        Raises:
            Unsolicited: a packet begins that cannot be meant for this agent.
        """
        while not self._ready:
            if self._left:
                data = receive(min(size, self._left, PIECE_BYTES))
                self._left -= len(data)
                return data
            data = receive(min(self._tail, PIECE_BYTES) or 1)
            if not data:
                return data
            if self._tail:
                self._tail -= len(data)
            else:
                self._begin(data[0])
        piece = bytes(self._ready[:size])
        del self._ready[:size]
        return piece

    def _begin(self, octet: int) -> None:
        """Takes one byte of the fixed header."""
        self._header.append(octet)
        if len(self._header) == 1:
            self._check_first(octet)
            return
        if octet & 0x80:
            if len(self._header) > _MAX_LENGTH_BYTES:
                raise Unsolicited("the broker announced a packet whose length has no end")
            return
        length = sum((each & 0x7F) << (7 * at) for at, each in enumerate(self._header[1:]))
        is_message = self._header[0] >> 4 == _PUBLISH
        limit = MAX_PUBLISH_BYTES if is_message else MAX_ANSWER_BYTES
        if length > (MAX_CUT_BYTES if is_message else limit):
            raise Unsolicited(f"the broker announced a packet of {length} bytes, more than a message may have")
        self._left = min(length, limit)
        self._tail = length - self._left
        self._ready += self._header if not self._tail else bytes([self._header[0]]) + _written(limit)
        self._header.clear()

    def _check_first(self, first: int) -> None:
        kind = first >> 4
        if not self._seen and kind != _CONNACK:
            raise Unsolicited(f"the broker's answer to CONNECT is none (first byte {first:#04x}); does it speak MQTT?")
        if kind in _ONCE and kind in self._seen:
            raise Unsolicited(f"the broker sent a second {_ONCE[kind]}")
        if kind not in _ONCE and kind not in _OFTEN:
            raise Unsolicited(f"the broker sent a packet of type {kind}, for which this agent has not asked")
        if kind == _PUBLISH and first & 0x04:
            raise Unsolicited("the broker sent a message of QoS 2 or 3; this agent asked for QoS 1")
        self._seen.add(kind)
        if kind != _PUBLISH:  # those have to find a place in the inbox
            self._count()

    def _count(self) -> None:
        now = self._now()
        self._allowance = min(float(BURST), self._allowance + (now - self._counted_at) * PER_SECOND) - 1.0
        self._counted_at = now
        if self._allowance < 0.0:
            raise Unsolicited("the broker sends answers faster than anything was asked")


def _written(length: int) -> bytes:
    """A remaining length, as the fixed header has it: MQTT 3.1.1, section 2.2.3."""
    octets = bytearray()
    while length:
        octets.append((length & 0x7F) | (0x80 if length > 0x7F else 0))
        length >>= 7
    return bytes(octets)


class Client(mqtt.Client):
    """paho's client, for one connection, with a guard before it.

    Attributes:
        unsolicited: what the broker sent that ended the connection.
    """

    def __init__(self, *args: Any, **more: Any) -> None:  # Any: as paho has it
        super().__init__(*args, **more)
        self.unsolicited: str | None = None
        self._guard = Guard()

    def _sock_recv(self, bufsize: int) -> bytes:
        try:
            return self._guard.read(bufsize, super()._sock_recv)
        except Unsolicited as error:
            self.unsolicited = str(error)
            raise
