"""``GET /v1/events``: what was missed, then what happens."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import json
import queue
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from api_world import served
from cloud_world import World
from shallop_cloud.api import feed
from shallop_cloud.store import tokens
from shallop_cloud.store.tokens import New, Role
from shallop_cloud.testing.ashore import TOKEN

WITHIN = 5.0
"""Seconds that a test waits for what must come. It comes much sooner."""


@pytest.fixture
def url(world: World) -> Iterator[str]:
    with served(world) as url:
        yield url


class Stream:
    """Someone who follows the events in a thread of their own."""

    def __init__(self, url: str, path: str = "/v1/events", token: str = TOKEN, **headers: str) -> None:
        self._events: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self._open = threading.Event()
        given = {"Authorization": f"Bearer {token}", **headers}
        self._thread = threading.Thread(target=self._follow, args=(url + path, given))

    def __enter__(self) -> Stream:
        self._thread.start()
        assert self._open.wait(WITHIN)
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):  # it may have ended
            self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join()

    def _follow(self, url: str, headers: dict[str, str]) -> None:
        with contextlib.suppress(httpx.TransportError), httpx.stream("GET", url, headers=headers, timeout=30) as answer:
            self._socket: socket.socket = answer.extensions["network_stream"].get_extra_info("socket")
            fields: dict[str, str] = {}
            for line in answer.iter_lines():
                self._open.set()  # the first line says that it has begun
                name, _, value = line.partition(": ")
                if line:
                    fields[name] = value
                elif "data" in fields:
                    self._events.put({**fields, "data": json.loads(fields["data"])})
                if not line:
                    fields = {}
        self._events.put(None)

    def next(self) -> dict[str, Any] | None:
        """The next event; None if it ended."""
        return self._events.get(timeout=WITHIN)

    def actions(self, count: int) -> list[str]:
        return [event["event"] for event in (self.next() for _ in range(count)) if event]

    def is_quiet(self) -> bool:
        return self._events.empty()


def _newest(world: World) -> dict[str, Any]:
    return world.must("GET", "/v1/history", limit=1)["data"][0]


def test_an_event_is_the_history_entry_of_what_just_happened(world: World, url: str) -> None:
    with Stream(url) as stream:
        began = time.monotonic()
        world.device()
        event = stream.next()
        assert time.monotonic() - began < 2
        assert event is not None
        entry = _newest(world)
        assert event == {"id": str(entry["id"]), "event": "device_created", "data": entry}


def test_what_was_missed_comes_first_and_nothing_twice(world: World, url: str) -> None:
    world.device("a")
    after = _newest(world)["id"]
    world.device("b")
    world.device("c")
    for path, headers in ((f"/v1/events?after={after}", {}), ("/v1/events?after=0", {"Last-Event-ID": str(after)})):
        with Stream(url, path, **headers) as stream:
            world.device(f"d{len(headers)}")
            names = [stream.next()["data"]["after"]["name"] for _ in range(3 + len(headers))]
            assert names[:3] == ["b", "c", "d0"]
            assert stream.is_quiet()


def test_who_has_seen_more_than_there_is_waits_for_what_comes_after_that(world: World, url: str) -> None:
    """As after a database was restored from a copy."""
    world.device("a")
    with Stream(url, f"/v1/events?after={_newest(world)['id'] + 1}") as stream:
        world.device("b")
        world.device("c")
        assert stream.next()["data"]["after"]["name"] == "c"


def test_a_long_past_is_told_whole(world: World, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "CHUNK", 3)
    for number in range(10):
        world.device(f"amr-{number}")
    with Stream(url, "/v1/events?after=0") as stream:
        assert [stream.next()["data"]["after"]["name"] for _ in range(10)] == [f"amr-{n}" for n in range(10)]


def test_filters(world: World, url: str) -> None:
    world.device("a")
    with Stream(url, "/v1/events?device=a&after=0") as a, Stream(url, "/v1/events?device=a") as live:
        world.device("b")
        world.must("POST", "/v1/devices/a:renew-token")
        assert a.actions(2) == ["device_created", "token_renewed"]
        assert live.actions(1) == ["token_renewed"]
        assert a.is_quiet()


def test_it_ends_when_the_token_is_revoked(world: World, url: str) -> None:
    made = world.must("POST", "/v1/tokens", {"name": "eve", "role": "viewer"})
    with Stream(url, token=made["token"]) as stream, Stream(url) as other:
        world.must("POST", "/v1/tokens/eve:revoke")
        assert stream.next() is None
        assert other.actions(1) == ["token_revoked"]


def test_it_ends_when_the_token_expires(world: World, url: str) -> None:
    shore = world.ashore.shore
    soon = shore.now() + datetime.timedelta(seconds=1)
    with shore.database.write() as connection:
        new = New("TOK-0000000000000001", "brief", "brief", Role.VIEWER, shore.now(), "test", soon)
        tokens.insert(connection, new)
    with Stream(url, token="brief") as stream:
        assert stream.next() is None
    assert shore.now() >= soon


def test_it_ends_when_the_server_stops(world: World) -> None:
    """``served`` fails if the server hangs."""
    with served(world) as url:
        stream = Stream(url).__enter__()
    assert stream.next() is None
    stream.__exit__()


def test_only_so_many_listen(world: World, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "MOST_LISTENERS", 1)
    headers = {"Authorization": f"Bearer {TOKEN}"}
    with Stream(url):
        answer = httpx.get(f"{url}/v1/events", headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (503, "events_busy")
        assert int(answer.headers["retry-after"]) > 0
    _until(lambda: not world.ashore.app.state.feed._listeners)
    with Stream(url):
        pass


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("?after=-1", 422),
        ("?after=x", 422),
        ("?device=nobody", 404),
        ("?devise=a", 422),
        ("?after=9223372036854775808", 422),
    ],
)
def test_what_cannot_be_followed(url: str, path: str, status: int) -> None:
    answer = httpx.get(f"{url}/v1/events{path}", headers={"Authorization": f"Bearer {TOKEN}"})
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")


def test_who_does_not_keep_up_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "BUFFER", 3)

    async def fall_behind() -> list[int]:
        listener = feed.Listener("TOK-1", None, 0)
        for number in range(1, 10):
            listener.tell(feed.Event(number, "staged", None, None, None, "{}"))
        seen: list[int] = []
        while (event := await listener.next()) is not None:
            seen.append(event.id)
        return seen

    assert asyncio.run(fall_behind()) == [1, 2, 3]


def test_a_head_request_ends(url: str) -> None:
    answer = httpx.head(f"{url}/v1/events", headers={"Authorization": f"Bearer {TOKEN}"}, timeout=WITHIN)
    assert (answer.status_code, answer.content) == (200, b"")


def _until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + WITHIN
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.01)
