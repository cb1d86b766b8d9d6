"""Listens, and gives each connection a thread of its own."""

from __future__ import annotations

import contextlib
import logging
import math
import os
import select
import socket
import threading
import time
from pathlib import Path

from shallop_device import errors
from shallop_device.door import desk, listening, owners, serving, stream

MAX_CONNECTIONS = 32
MAX_TURNED_AWAY = 8
"""Connections beyond that are told so; what comes beyond these is just closed."""
MAX_STREAMS = 24
"""Connections that may follow the events; the others stay free for acts."""
_PAUSE_MS = 1000
"""Before the next attempt to accept a connection, where the process has too many files open."""
_JOIN_S = 2.0
"""So long the end of an agent waits for its clients' threads."""

logger = logging.getLogger(__name__)


class Door:
    """The local API of one agent. Ends with ``close``; an agent whose door cannot be opened goes on without it.

    Args:
        place: where to listen, or a socket that listens already (socket activation).
        group: who may come in besides the agent's own user and root; None for nobody. Of a socket that listens
            already, whoever made it has decided that.
        patience: seconds that a client may be silent in the middle of something.
        heartbeat: seconds after which a stream of events shows that it is alive.
    """

    def __init__(
        self,
        place: Path | socket.socket,
        group: str | None,
        at: desk.Desk,
        *,
        patience: float = serving.PATIENCE_S,
        heartbeat: float = stream.HEARTBEAT_S,
    ) -> None:
        self._place = place
        self._group = group
        self._desk = at
        self._patience = patience
        self._heartbeat = heartbeat
        self._listener: socket.socket | None = None
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._open: dict[socket.socket, threading.Thread] = {}
        self._streams = serving.Seats(MAX_STREAMS)
        self._is_closing = False

    def open(self) -> bool:
        """Begins to listen. False, and the reason in the log, if that cannot be."""
        try:
            listener = self._place if isinstance(self._place, socket.socket) else None
            self._listener = listener or listening.listen(Path(str(self._place)), self._group)
        except errors.AgentError as error:
            logger.warning("the agent works without its local door: %s", error)
            return False
        self._listener.setblocking(False)
        self._thread = threading.Thread(target=self._run, args=(self._listener,), name="door", daemon=True)
        self._thread.start()
        return True

    def close(self) -> None:
        """Ends every connection, and listens no more."""
        self._is_closing = True
        self._desk.feed.close()
        self._desk.ring()
        if self._thread is not None:
            self._thread.join(_JOIN_S)
        with self._lock:
            threads = dict(self._open)
            for connection in threads:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
        deadline = time.monotonic() + _JOIN_S
        for thread in threads.values():
            thread.join(max(0.0, deadline - time.monotonic()))
        if self._listener is not None:
            self._listener.close()
            if not isinstance(self._place, socket.socket):
                listening.remove(self._place)
        self._desk.close()

    def _run(self, listener: socket.socket) -> None:
        told: set[owners.Owner] = set()
        can_accept = True
        while not self._is_closing:
            watched = self._desk.watched
            told.intersection_update(watched)
            poller = select.poll()
            poller.register(self._desk.bell, select.POLLIN)
            if can_accept:
                poller.register(listener, select.POLLIN)
            for owner in watched:
                if owner not in told:
                    poller.register(owner.descriptor, select.POLLIN)
            ready = {descriptor for descriptor, _ in poller.poll(self._wait_ms(can_accept=can_accept))}
            can_accept = True
            if self._desk.bell in ready:
                with contextlib.suppress(BlockingIOError):
                    os.eventfd_read(self._desk.bell)
            if ended := {owner for owner in watched if owner.descriptor in ready}:
                told |= ended
                self._desk.plan_look()
            if self._desk.seconds_to_expiry == 0.0:
                self._desk.expire()
            if listener.fileno() in ready:
                can_accept = self._accept(listener)

    def _wait_ms(self, *, can_accept: bool) -> int | None:
        left = self._desk.seconds_to_expiry
        waits = [] if left is None else [math.ceil(left * 1000)]
        waits += [] if can_accept else [_PAUSE_MS]
        return min(waits, default=None)

    def _accept(self, listener: socket.socket) -> bool:
        """Takes a connection. False if there cannot be one now."""
        try:
            connection, _ = listener.accept()
        except BlockingIOError:
            return True
        except OSError as error:
            logger.warning("a connection could not be taken: %s", error)
            return False
        with self._lock:
            number = len(self._open)
            if number >= MAX_CONNECTIONS + MAX_TURNED_AWAY:
                connection.close()
                return True
            is_welcome = number < MAX_CONNECTIONS
            arguments = (connection, is_welcome)
            thread = threading.Thread(target=self._serve, args=arguments, name="door-client", daemon=True)
            self._open[connection] = thread
        try:
            thread.start()
        except RuntimeError as error:  # no more threads
            logger.warning("a connection could not be served: %s", error)
            self._forget(connection)
            return False
        return True

    def _serve(self, connection: socket.socket, is_welcome: bool) -> None:
        try:
            serving.Handler(
                connection,
                self._desk,
                self._streams,
                patience=self._patience,
                heartbeat=self._heartbeat,
                is_welcome=is_welcome,
            )
        except OSError as error:
            logger.debug("a connection ended: %s", error)
        finally:
            self._forget(connection)

    def _forget(self, connection: socket.socket) -> None:
        with self._lock:
            self._open.pop(connection, None)
        connection.close()
