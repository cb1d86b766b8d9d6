"""The door of a running bench: JSON lines over a Unix socket in its directory. One line is asked, one answered.

Asked is ``{"do": "fault", "robots": ["amr-1"], "fault": "offline 30s"}``; the answer is ``{"ok": …}``, or
``{"error": "…", "refused": true}``, where *refused* means that nothing was done because it makes no sense. ``asking``
is the other side.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import logging
import random
import socketserver
import threading
from collections.abc import Callable, Generator, Mapping
from typing import Any, cast

from shallop_cloud.bench.faults import Fault, FaultError
from shallop_cloud.bench.fleet import asking
from shallop_cloud.bench.fleet.bench import Bench
from shallop_cloud.bench.fleet.errors import BenchError, Refused
from shallop_cloud.bench.simulated import doors

MAX_REQUEST_BYTES = 1_048_576

Json = dict[str, Any]
"""A JSON object as it came; ``_Request`` reads it."""

logger = logging.getLogger(__name__)


@contextlib.contextmanager
def opened(bench: Bench, down: threading.Event) -> Generator[None]:
    """Lets other processes of this user use a bench while the block lasts. ``down`` is set when one wants it to end."""
    path = bench.plan.directory / asking.SOCKET
    with doors.short(path) as address, _Server(address, _Handler) as server:
        path.chmod(0o600)
        server.acts = _acts(bench, down)
        thread = threading.Thread(target=server.serve_forever, args=[0.1], name="bench-control")
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()
            path.unlink(missing_ok=True)


class _Request:
    """What was asked, read field by field."""

    def __init__(self, line: bytes) -> None:
        try:
            value: object = json.loads(line)
        except (ValueError, RecursionError):
            raise Refused("that is not JSON: write one object on one line") from None
        if not isinstance(value, dict):
            raise Refused("that is not a JSON object")
        self._fields = cast("Json", value)

    def text(self, name: str) -> str:
        value = self._fields.get(name)
        if not isinstance(value, str):
            raise Refused(f"{name} must be a text")
        return value

    def texts(self, name: str) -> list[str] | None:
        value: object = self._fields.get(name)
        if value is None:
            return None
        if isinstance(value, list):
            texts = cast("list[object]", value)
            if all(isinstance(each, str) for each in texts):
                return cast("list[str]", texts)
        raise Refused(f"{name} must be a list of texts")

    def share(self, name: str) -> float:
        value = self._fields.get(name)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 100:
            raise Refused(f"{name} must be a number above 0 and at most 100")
        return float(value)


Act = Callable[[_Request], object]


def _acts(bench: Bench, down: threading.Event) -> dict[str, Act]:
    """Everything that can be asked for, by its name."""

    def fault(request: _Request) -> object:
        try:
            wanted = Fault.parse(request.text("fault").split())
        except FaultError as error:
            raise Refused(str(error)) from None
        names = request.texts("robots")
        if names is None:
            names = bench.some(request.share("percent"), random.SystemRandom())
        return {"robots": names, "fault": str(wanted), "said": bench.fault(names, wanted)}

    def simple(act: Callable[[], None]) -> Act:
        def do(_request: _Request) -> object:
            act()
            return {}

        return do

    def account(_request: _Request) -> object:
        return {**dataclasses.asdict(bench.account), "protocol": bench.plan.broker_protocol}

    return {
        "status": lambda _: bench.status(),
        "account": account,
        "fault": fault,
        "broker kill": simple(bench.broker.kill),
        "broker wipe": simple(bench.broker.wipe),
        "broker restart": simple(bench.broker.restart),
        "cloud kill": simple(bench.cloud.kill),
        "cloud restart": simple(bench.cloud.restart),
        "cloud backup": simple(bench.cloud.backup),
        "cloud restore-backup": simple(bench.cloud.restore_backup),
        "down": simple(down.set),
    }


class _Server(socketserver.ThreadingUnixStreamServer):
    acts: Mapping[str, Act]


class _Handler(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        server = cast("_Server", self.server)
        line = self.rfile.readline(MAX_REQUEST_BYTES)
        try:
            answer = {"ok": _done(server.acts, _Request(line))}
        except Refused as error:
            answer = {"error": str(error), "refused": True}
        except BenchError as error:
            answer = {"error": str(error)}
        except Exception as error:  # whoever asks must hear of it, and the next one must be served
            logger.exception("a defect while answering")
            answer = {"error": f"{type(error).__name__}: {error}; the bench's own output says more"}
        with contextlib.suppress(OSError):  # whoever asked may have gone
            self.wfile.write(json.dumps(answer).encode() + b"\n")


def _done(acts: Mapping[str, Act], request: _Request) -> object:
    name = request.text("do")
    if name not in acts:
        raise Refused(f"{name!r} is nothing that a bench does; there are: {', '.join(acts)}")
    return acts[name](request)
