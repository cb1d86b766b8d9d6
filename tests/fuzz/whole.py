"""What reads from a connection is fuzzed as it is served: the bench broker's wire, the robot's door, the API."""

from __future__ import annotations

import asyncio
import contextlib
import pathlib
import socket
import tempfile
from collections.abc import Callable, Generator
from typing import Any

Parse = Callable[[bytes], object]


_TAKEN = ("method", "path", "address", "authorization", "body", "self")
"""Names that ``Fleet.ask`` has for itself."""


class _Sink:
    """A writer that nobody reads."""

    def is_closing(self) -> bool:
        return False


@contextlib.contextmanager
def bench_broker() -> Generator[Parse]:
    """Packets as the bench broker reads and decodes them."""
    from shallop_cloud.bench.broker_plugins import Limits
    from shallop_cloud.bench.broker_wire import Wire

    async def read(data: bytes) -> None:
        reader = asyncio.StreamReader()
        reader.feed_data(data)
        reader.feed_eof()
        sink: Any = _Sink()
        wire = Wire(reader, sink, Limits.Config())
        for _ in range(50):
            await (await wire.frame()).decode()

    with asyncio.Runner() as runner:
        yield lambda data: runner.run(read(data))


@contextlib.contextmanager
def door() -> Generator[Parse]:
    """Bytes at the door of a running agent: the answer, if there is one, is HTTP, and the agent does not fail."""
    from door_world import local

    with local(patience=0.02) as world:
        world.order({"f": "1"})

        def ask(data: bytes) -> None:
            came = b""
            with world.raw() as connection, contextlib.suppress(BrokenPipeError, ConnectionResetError, TimeoutError):
                connection.settimeout(5.0)
                connection.sendall(data[:70_000])
                connection.shutdown(socket.SHUT_WR)
                while len(came) < 65_536 and (piece := connection.recv(65_536)):
                    came += piece
                    if b"text/event-stream" in came:
                        break
            if came and not came.startswith(b"HTTP/1.1 "):
                raise AssertionError(f"no HTTP: {came[:100]!r}")
            if b"HTTP/1.1 500" in came:
                raise AssertionError(came.decode(errors="replace")[:300])

        yield ask


@contextlib.contextmanager
def api() -> Generator[Parse]:
    """A request line, headers and a body, asked of the app as an admin; no answer is a failure of the server's."""
    import structlog.testing
    from owasp_world import Fleet
    from shallop_cloud.services.guesses import Guesses

    with tempfile.TemporaryDirectory() as directory, structlog.testing.capture_logs() as logs:
        fleet = Fleet(pathlib.Path(directory))
        fleet.app.state.feed.stop()

        def ask(data: bytes) -> None:
            head, _, body = data.partition(b"\n\n")
            first, *lines = head.decode("latin-1").split("\n")
            method, _, target = first.partition(" ")
            given = dict(line.split(": ", 1) for line in lines if ": " in line)
            own = given.pop("authorization", fleet.credentials["admin"])
            names = {name: value for name, value in given.items() if name.lower() not in _TAKEN}
            fleet.app.state.guesses = Guesses()
            answer = fleet.ask(method, target.encode().decode("latin-1"), own, body, **names)
            if answer.status >= 500 and answer.code != "events_busy":
                told = [str(each.get("exc_info", ""))[:300] for each in logs]
                logs.clear()
                raise AssertionError(f"{answer.status} {answer.code}: {told}")

        try:
            yield ask
        finally:
            fleet.close()
