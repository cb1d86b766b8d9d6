"""API6:2023 Unrestricted Access to Sensitive Business Flows, API7:2023 Server Side Request Forgery, API10:2023 Unsafe
Consumption of APIs.

Nothing that anybody sends makes the server connect anywhere: a listener on this machine hears nothing, and a guard
fails on the first attempt to connect or to look up a name. And what devices say is kept as data.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from owasp_world import Fleet, secret
from shallop_cloud.configs import ConfigSchema, Format, Refused
from shallop_cloud.services.guesses import Guesses
from shallop_protocol.topics import Kind


class Guard:
    """Notes who would connect where, and lets nobody."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.attempts: list[str] = []
        for name in ("connect", "connect_ex", "sendto"):
            monkeypatch.setattr(socket.socket, name, self._refusing(name))
        for name in ("getaddrinfo", "gethostbyname", "gethostbyname_ex", "create_connection"):
            monkeypatch.setattr(socket, name, self._refusing(name))
        opened = __import__("builtins").open
        monkeypatch.setattr("builtins.open", self._reading(opened))

    def _refusing(self, name: str) -> Any:
        def refuse(*given: Any, **_: Any) -> Any:
            self.attempts.append(f"{name}{given[-2:]}")
            raise OSError("nobody connects here")

        return refuse

    def _reading(self, opened: Any) -> Any:
        def noted(file: Any, *rest: Any, **more: Any) -> Any:
            if "canary" in str(file) or str(file).startswith("/etc/passwd"):
                self.attempts.append(f"open {file}")
            return opened(file, *rest, **more)

        return noted


@pytest.fixture
def guard(monkeypatch: pytest.MonkeyPatch) -> Guard:
    return Guard(monkeypatch)


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    made = Fleet(tmp_path_factory.mktemp("fleet"))
    yield made
    made.close()


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(0.1)
        yield listening


PLACES = [
    "http://{at}/s.json", "https://{at}/s.json", "HTTP://{at}/s.json", "//{at}/s.json", "///{at}/s.json",
    "ftp://{at}/s.json", "gopher://{at}/_x", "ldap://{at}/x", "dict://{at}/x", "jar:http://{at}/x!/s.json",
    "file:///etc/passwd", "file://localhost/etc/passwd", "file:/etc/passwd", "/etc/passwd", "../../../../etc/passwd",
    "..\\\\..\\\\etc\\\\passwd", "http:{at}", "http:\\\\{at}\\s.json", "http://{at}@evil.example/",
    "data:application/json,{{}}",
    "http://[::1]/s.json", "http://169.254.169.254/latest/meta-data", "\t//{at}/s.json", " http://{at}/",
    "http://{at}#/x", "unix:/run/x.sock", "urn:uuid:0", "s.json%00http://{at}", "%2f%2f{at}", "http://2130706433/s.json",
]  # fmt: skip


def _schemas(place: str) -> Iterator[dict[str, Any]]:
    """Every keyword that says where something else is, and the places where such words may stand."""
    for keyword in ("$ref", "$dynamicRef", "$recursiveRef", "$id", "id", "$schema"):
        yield {keyword: place}
    yield {"$id": place, "$ref": "other.json"}
    yield {"properties": {"a": {"items": [{"$ref": place}]}}}
    yield {"$defs": {"a": {"$id": place, "$anchor": "x"}}, "$ref": f"{place}#x"}
    yield {"$schema": "http://json-schema.org/draft-07/schema#", "$ref": place}
    yield {"$vocabulary": {place: True}, "$comment": place}
    yield {"contentSchema": {"$ref": place}, "contentMediaType": "application/json"}
    yield {"format": "uri", "default": place, "examples": [place]}


def test_no_reference_of_a_schema_is_followed_outwards(guard: Guard, listener: socket.socket) -> None:
    at = f"127.0.0.1:{listener.getsockname()[1]}"
    asked = refused = 0
    for place in PLACES:
        for schema in _schemas(place.format(at=at)):
            wire = {"entry": "s.json", "documents": {"s.json": json.dumps(schema)}}
            try:
                made = ConfigSchema.from_json(wire)
            except Refused:
                refused += 1
            else:
                made.check(b'{"a": "x"}', Format.JSON)
            asked += 1
    assert guard.attempts == []
    assert refused > asked / 2
    with pytest.raises(TimeoutError):
        listener.accept()


def test_the_guard_would_tell(guard: Guard) -> None:
    with socket.socket() as unconnected, pytest.raises(OSError, match="nobody connects here"):
        unconnected.connect(("127.0.0.1", 9))
    for attempt in (
        lambda: socket.getaddrinfo("evil.example", 80),
        lambda: __import__("urllib.request").request.urlopen("http://127.0.0.1:9/"),
    ):
        with pytest.raises(OSError, match="nobody connects here"):
            attempt()
    assert len(guard.attempts) == 3


def test_every_route_with_every_place_in_every_text(fleet: Fleet, guard: Guard, listener: socket.socket) -> None:
    """Bodies of all routes, filled with places; and the headers by which a server might be told of a place."""
    at = f"127.0.0.1:{listener.getsockname()[1]}"
    headers = ("host", "referer", "origin", "x_forwarded_host", "x_original_url", "x_rewrite_url", "forwarded", "via",
               "x_http_destinationurl", "profile", "link", "content_location")  # fmt: skip
    for place in (f"http://{at}/x", "file:///etc/passwd"):
        named = dict.fromkeys(headers, place)
        for operation in fleet.operations():
            if operation.id in ("follow_events", "openapi"):
                continue
            fleet.app.state.guesses = Guesses()
            body = _filled(fleet, operation.body, place) if operation.body is not None else None
            answer = fleet.ask(operation.method, fleet.target(operation), fleet.credentials["admin"], body, **named)
            assert answer.status < 500, (operation.id, place, answer.body)
            assert "location" not in answer.headers, operation.id
    schema = {"entry": "s.json", "documents": {"s.json": json.dumps({"$ref": f"http://{at}/x"})}}
    config_type = {"name": "a", "format": "json", "path": "a.json", "schema": schema}
    answer = fleet.as_admin("POST", "/v1/releases", {"version": "3.0.0", "config_types": [config_type]})
    assert (answer.status, answer.code) == (422, "release_invalid")
    assert guard.attempts == []
    with pytest.raises(TimeoutError):
        listener.accept()


def _filled(fleet: Fleet, schema: dict[str, Any], text: str) -> Any:
    """Something of this schema's form with ``text`` for every text."""
    while "$ref" in schema:
        schema = fleet.document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    choices = schema.get("anyOf", schema.get("oneOf"))
    if choices:
        return _filled(fleet, max(choices, key=lambda each: "$ref" in each), text)
    match schema.get("type"):
        case "object":
            return {name: _filled(fleet, each, text) for name, each in schema.get("properties", {text: {}}).items()}
        case "array":
            return [_filled(fleet, schema["items"], text)]
        case "integer" | "number":
            return 1
        case "boolean":
            return False
        case _:
            return text


def test_flows_that_are_worth_something_are_for_admins_and_leave_a_trace(fleet: Fleet) -> None:
    """API6: a place in the fleet, and a token, come only from who may give them; each one is in the history."""
    for path, body in (("/v1/devices", {"name": "bot"}), ("/v1/tokens", {"name": "bot", "role": "admin"})):
        for who in ("viewer", "operator", "device"):
            fleet.app.state.guesses = Guesses()
            assert fleet.ask("POST", path, fleet.credentials[who], body).status in (401, 403)
        made = fleet.as_admin("POST", path, body).json
        newest = fleet.as_admin("GET", "/v1/history?limit=1").json["data"][0]
        assert (newest["action"], newest["actor"]) == (f"{path[4:-1]}_created", "admin")
        assert made["token"] not in json.dumps(newest)


def test_one_token_gives_one_place(fleet: Fleet) -> None:
    made = fleet.as_admin("POST", "/v1/devices", {"name": "once"}).json
    statuses = [
        fleet.ask("POST", "/v1/enrolments", body={"token": made["token"], "secret": secret(str(n))}).status
        for n in range(5)
    ]
    assert statuses == [201, 401, 401, 401, 401]


EVIL = "\x1b[31m<script>alert(1)</script>\r\nSet-Cookie: a=b\u202e'; DROP TABLE devices; --{{7*7}}${jndi:x}%n"


def test_what_a_device_says_is_data(fleet: Fleet) -> None:
    """In JSON it is text like any other; headers, statuses and names of events are never made of it."""
    robot = fleet.mine
    robot.obey()
    report = json.loads(robot.report().to_bytes())
    report["agent"]["version"] = EVIL[:60]
    report["refused"] = {"code": "evil", "message": EVIL, "generation": 1}
    fleet.world.hear(robot.id, Kind.REPORT, json.dumps(report).encode())
    for path in ("/v1/devices/mine", "/v1/devices", "/v1/devices/mine/why", "/v1/history", "/v1/devices/mine/history"):
        answer = fleet.as_admin("GET", path)
        assert answer.status == 200
        assert answer.headers["content-type"] == "application/json"
        assert not [value for value in answer.headers.values() if "<script>" in value or "\n" in value]
        assert not set(answer.body) & {*range(0x20), 0x7F}, "controls have their escapes"
        json.loads(answer.body)
    shown = fleet.as_admin("GET", "/v1/devices/mine").json["last_known"]
    assert (shown["agent_version"], shown["refused"]["message"]) == (EVIL[:60], EVIL)
