"""One connection: requests in, answers out, within bounds of size and time."""

from __future__ import annotations

import http.server
import io
import logging
import socket
import socketserver
import struct
import threading
import time
import urllib.parse
from collections.abc import Mapping
from typing import Any

from shallop_device import __version__, errors
from shallop_device.door import desk, problems, routes

MAX_HEAD_BYTES = 16_384
PATIENCE_S = 10.0
"""So long a request may take to arrive, the wait for it included, and so long the other side may take nothing."""
_LINGER_S = 0.5

_CREDENTIALS = struct.Struct("3i")
_BUSY_AFTER = {503: {"Retry-After": "1"}}

logger = logging.getLogger(__name__)


def peer_of(connection: socket.socket) -> desk.Peer:
    """The process at the other end."""
    found = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    return desk.Peer(*_CREDENTIALS.unpack(found))


class TooMuch(Exception):
    """More bytes came than may."""


class Bounded(io.RawIOBase):
    """What comes in: at most so many bytes by a certain moment, both as ``allow`` last said."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._bytes = 0
        self._until = 0.0

    def allow(self, size: int, seconds: float) -> None:
        """So many bytes from now on, within so many seconds."""
        self._bytes = size
        self._until = time.monotonic() + seconds

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: Any, /) -> int:  # Any: whatever a caller may write into
        """Some of it.

        Raises:
            TimeoutError: it took too long.
            TooMuch: there is more.
        """
        left = self._until - time.monotonic()
        if left <= 0:
            raise TimeoutError
        if self._bytes <= 0:
            raise TooMuch
        self._connection.settimeout(left)
        count = self._connection.recv_into(memoryview(buffer)[: self._bytes])
        self._bytes -= count
        return count


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers the requests of one connection, one after another, until it ends.

    Args:
        patience: seconds; see ``PATIENCE_S``.
        heartbeat: seconds; see ``stream``.
        streams: how many more streams there may be.
        is_welcome: False: there are too many connections, and this one is told so.
    """

    protocol_version = "HTTP/1.1"
    default_request_version = "HTTP/1.1"
    disable_nagle_algorithm = False

    def __init__(
        self,
        connection: socket.socket,
        at: desk.Desk,
        streams: Seats,
        *,
        patience: float,
        heartbeat: float,
        is_welcome: bool = True,
    ) -> None:
        self._desk = at
        self._streams = streams
        self._patience = patience
        self._heartbeat = heartbeat
        self._is_welcome = is_welcome
        self._peer = peer_of(connection)
        super().__init__(connection, ("", 0), _NOBODY)

    def setup(self) -> None:
        """Bounds what comes in."""
        super().setup()
        self._bounded = Bounded(self.connection)
        self.rfile = io.BufferedReader(self._bounded)

    def handle_one_request(self) -> None:
        """Reads a request and answers it; the connection ends after one that could not be read to its end."""
        self.raw_requestline, self.requestline, self.request_version, self.command = b"", "", "HTTP/1.1", ""
        self._bounded.allow(MAX_HEAD_BYTES, self._patience)
        try:
            self.raw_requestline = self.rfile.readline(MAX_HEAD_BYTES)
            if not self.raw_requestline:
                self.close_connection = True
            elif not self.raw_requestline.endswith(b"\n") and len(self.raw_requestline) == MAX_HEAD_BYTES:
                self._give_up(_too_large())
            elif self.parse_request():
                self._answer()
        except TooMuch:
            self._give_up(_too_large())
        except TimeoutError:
            # Who was silent between two requests is not answered: it may be sending the next one at this moment.
            if self.command:
                self._give_up(problems.Problem(408, "too_slow", f"it did not come within {self._patience:g} s"))
            self.close_connection = True
        except OSError as error:
            logger.debug("the other side is gone: %s", error)
            self.close_connection = True

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """What the base class finds wrong with a request, as a problem."""
        name = _CODES.get(code, "request_invalid")
        self._give_up(problems.Problem(code, name, message or explain or "the request cannot be read"))

    def version_string(self) -> str:
        """What the answers say of the server."""
        return f"shallopd/{__version__}"

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  as the base class has it
        """At the level of details: the acts are logged by the desk."""
        logger.debug(format, *args)

    def _give_up(self, problem: problems.Problem) -> None:
        self.close_connection = True
        try:
            self._send_problem(problem)
            self._drain()
        except OSError as error:
            logger.debug("the other side is gone: %s", error)

    def _drain(self) -> None:
        """Reads on for a moment: a socket that is closed with something unread takes the answer away with it."""
        self.connection.shutdown(socket.SHUT_WR)
        self.connection.settimeout(_LINGER_S)
        deadline = time.monotonic() + _LINGER_S
        while self.connection.recv(routes.MAX_BODY_BYTES) and time.monotonic() < deadline:
            pass

    def _answer(self) -> None:
        if not self._is_welcome:
            self._give_up(problems.Problem(503, "too_many_connections", "too many connections are open; close one"))
            return
        try:
            self._send(self._answer_to())
        except problems.Problem as problem:
            if self.close_connection:
                self._give_up(problem)
                return
            headers = {"Allow": ", ".join(problem.methods)} if isinstance(problem, routes.NotAllowed) else {}
            self._send_problem(problem, headers)

    def _answer_to(self) -> routes.Answer:
        path, _, query = self.path.partition("?")
        body = self._body(routes.limit(self.command, path))
        route, params = routes.find(self.command, path)
        asked = routes.Request(
            params=params,
            query=_query(query, route),
            headers={name.lower(): value for name, value in self.headers.items()},
            body=body,
            peer=self._peer,
            heartbeat=self._heartbeat,
        )
        try:
            return route.act(self._desk, asked)
        except problems.Problem:
            raise
        except OSError as error:
            held_up = errors.held_up(error, f"answer {self.command} {path[:200]}")
            raise problems.Problem(503, held_up.reason.code, str(held_up)) from None
        except Exception as error:
            logger.exception("a request brought out a defect of the agent")
            words = f"the agent failed: {type(error).__name__}; report this as a defect of shallopd"
            raise problems.Problem(500, "internal_error", words) from None

    def _body(self, limit: int) -> bytes:
        if "transfer-encoding" in self.headers:
            self.close_connection = True
            raise problems.Problem(411, "length_required", "a body needs a Content-Length; it is not taken in chunks")
        lengths = self.headers.get_all("content-length", ["0"])
        text = lengths[0].strip()
        if len(lengths) > 1 or not (text.isascii() and text.isdecimal()):
            self.close_connection = True
            raise problems.Problem(400, "request_invalid", "the Content-Length is not one number")
        if len(text) > len(str(limit)) or int(text) > limit:
            self.close_connection = True
            raise problems.Problem(413, "body_too_large", f"a body has at most {limit} bytes here")
        size = int(text)
        self._bounded.allow(size, self._patience)
        body = self.rfile.read(size) if size else b""
        if len(body) < size:
            self.close_connection = True
            raise problems.Problem(400, "request_invalid", "the connection ended before the body did")
        return body

    def _send_problem(self, problem: problems.Problem, headers: Mapping[str, str] | None = None) -> None:
        own = {**_BUSY_AFTER.get(problem.status, {}), **(headers or {})}
        self._send(routes.Answer(problem.status, problem.body, problems.MEDIA_TYPE, own))

    def _send(self, answer: routes.Answer) -> None:
        is_stream = answer.chunks is not None and answer.size is None
        if is_stream and not self._streams.take():
            words = f"{self._streams.number} clients follow the events already; close one"
            self._send_problem(problems.Problem(503, "too_many_streams", words))
            return
        try:
            self._send_taken(answer, is_stream=is_stream)
        finally:
            if is_stream:
                self._streams.give_back()

    def _send_taken(self, answer: routes.Answer, *, is_stream: bool) -> None:
        self.connection.settimeout(self._patience)
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        size = answer.size if answer.body is None else len(answer.body)
        if is_stream:
            self.close_connection = True
        elif answer.status not in _BODILESS:
            self.send_header("Content-Length", str(size or 0))
        if answer.body is not None or answer.chunks is not None:
            self.send_header("Content-Type", answer.media_type)
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self._send_body(answer)

    def _send_body(self, answer: routes.Answer) -> None:
        if answer.body is not None:
            self.wfile.write(answer.body)
        left = answer.size
        for chunk in answer.chunks or ():
            sent = chunk if left is None else chunk[:left]
            self.wfile.write(sent)
            left = None if left is None else left - len(sent)
        if left:  # the file was cut short after its head was sent: only an early end tells that
            self.close_connection = True


class Seats:
    """A number of things that may be at once; threads may share it."""

    def __init__(self, number: int) -> None:
        self.number = number
        self._free = threading.BoundedSemaphore(number)

    def take(self) -> bool:
        """One more, if there is room."""
        return self._free.acquire(blocking=False)

    def give_back(self) -> None:
        """One less."""
        self._free.release()


_CODES = {431: "head_too_large", 505: "version_not_supported"}
_BODILESS = frozenset({204, 304})
_NOBODY = socketserver.BaseServer(("", 0), http.server.BaseHTTPRequestHandler)
"""The base class wants a server, and only ever keeps it."""


def _too_large() -> problems.Problem:
    return problems.Problem(431, "head_too_large", f"the request's head has more than {MAX_HEAD_BYTES} bytes")


def _query(text: str, route: routes.Route) -> dict[str, str]:
    try:
        pairs = urllib.parse.parse_qsl(text, keep_blank_values=True, strict_parsing=bool(text), max_num_fields=16)
    except ValueError:
        raise problems.Problem(400, "query_invalid", "what follows ? cannot be read") from None
    for name, _ in pairs:
        if name not in route.query:
            known = f"it knows {', '.join(route.query)}" if route.query else "it knows none"
            words = f"{route.method} {route.path} does not know the parameter {name[:80]!r}; {known}"
            raise problems.Problem(400, "query_invalid", words)
    return dict(pairs)
