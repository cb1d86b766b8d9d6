"""Gets contents by their digests from the cloud, over HTTP or HTTPS, with the robot's own credential.

What is here already is not asked for again: a fetch goes on behind the last byte that was kept (RFC 9110, sections
13.1.5 and 14). Nothing is believed of what comes but its digest, which was signed with the order.
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import logging
import socket
import threading
import urllib.parse

from shallop_protocol.desired import Instance
from shallop_protocol.messages import Reason

from shallop_device import __version__, clock, contents, errands, errors, inbox, tls

PATH = "/v1/device/contents/"
TIMEOUT_S = 30.0
"""For a connection to be made, and between one piece and the next."""
PIECE_BYTES = 65_536
PROGRESS_BYTES = 65_536
"""A connection that broke after so many bytes was worth it: the next is made at once, and not counted as a failure."""
PAUSE_S = 0.5
"""Before that next one."""
BURST_S = 60.0
"""A budget is given out in pieces of what it allows in this time."""
SYSTEM_CLOCK = clock.SystemClock()
SYSTEM_TRUST = tls.Trust()

logger = logging.getLogger(__name__)


class _CannotFetch(Exception):
    """The cloud does not give what was asked for; it may later."""


class _Broken(Exception):
    """The connection broke, or never came about."""


class _CalledOff(Exception):
    """Nobody waits for it any more."""


class Budget:
    """How many bytes may be fetched, by the hour. It begins with none, so that whoever restarts gains nothing.

    Args:
        bytes_per_hour: None for as many as there are.
    """

    def __init__(self, bytes_per_hour: int | None, time: clock.Clock) -> None:
        self._rate = None if bytes_per_hour is None else bytes_per_hour / 3600
        self._clock = time
        self._left = 0.0
        self._at = time.monotonic()

    def share(self, wanted: int) -> int:
        """How many of the wanted bytes to ask for at once."""
        return wanted if self._rate is None else max(1, min(wanted, int(self._rate * BURST_S)))

    def wait(self, count: int) -> float:
        """Seconds until so many bytes may be fetched, which are no more than ``share`` gave."""
        if self._rate is None:
            return 0.0
        now = self._clock.monotonic()
        self._left = min(max(1.0, self._rate * BURST_S), self._left + (now - self._at) * self._rate)
        self._at = now
        return max(0.0, (count - self._left) / self._rate)

    def spend(self, count: int) -> None:
        """So many were fetched."""
        self._left -= count


class Fetcher:
    """Fetches for one robot. ``run`` blocks; ``stop``, from another thread, ends it.

    Args:
        server: the cloud's address, as the robot was enrolled there.
        username, password: the robot's account with the broker; the cloud takes the same.
        trust: whose certificates are believed, over HTTPS.
        budget_bytes_per_hour: of contents; None for no limit.
        timeout: seconds for a connection to be made, and between one piece and the next.
    """

    def __init__(
        self,
        server: str,
        username: str,
        password: str,
        library: contents.Library,
        *,
        trust: tls.Trust = SYSTEM_TRUST,
        budget_bytes_per_hour: int | None = None,
        timeout: float = TIMEOUT_S,
        time: clock.Clock = SYSTEM_CLOCK,
    ) -> None:
        parts = urllib.parse.urlsplit(server)
        self._server = server
        self._host, self._port = parts.hostname or "", parts.port
        self._path = parts.path.rstrip("/") + PATH
        self._tls = parts.scheme == "https"
        self._trust = trust
        self._timeout = timeout
        self._library = library
        self._budget = Budget(budget_bytes_per_hour, time)
        pair = base64.b64encode(f"{username}:{password}".encode()).decode()
        self._headers = {
            "Authorization": f"Basic {pair}",
            "Accept-Encoding": "identity",
            "Connection": "close",
            "User-Agent": f"shallopd/{__version__}",
        }
        self._called_off = threading.Event()
        self._socket: socket.socket | None = None

    def run(self, errand: errands.FetchContents) -> inbox.Ended:
        """Fetches all that an errand names. What was kept of it stays for the next time, however this ends.

        Returns:
            Code 0; or the trouble ``cannot_fetch``, what the disk did not allow, or ``called_off``.
        """
        called_off = self._called_off = threading.Event()
        try:
            for instance in errand.instances:
                self._fetch(instance, called_off)
        except _CalledOff:
            return _trouble(errand, Reason.of("called_off", "nobody waits for these contents any more"))
        except (_CannotFetch, _Broken, contents.WrongBytes) as error:
            return _trouble(errand, Reason.of("cannot_fetch", str(error)))
        except errors.HeldUp as error:
            return _trouble(errand, error.reason)
        except OSError as error:
            return _trouble(errand, errors.held_up(error, "keep what was fetched").reason)
        return inbox.Ended(errand.number, 0)

    def stop(self) -> None:
        """Ends the run that is under way; its end says so."""
        self._called_off.set()
        if (line := self._socket) is not None:
            with contextlib.suppress(OSError):
                line.shutdown(socket.SHUT_RDWR)

    def _fetch(self, instance: Instance, called_off: threading.Event) -> None:
        with self._library.open_part(instance) as part:
            resumed = part.size
            self._complete(instance, part, called_off)
            try:
                part.finish()
            except contents.WrongBytes:
                if not resumed:
                    raise
                logger.warning("%s: what an earlier fetch had left was damaged; it begins anew", instance.path)
                self._complete(instance, part, called_off)
                part.finish()
        logger.info("fetched %s, %d bytes, %d of them earlier", instance.path, instance.size, resumed)

    def _complete(self, instance: Instance, part: contents.Part, called_off: threading.Event) -> None:
        """Asks until all bytes are there, as long as each connection brings some."""
        while part.size < instance.size:
            before = part.size
            share = self._budget.share(instance.size - before)
            self._pause(self._budget.wait(share), called_off)
            try:
                self._ask(instance, part, share, called_off)
            except _Broken:
                if part.size - before < PROGRESS_BYTES:
                    raise
                self._pause(PAUSE_S, called_off)

    def _pause(self, seconds: float, called_off: threading.Event) -> None:
        if called_off.wait(seconds):
            raise _CalledOff

    def _ask(self, instance: Instance, part: contents.Part, share: int, called_off: threading.Event) -> None:
        """One request for the next bytes."""
        start = part.size
        headers = dict(self._headers)
        if start or share < instance.size:
            headers |= {"Range": f"bytes={start}-{start + share - 1}", "If-Range": f'"{instance.digest}"'}
        connection = self._connection()
        try:
            connection.connect()
            self._socket = connection.sock
            if called_off.is_set():
                raise _CalledOff
            connection.request("GET", self._path + instance.digest, headers=headers)
            response = connection.getresponse()
            self._check(response, instance, part)
            self._take(response, instance, part, share)
        except (OSError, http.client.HTTPException) as error:
            if called_off.is_set():
                raise _CalledOff from None
            words = getattr(error, "strerror", None) or str(error) or type(error).__name__
            raise _Broken(
                f"{instance.path}: {part.size} of {instance.size} bytes came from {self._server}: {words}"
            ) from error
        finally:
            self._socket = None
            connection.close()
        if called_off.is_set():
            raise _CalledOff

    def _connection(self) -> http.client.HTTPConnection:
        if not self._tls:
            return http.client.HTTPConnection(self._host, self._port, timeout=self._timeout)
        try:
            context = self._trust.context()
        except OSError as error:
            raise _CannotFetch(str(error)) from error
        return http.client.HTTPSConnection(self._host, self._port, timeout=self._timeout, context=context)

    def _check(self, response: http.client.HTTPResponse, instance: Instance, part: contents.Part) -> None:
        """Sees that the answer is the bytes that follow, or all of them.

        Raises:
            _CannotFetch: it is neither.
        """
        if response.status == http.client.OK:
            part.restart()
            return
        if response.status == http.client.PARTIAL_CONTENT:
            said = response.headers.get("Content-Range", "")
            if said.startswith(f"bytes {part.size}-") and said.endswith(f"/{instance.size}"):
                return
            part.restart()
            raise _CannotFetch(f"{instance.path}: {self._server} gave the range {said[:80]!r}, which was not asked for")
        if response.status == http.client.REQUESTED_RANGE_NOT_SATISFIABLE:
            part.restart()
        raise _CannotFetch(f"{instance.path}: {self._server} answered {response.status}{_meaning(response.status)}")

    def _take(self, response: http.client.HTTPResponse, instance: Instance, part: contents.Part, share: int) -> None:
        """Keeps what comes. Of an answer that is longer than what was asked for, no more is taken than that.

        Raises:
            _CannotFetch: the content is longer than it should be.
            OSError, http.client.HTTPException: the connection broke.
        """
        end = instance.size if response.status == http.client.OK else part.size + share
        while part.size < end and (piece := response.read(min(PIECE_BYTES, end - part.size))):
            self._budget.spend(len(piece))
            try:
                part.add(piece)
            except OSError as error:
                raise errors.held_up(error, f"keep {instance.path}") from error
        if part.size < end:
            raise http.client.IncompleteRead(b"", end - part.size)
        if part.size == instance.size and response.read(1):
            part.restart()
            raise _CannotFetch(
                f"{instance.path}: {self._server} gave more than the {instance.size} bytes that are ordered"
            )


def _trouble(errand: errands.FetchContents, reason: Reason) -> inbox.Ended:
    return inbox.Ended(errand.number, None, trouble=reason)


def _meaning(status: int) -> str:
    if 300 <= status < 400:
        return ", a redirection; it is not followed, because the robot's password would go with it"
    return _MEANINGS.get(status, "")


_MEANINGS = {
    401: ": it does not take this robot's password; is the device archived, or was it enrolled anew elsewhere?",
    404: ": it has no such content for this device; was the order withdrawn meanwhile?",
    429: ": too many wrong passwords came from here; it is asked again later",
}
