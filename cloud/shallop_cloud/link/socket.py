"""paho on a socket that is read and written by the buffer, not by the field.

paho reads a packet by three or four calls of ``recv`` and writes each by a ``send`` of its own. With thousands of
messages a second, most of the time of a connection goes there.
"""

from __future__ import annotations

import contextlib
import ssl
from typing import Any

import paho.mqtt.client as mqtt

CHUNK = 65_536


class Buffered:
    """A non-blocking socket, as far as paho uses one, with a buffer each way.

    Args:
        real: a connected ``socket.socket`` or ``ssl.SSLSocket``.
    """

    def __init__(self, real: Any) -> None:  # Any: the two share no type that has these methods
        self._real = real
        self._in = b""
        self._read = 0
        self._out = bytearray()

    @property
    def has_input(self) -> bool:
        """Whether bytes were read that paho has not asked for yet."""
        return self._read < len(self._in)

    @property
    def has_output(self) -> bool:
        """Whether bytes wait for ``flush``."""
        return bool(self._out)

    def recv(self, size: int) -> bytes:
        """Up to ``size`` bytes; ``b""`` at the end. Raises BlockingIOError if there are none, as the socket does."""
        if not self.has_input:
            self._in, self._read = self._real.recv(CHUNK), 0
        start, self._read = self._read, min(self._read + size, len(self._in))
        return self._in[start : self._read]

    def send(self, data: bytes | bytearray) -> int:
        """Takes all of ``data``; it leaves by ``flush``, or now if much has gathered."""
        self._out += data
        if len(self._out) >= CHUNK:
            self.flush()
        return len(data)

    def flush(self) -> None:
        """Sends what was taken, as far as the socket takes it now. Raises OSError if the connection is gone."""
        with contextlib.suppress(BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            while self._out:
                del self._out[: self._real.send(self._out[:CHUNK])]

    def fileno(self) -> int:
        """The descriptor, for who waits on it."""
        return self._real.fileno()

    def setblocking(self, flag: bool) -> None:
        """As the socket says."""
        self._real.setblocking(flag)

    def pending(self) -> int:
        """Bytes that can be read without waiting on the descriptor."""
        decrypted = self._real.pending() if hasattr(self._real, "pending") else 0
        return len(self._in) - self._read + decrypted

    def close(self) -> None:
        """Sends what waits, if it can be sent now, and closes the socket."""
        with contextlib.suppress(OSError):
            self.flush()
        self._real.close()


class Client(mqtt.Client):
    """A client on a ``Buffered`` socket, for a loop from outside that calls ``take_in`` and ``give_out``."""

    _buffered: Buffered | None = None

    def _create_socket(self) -> Any:
        self._buffered = Buffered(super()._create_socket())
        return self._buffered

    def take_in(self) -> None:
        """Handles all that has come, one buffer's worth at least. For when the descriptor is readable."""
        buffered = self._buffered
        while buffered is not None and self.loop_read() == mqtt.MQTT_ERR_SUCCESS and buffered.pending():
            continue

    def give_out(self) -> None:
        """Sends what waits, as far as it can be sent now. For when the descriptor is writable."""
        buffered = self._buffered
        if buffered is None:
            return
        self.loop_write()
        try:
            buffered.flush()
        except OSError:
            self.take_in()  # the reading side says why, and tells the callbacks

    @property
    def has_output(self) -> bool:
        """Whether something waits to be sent."""
        return self.want_write() or (self._buffered is not None and self._buffered.has_output)
