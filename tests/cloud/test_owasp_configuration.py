"""API8:2023 Security Misconfiguration, API9:2023 Improper Inventory Management.

The first half asks a real server over a socket, because much of what is said here is said before any route.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator

import pytest
import structlog.testing
from api_world import served
from owasp_world import Fleet
from shallop_cloud.api import edge, patience, routes
from shallop_cloud.testing.ashore import TOKEN
from starlette.routing import Route as AnyRoute

WITHIN = 10.0
GIVEN = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "cross-origin-resource-policy": "same-origin",
}
TELLTALE = re.compile(
    rb"uvicorn|starlette|fastapi|h11|pydantic|sqlalchemy|python/|Traceback|File \"|\.py\b|site-packages", re.IGNORECASE
)
AUTHORIZED = f"Authorization: Bearer {TOKEN}\r\n".encode()


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    made = Fleet(tmp_path_factory.mktemp("fleet"))
    yield made
    made.close()


@pytest.fixture(scope="module")
def url(fleet: Fleet) -> Iterator[str]:
    with served(fleet.world) as url:
        yield url


def _exchange(url: str, request: bytes, until: bytes = b"") -> bytes:
    """What comes back on one connection, until it ends or ``until`` came."""
    host, _, port = url.removeprefix("http://").partition(":")
    came = b""
    with socket.create_connection((host, int(port)), WITHIN) as connection:
        connection.sendall(request)
        while (piece := connection.recv(65_536)) and not (until and until in came + piece):
            came += piece
        return came + piece


def _request(target: bytes, method: bytes = b"GET", more: bytes = b"", body: bytes = b"") -> bytes:
    length = b"Content-Length: %d\r\n" % len(body) if body else b""
    return b"%s %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n%s%s\r\n%s" % (method, target, more, length, body)


JSON = b"Content-Type: application/json\r\n"
REQUESTS: dict[str, tuple[bytes, int]] = {
    "success": (_request(b"/v1/health"), 200),
    "a list": (_request(b"/v1/devices", more=AUTHORIZED), 200),
    "made": (_request(b"/v1/devices", b"POST", AUTHORIZED + JSON, b'{"name": "new"}'), 201),
    "head": (_request(b"/v1/devices", b"HEAD", AUTHORIZED), 200),
    "options": (_request(b"/v1/devices", b"OPTIONS"), 204),
    "no token": (_request(b"/v1/devices"), 401),
    "a wrong token": (_request(b"/v1/devices", more=b"Authorization: Bearer no\r\n"), 401),
    "no device": (_request(b"/v1/device/contents/x"), 401),
    "not there": (_request(b"/v1/devices/none", more=AUTHORIZED), 404),
    "no route": (_request(b"/v2/.env"), 404),
    "another route": (_request(b"/docs"), 404),
    "no method": (_request(b"/v1/devices", b"DELETE", AUTHORIZED), 405),
    "not JSON": (_request(b"/v1/devices", b"POST", AUTHORIZED + JSON, b"{"), 400),
    "no kind": (_request(b"/v1/devices", b"POST", AUTHORIZED, b"{}"), 415),
    "too large": (_request(b"/v1/devices", b"POST", AUTHORIZED + JSON, b" " * (edge.MAX_BODY + 1)), 413),
    "too long": (_request(b"/v1/devices?x=" + b"x" * edge.MAX_TARGET), 414),
    "large headers": (_request(b"/v1/devices", more=b"X: " + b"x" * edge.MAX_HEADERS + b"\r\n"), 431),
    "not right": (_request(b"/v1/devices", b"POST", AUTHORIZED + JSON, b"{}"), 422),
    "a failure": (_request(b"/v1/summary", more=AUTHORIZED), 500),
    "no HTTP": (b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", 400),
    "a header that is none": (_request(b"/v1/health", more=b"a b: c\r\n"), 400),
    "two lengths": (_request(b"/v1/devices", b"POST", b"Content-Length: 1\r\nContent-Length: 2\r\n"), 400),
    "a websocket": (_request(b"/v1/health", more=b"Connection: Upgrade\r\nUpgrade: websocket\r\n"), 200),
}


@pytest.mark.parametrize("name", REQUESTS)
def test_every_answer_has_its_headers_and_tells_nothing(
    url: str, name: str, monkeypatch: pytest.MonkeyPatch, fleet: Fleet
) -> None:
    def fail(_: object) -> None:
        raise RuntimeError(f"{TOKEN} in /home/someone/server.py")

    if name == "a failure":
        monkeypatch.setattr("shallop_cloud.store.fleet.count", fail)
    request, status = REQUESTS[name]
    with structlog.testing.capture_logs():
        answer = _exchange(url, request)
    head, _, body = answer.partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    fields = {key.lower(): value.strip() for key, _, value in (line.partition(":") for line in lines[1:])}
    assert int(lines[0].split()[1]) == status, answer[:300]
    assert {key: fields.get(key) for key in GIVEN} == GIVEN
    assert "cache-control" in fields
    assert "server" not in fields
    assert "x-powered-by" not in fields
    assert not [key for key in fields if key.startswith("access-control-")]
    assert fields["x-request-id"]
    if status >= 400 and name != "head":
        assert fields["content-type"] == "application/problem+json"
        assert not TELLTALE.search(answer), answer
    assert TOKEN.encode() not in body


def test_events_have_their_headers(url: str) -> None:
    answer = _exchange(url, _request(b"/v1/events", more=AUTHORIZED), until=b"shallop")
    head = answer.partition(b"\r\n\r\n")[0].decode().lower()
    assert head.startswith("http/1.1 200")
    assert all(f"{key}: {value}" in head for key, value in GIVEN.items())
    assert "\r\nserver:" not in head


def test_no_other_origin_is_let_in(fleet: Fleet) -> None:
    for operation in fleet.operations():
        if operation.id == "follow_events":
            continue
        for method in (operation.method, "OPTIONS"):
            asked = {"origin": "https://evil.example", "access_control_request_method": "POST"}
            answer = fleet.ask(method, fleet.target(operation), **asked)
            assert not [key for key in answer.headers if key.startswith("access-control-")], operation.id


def test_who_says_nothing_or_goes_on_for_ever_is_let_go(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    """A head that trickles, none at all, and a body that nobody reads any more."""
    monkeypatch.setattr(patience, "HEAD_WITHIN_S", 0.3)
    unread = b"PUT /v1/contents/x HTTP/1.1\r\nHost: x\r\nContent-Length: 9999\r\n\r\n"
    with served(fleet.world) as url:
        host, _, port = url.removeprefix("http://").partition(":")
        for first, drop in ((b"", b""), (b"GET / HTTP/1.1\r\nHost: x\r\nX: ", b"x"), (unread, b"x")):
            with socket.create_connection((host, int(port)), WITHIN) as connection:
                connection.sendall(first)
                assert _ended(connection, drop), first


def _ended(connection: socket.socket, drop: bytes) -> bool:
    """Whether the other side hangs up although a drop comes all the time."""
    connection.settimeout(0.05)
    for _ in range(int(WITHIN / 0.05)):
        try:
            connection.sendall(drop)
            if connection.recv(65_536) == b"":
                return True
        except TimeoutError:
            continue
        except OSError:
            return True
    return False


def test_connections_are_bounded(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "most_connections", lambda: 2)
    with served(fleet.world) as url:
        host, _, port = url.removeprefix("http://").partition(":")
        opened = [socket.create_connection((host, int(port)), WITHIN) for _ in range(3)]
        try:
            refused = opened[2].recv(65_536)
            assert refused.startswith(b"HTTP/1.1 503 ")
            assert b"retry-after" in refused.lower()
            assert b"connections_busy" in refused
            opened[0].sendall(_request(b"/v1/health"))
            assert opened[0].recv(65_536).startswith(b"HTTP/1.1 200 ")
        finally:
            for each in opened:
                each.close()


def test_the_document_has_every_route_and_no_other(fleet: Fleet) -> None:
    served_here = {
        (method, each.path_format)
        for each in fleet.app.routes
        if isinstance(each, AnyRoute)
        for method in each.methods or ()
    }
    assert len(fleet.app.routes) == len(routes.all_routes()), "no mount, no static files, no page of documentation"
    assert served_here == {(each.method, each.path) for each in fleet.operations()}
    assert {path.split("/")[1] for _, path in served_here} == {"v1"}, "one version"


@pytest.mark.parametrize(
    "path",
    ["/", "/docs", "/redoc", "/openapi.json", "/metrics", "/debug", "/admin", "/v1", "/v1/", "/v0/devices",
     "/v2/devices", "/.git/config", "/.env", "/favicon.ico", "/static/x", "/v1/devices/../../etc/passwd"],
)  # fmt: skip
def test_nothing_else_is_served(fleet: Fleet, path: str) -> None:
    for who in ("nobody", "admin"):
        assert fleet.ask("GET", path, fleet.credentials[who]).code == "route_not_found"
