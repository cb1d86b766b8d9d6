"""How the API is served: for how long a connection is waited for, and what is said to one that speaks no HTTP."""

from __future__ import annotations

import asyncio
import resource
import secrets
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from shallop_cloud import errors
from shallop_cloud.api import edge, problems

HEAD_WITHIN_S = 15.0
"""Seconds from the opening of a connection, or the end of an answer, until the next request's head is there whole."""
_FREE = 4
"""One in so many file descriptors is left to the database, the broker's link and the files."""


def most_connections() -> int:
    """How many may be open at once: as many as this process has file descriptors for."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return soft - soft // _FREE


class Patient(H11Protocol):
    """One connection. What no application sees is refused here, with the headers that all answers have."""

    _late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Begins to wait for the first request."""
        super().connection_made(transport)
        if len(self.connections) > most_connections():
            self._refuse(
                errors.Problem(503, "connections_busy", "too many connections are open; come back in a moment")
            )
        else:
            self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Waits no longer."""
        self._stop_waiting()
        super().connection_lost(exc)

    def handle_events(self) -> None:
        """Takes what came; a head that is whole is what was waited for."""
        super().handle_events()
        if self.cycle is not None and not self.cycle.response_complete:  # pyright: ignore[reportUnnecessaryComparison]
            self._stop_waiting()

    def on_response_complete(self) -> None:
        """Begins to wait for the next request. What comes of this one's body until then is thrown away."""
        self._wait()
        super().on_response_complete()

    def send_400_response(self, msg: str) -> None:
        """Says that it is no HTTP, and hangs up."""
        self._refuse(errors.Problem(400, "http_invalid", f"{msg.rstrip('.')}: this is not HTTP/1.1"))

    def _wait(self) -> None:
        self._stop_waiting()
        self._late = self.loop.call_later(HEAD_WITHIN_S, self.transport.close)

    def _stop_waiting(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _refuse(self, problem: errors.Problem) -> None:
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            request_id = f"req-{secrets.token_hex(8)}"
            answer = problems.answer(request_id, problem, {"Connection": "close", "X-Request-ID": request_id})
            own = {name.lower() for name, _ in answer.raw_headers}
            headers = [*answer.raw_headers, *(each for each in edge.HEADERS.items() if each[0] not in own)]
            reason = problem.code.replace("_", " ").encode()
            events = (
                h11.Response(status_code=problem.status, headers=headers, reason=reason),
                h11.Data(data=bytes(answer.body)),
                h11.EndOfMessage(),
            )
            self.transport.write(b"".join(self.conn.send(event) or b"" for event in events))
        self.transport.close()


AS_SERVED: dict[str, Any] = {
    "http": Patient,
    "ws": "none",
    "server_header": False,
    "log_config": None,
    "access_log": False,
}
"""Of uvicorn's settings, those that hold wherever the API is served."""
