"""Whatever bytes come in, the agent works on, and the answer, if there is one, is HTTP."""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Generator

import door_world
import hypothesis
import pytest
from door_world import eventually
from hypothesis import strategies
from shallop_device.door import routes

pytestmark = pytest.mark.slow

_VALUES = strategies.recursive(
    strategies.none() | strategies.booleans() | strategies.integers() | strategies.floats() | strategies.text(),
    lambda inner: strategies.lists(inner, max_size=3) | strategies.dictionaries(strategies.text(), inner, max_size=3),
    max_leaves=5,
)
_SLOW = ("/v1/events", "/v1/openapi.json")
"""The one does not end, the other is made anew each time."""
_FIELDS = ["reason", "expires_in_s", "while_pid", "name", "deployment", "ok", "message"]


@pytest.fixture(scope="module")
def shared() -> Generator[door_world.Local]:
    with door_world.local(patience=0.05) as local:
        local.order({"f": "1"})
        yield local


def _is_http_or_nothing(local: door_world.Local, request: bytes) -> None:
    with local.raw() as connection:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            connection.sendall(request)
        connection.shutdown(socket.SHUT_WR)
        with contextlib.suppress(ConnectionResetError):
            answer = connection.recv(65_536)
            assert answer == b"" or answer.startswith(b"HTTP/1.1 "), answer
            assert not answer.startswith(b"HTTP/1.1 500"), answer


@hypothesis.settings(max_examples=300, deadline=None)
@hypothesis.given(
    head=strategies.sampled_from([b"", b"GET ", b"PUT /v1/holds/x HTTP/1.1\r\n", b"GET /v1/status HTTP/1.1\r\n"]),
    rest=strategies.binary(max_size=300) | strategies.text(alphabet=":\r\n /?%=0a", max_size=60).map(str.encode),
)
def test_any_bytes(shared, head, rest):
    _is_http_or_nothing(shared, head + rest)
    assert shared.ask("GET", "/v1/health").status == 200


@hypothesis.settings(max_examples=300, deadline=None)
@hypothesis.given(
    route=strategies.sampled_from([route for route in routes.ROUTES if route.path not in _SLOW]),
    segment=strategies.text(min_size=1, max_size=20),
    body=strategies.dictionaries(strategies.sampled_from(_FIELDS) | strategies.text(max_size=5), _VALUES, max_size=5),
)
def test_any_body_and_any_name(shared, route, segment, body):
    escaped = "".join(f"%{byte:02x}" for byte in segment.encode(errors="replace"))
    path = route.path.replace("{name}", escaped).replace("{path}", escaped)
    answer = shared.ask(route.method, path, json.dumps(body).encode())
    assert answer.status in {*route.gives, 400, 404, 409, 422, 503}, answer
    for hold in shared.ask("GET", "/v1/holds").json["holds"]:
        shared.ask("DELETE", f"/v1/holds/{hold['name']}")
    eventually(lambda: shared.ask("GET", "/v1/health").status == 200)
