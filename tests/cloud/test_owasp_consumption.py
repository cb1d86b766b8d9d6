"""API4:2023 Unrestricted Resource Consumption: bodies, pages, cursors, streams and schemas have their bounds.

What one schema or document can do is asked in configs/test_bombs.py; here a request has as many of them as fit.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import gzip
import json
import time
import tracemalloc
from collections.abc import Iterator
from typing import Any

import pytest
from api_world import served
from owasp_world import MINE, SECRET, Fleet, digest
from shallop_cloud import configs, errors
from shallop_cloud.api import bodies, edge, feed
from shallop_cloud.configs import linking
from shallop_cloud.services import validation
from shallop_cloud.store.pages import Page
from shallop_cloud.testing.ashore import TOKEN
from starlette.types import Message

WITHIN = 10.0
LISTS = ("/v1/devices", "/v1/deployments", "/v1/releases", "/v1/tokens", "/v1/history", "/v1/devices/mine/history")


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    made = Fleet(tmp_path_factory.mktemp("fleet"))
    yield made
    made.close()


@pytest.mark.parametrize("path", LISTS)
@pytest.mark.parametrize("limit", ["0", "-1", "501", "9" * 400, "1e3", "0x10", "\u0661", "", "1&limit=2"])
def test_a_page_has_bounds(fleet: Fleet, path: str, limit: str) -> None:
    answer = fleet.as_admin("GET", f"{path}?limit={limit.encode().hex() if not limit.isascii() else limit}")
    assert (answer.status, answer.code) == (422, "request_invalid")


def test_no_list_has_another_way_to_be_long(fleet: Fleet) -> None:
    """Whatever answers with a page takes a ``limit`` of at most 500 and a cursor of at most 1 KiB."""
    pages = [
        each
        for each in fleet.operations()
        if "Page_" in json.dumps(each.document["responses"]["200" if "200" in each.document["responses"] else "201"])
    ]
    assert len(pages) >= len(LISTS)
    for operation in pages:
        taken = {each["name"]: each["schema"] for each in operation.document["parameters"]}
        assert (taken["limit"]["maximum"], taken["limit"]["minimum"]) == (500, 1), operation.id
        assert taken["cursor"]["maxLength"] == 1024, operation.id


def _coded(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


FORGED = [
    "", "x", "%00", "A" * 900, "A" * 1025, "\u00e9", _coded("[]"), _coded("null"), _coded("[1,2]"), _coded('{"a": 1}'),
    _coded("[" * 740), _coded('["x\'); DROP TABLE devices; --"]'), _coded("[99999999999999999999999]"),
    _coded("[1e9999]"), _coded("[-9223372036854775809]"), _coded("[true]"), _coded('["2026-13-99T00:00:00", "x"]'),
    _coded('["9999-12-31T23:59:59.999999-23:59", "x"]'), _coded('["0001-01-01T00:00:00+23:59", "x"]'),
    _coded('["2026-01-01T00:00:00", "x"]'), _coded('["\\ud800"]'), _coded('["\\u0000"]'),
]  # fmt: skip


def test_a_forged_cursor_is_refused_or_a_place_in_the_list(fleet: Fleet) -> None:
    """Alone, and behind the mark that a cursor of the list begins with; never a failure, and never another list."""
    for path in ("/v1/devices", "/v1/deployments", "/v1/history"):
        mark = (fleet.as_admin("GET", f"{path}?limit=1").json["next_cursor"] or "")[:12]
        for forged in FORGED:
            alone = fleet.as_admin("GET", f"{path}?cursor={forged.encode().decode('latin-1')}")
            assert alone.status in (400, 422), (path, forged, alone.body)
            behind = fleet.as_admin("GET", f"{path}?cursor={mark}{forged.encode().decode('latin-1')}")
            assert behind.status in (200, 400, 422), (path, forged, behind.body)


def test_a_compressed_body_is_not_unpacked(fleet: Fleet) -> None:
    bomb = gzip.compress(b" " * 50_000_000)
    assert len(bomb) < edge.MAX_BODY
    tracemalloc.start()
    try:
        for encoding in ("gzip", "deflate", "br", "zstd", "gzip, gzip", "identity"):
            answer = fleet.ask(
                "POST",
                "/v1/devices",
                f"Bearer {TOKEN}",
                bomb,
                content_encoding=encoding,
                content_type="application/json",
            )
            assert (answer.status, answer.code) == (400, "json_invalid"), encoding
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()


BOMBS: dict[str, bytes] = {
    "depth": b'{"name": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "many keys": b"{" + b",".join(b'"k%d": 1' % n for n in range(50_000)) + b"}",
    "one long key": b'{"' + b"k" * 4_000_000 + b'": 1}',
    "one long number": b'{"name": ' + b"9" * 4_000_000 + b"}",
    "many labels": b'{"name": "x", "labels": {' + b",".join(b'"k%d": "v"' % n for n in range(150_000)) + b"}}",
    "a long label": b'{"name": "x", "labels": {"k": "' + b"v" * 4_000_000 + b'"}}',
    "escapes": b'{"name": "' + b"\\u0041" * 600_000 + b'"}',
    "the same key": b"{" + b'"name": "x",' * 300_000 + b'"name": "y z"}',
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_body_that_means_harm_is_refused_soon_and_shortly(fleet: Fleet, name: str) -> None:
    started = time.process_time()
    answer = fleet.ask("POST", "/v1/devices", f"Bearer {TOKEN}", BOMBS[name])
    assert answer.status in (400, 422)
    assert len(answer.body) < 20_000
    assert time.process_time() - started < 5


def test_every_body_has_a_bound_before_anybody_is_asked_for_a_token(fleet: Fleet) -> None:
    """Uploads alone may be larger: they are read as they come, after the token was looked at."""
    asked = 0
    for operation in fleet.operations():
        answer = fleet.ask(operation.method, fleet.target(operation), None, b" " * (edge.MAX_BODY + 1))
        expected = (401, "token_missing") if operation.id == "upload_content" else (413, "body_too_large")
        assert (answer.status, answer.code) == expected, operation.id
        asked += 1
    assert asked > 50


def test_nesting_without_end_is_a_bad_body_wherever_it_is_sent(fleet: Fleet) -> None:
    for operation in fleet.operations():
        if operation.method in ("POST", "PATCH", "PUT"):
            who = fleet.credentials["broker" if fleet.role(operation) == "broker" else "admin"]
            answer = fleet.ask(operation.method, fleet.target(operation), who, b"[" * 100_000)
            assert answer.status in (400, 422), (operation.id, answer.body)


def test_a_batch_has_bounds(fleet: Fleet) -> None:
    for path, field in (("/v1/devices:batch", "devices"), ("/v1/enrolments:batch", "enrolments")):
        one = {"name": "x"} if field == "devices" else {"token": "x", "secret": SECRET}
        answer = fleet.as_admin("POST", path, {field: [one] * 10_001})
        assert (answer.status, answer.code) == (422, "request_invalid")


def _release(schemas: list[Any]) -> dict[str, Any]:
    types = [
        {
            "name": f"type-{number}",
            "format": "json",
            "path": f"{number}.json",
            "schema": {"entry": "s.json", "documents": {"s.json": json.dumps(schema)}},
        }
        for number, schema in enumerate(schemas)
    ]
    return {"version": "bomb", "config_types": types}


def test_the_schemas_of_a_release_share_an_allowance(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(configs, "Allowance", lambda: linking.Allowance(configs.Budget(1_500)))
    schemas = [{"title": str(number), "properties": {"a": {"type": "string"}}} for number in range(9)]
    answer = fleet.as_admin("POST", "/v1/releases", _release(schemas))
    assert (answer.status, answer.code) == (422, "release_invalid")
    assert "all of them together" in answer.json["errors"][-1]["message"]
    assert len(answer.json["errors"]) <= 2, "the rest is not looked at"


def test_the_files_of_a_deployment_share_an_allowance(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    schema = {"type": "object", "additionalProperties": {"type": "number"}}
    assert fleet.as_admin("POST", "/v1/releases", {**_release([schema] * 9), "version": "9.0.0"}).status == 201
    monkeypatch.setattr(validation, "WORK", 1_000)
    given = [{"config_type": f"type-{n}", "content": json.dumps({f"k{n}": 1, "x": 2})} for n in range(9)]
    answer = fleet.as_admin("POST", "/v1/deployments", {"device": "mine", "release": "9.0.0", "configs": given})
    assert answer.status == 201, answer.body
    monkeypatch.setattr(validation, "WORK", 60)
    given = [{"config_type": f"type-{n}", "content": json.dumps({f"m{n}": 1, "x": 2})} for n in range(9)]
    answer = fleet.as_admin("POST", "/v1/deployments", {"device": "mine", "release": "9.0.0", "configs": given})
    assert (answer.status, answer.code) == (422, "config_invalid")
    assert "takes too long" in answer.json["errors"][-1]["message"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "schema",
    [
        {"pattern": "^(a+)+$"},
        {"allOf": [{} for _ in range(4_000)]},
        {"$ref": "#/$defs/n0", "$defs": {f"n{n}": {"allOf": [{"$ref": f"#/$defs/n{n + 1}"}] * 2} for n in range(30)}},
        {"patternProperties": {f"^x{n}[a-z]*$": True for n in range(500)}},
    ],
    ids=["run-away patterns", "wide", "doubling", "patterns"],
)
def test_a_release_full_of_bombs(fleet: Fleet, schema: Any) -> None:
    """As many as a request has room for, together within a few seconds of processor time."""
    size = len(json.dumps(schema)) + 120
    schemas = [{**schema, "title": str(number)} for number in range(min(256, edge.MAX_BODY // 2 // size))]
    started = time.process_time()
    answer = fleet.as_admin("POST", "/v1/releases", _release(schemas))
    assert answer.status in (201, 413, 422), answer.body[:300]
    assert len(answer.body) < 200_000
    assert time.process_time() - started < 10


# What comes slowly


def _trickle(pause: float) -> Any:
    async def receive() -> Message:
        await asyncio.sleep(pause)
        return {"type": "http.request", "body": b"x", "more_body": True}

    return receive


def test_a_body_that_trickles_ends(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "GRACE_S", 0.2)
    for method, path in (("POST", "/v1/devices"), ("PUT", f"/v1/contents/{digest(MINE)}"), ("POST", "/v1/enrolments")):
        status, headers, body = asyncio.run(asyncio.wait_for(_sent(fleet, method, path), WITHIN))
        assert (status, body["code"]) == (408, "request_slow")
        assert headers["connection"] == "close"


async def _sent(fleet: Fleet, method: str, path: str) -> tuple[int, dict[str, str], Any]:
    scope = {
        "type": "http", "method": method, "path": path, "raw_path": path.encode(), "query_string": b"",
        "headers": [(b"authorization", b"Bearer " + TOKEN.encode()), (b"content-type", b"application/json")],
        "client": ("192.0.2.1", 1), "server": ("127.0.0.1", 80), "scheme": "http", "http_version": "1.1",
        "root_path": "", "asgi": {"version": "3.0"},
    }  # fmt: skip
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    await fleet.app(scope, _trickle(0.01), send)
    headers = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return sent[0]["status"], headers, json.loads(sent[1]["body"])


def test_what_comes_at_a_fair_rate_may_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """The time allowed grows with what came."""
    now = [0.0]
    monkeypatch.setattr(bodies.time, "monotonic", lambda: now[0])

    async def receive() -> Message:
        now[0] += 1.0
        return {"type": "http.request", "body": b"x" * bodies.RATE, "more_body": True}

    async def read() -> int:
        paced = bodies.paced(receive)
        return sum([len((await paced())["body"]) for _ in range(1_000)])

    assert asyncio.run(read()) == 1_000 * bodies.RATE


def test_what_is_kept_of_bodies_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "MOST_OF_ONE", 100)
    monkeypatch.setattr(bodies, "MOST_OF_ALL", 250)
    load = bodies.Load()
    with contextlib.ExitStack() as stack:
        shares = [stack.enter_context(load.share({"client": (address, 1)})) for address in "aabc"]
        shares[0].add(60)
        with pytest.raises(errors.Problem, match="on their way"):
            shares[1].add(60)
        shares[2].add(100)
        shares[3].add(90)
        with pytest.raises(errors.Problem, match="on their way") as refused:
            shares[1].add(1)
        assert (refused.value.status, refused.value.code) == (503, "bodies_busy")
    assert load._of.total() == 0


def test_a_share_is_given_back_whatever_becomes_of_the_request(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "MOST_OF_ONE", 1_000)
    for _ in range(5):
        assert fleet.ask("POST", "/v1/devices", f"Bearer {TOKEN}", b"[" * 900).status == 400
    assert fleet.ask("POST", "/v1/devices", f"Bearer {TOKEN}", b"[" * 1_001).code == "bodies_busy"
    assert fleet.ask("POST", "/v1/devices", f"Bearer {TOKEN}", b"[" * 900).status == 400


# Streams


def test_one_token_does_not_take_all_places_at_the_events(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "MOST_OF_ONE", 2)

    async def follow() -> None:
        events = feed.Feed(fleet.world.ashore.shore.database)
        async with contextlib.AsyncExitStack() as stack:
            for token in ("TOK-1", "TOK-1", "TOK-2"):
                await stack.enter_async_context(events.listening(token, None))
            with pytest.raises(errors.Problem, match="end one of them first") as refused:
                await stack.enter_async_context(events.listening("TOK-1", None))
            assert (refused.value.status, refused.value.code) == (503, "events_busy")
            await stack.enter_async_context(events.listening("TOK-2", None))

    asyncio.run(follow())


def test_a_page_is_no_larger_than_its_rows() -> None:
    """``Page`` has what was asked for and a cursor: nothing in it counts the whole list."""
    assert set(Page.__slots__) == {"rows", "next_cursor"}


def test_a_server_that_is_trickled_at_serves_others(fleet: Fleet) -> None:
    import socket

    import httpx

    head = b"POST /v1/devices HTTP/1.1\r\nHost: x\r\nContent-Length: 999999\r\nContent-Type: application/json\r\n\r\n"
    with served(fleet.world) as url, contextlib.ExitStack() as stack:
        host, _, port = url.removeprefix("http://").partition(":")
        for _ in range(60):  # more than there are threads for routes
            slow = stack.enter_context(socket.create_connection((host, int(port)), WITHIN))
            slow.sendall(head + b"x")
        answer = httpx.get(f"{url}/v1/whoami", headers={"Authorization": f"Bearer {TOKEN}"}, timeout=WITHIN)
        assert answer.status_code == 200
