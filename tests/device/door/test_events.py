"""The stream of events."""

from __future__ import annotations

import contextlib
import itertools
import threading

import door_world
import pytest
from door_world import ACKED
from shallop_device.door import client, feed


@pytest.fixture
def ring() -> feed.Feed:
    return feed.Feed(kept=3)


def numbers(entries) -> list[int]:
    return [entry.number for entry in entries]


def test_a_reader_gets_what_came_after_its_place(ring):
    for word in (b"1", b"2", b"3"):
        ring.publish("event", word)
    assert numbers(ring.after(1, 0)) == [2, 3]
    assert ring.after(3, 0) == []


def test_who_falls_out_of_the_ring_is_told(ring):
    for _ in range(5):
        ring.publish("event", b"x")
    assert ring.after(1, 0) is None
    assert numbers(ring.after(2, 0)) == [3, 4, 5]
    places = [ring.place(ring.id_of(number)) for number in range(7)]
    assert places == [None, None, 2, 3, 4, 5, None]


def test_the_ring_is_bounded_in_bytes():
    ring = feed.Feed(kept=1000, kept_bytes=100)
    for _ in range(10):
        ring.publish("report", b"x" * 40)
    assert numbers(ring.after(8, 0)) == [9, 10]
    assert ring.after(7, 0) is None


@pytest.mark.parametrize("last", ["", "1", "other-1", "x-y", "{run}-", "{run}-99", "{run}--1", "{run}-" + "9" * 50])
def test_an_id_that_is_not_known(ring, last):
    ring.publish("event", b"x")
    assert ring.place(last.replace("{run}", ring.id_of(1).partition("-")[0])) is None


def test_a_reader_is_woken(ring):
    found: list[object] = []
    reader = threading.Thread(target=lambda: found.append(ring.after(0, 10)))
    reader.start()
    ring.publish("event", b"x")
    reader.join(10)
    assert numbers(found[0]) == [1]


@contextlib.contextmanager
def follow(local, last=None):
    """The events; what never comes ends with the door, and not never."""
    bound = threading.Timer(10, local.door.close)
    bound.start()
    with contextlib.closing(client.Client(local.path).events(last)) as events:
        yield itertools.chain([next(events)], events)  # it is there before anything else happens
    bound.cancel()


def until(events, kind):
    return next(event for event in events if event.kind == kind)


def test_a_snapshot_and_then_what_happens(local):
    with follow(local) as events:
        first = next(events)
        assert (first.kind, first.data["current"], first.data["holds"]) == ("snapshot", None, [])

        manifest = local.order({"f": "1"})
        assert until(events, "deployment").data["current"]["id"] == manifest.id

        local.ask("PUT", "/v1/holds/dock", {"expires_in_s": 10})
        assert [hold["name"] for hold in until(events, "hold").data["holds"]] == ["dock"]
        local.sleep(10)
        assert until(events, "hold").data == {"holds": []}


def test_a_trial_from_its_begin_to_its_end():
    with door_world.local(ACKED) as local, follow(local) as events:
        manifest = local.order({"f": "1"})
        seen = until(events, "deployment").data["current"]
        assert (seen["id"], seen["activity"]) == (manifest.id, "queued")
        assert until(events, "trial").data["trial"]["deployment"] == manifest.id

        local.ask("POST", "/v1/acks", {"name": "nav2", "deployment": manifest.id})

        assert until(events, "deployment").data["current"]["activity"] == "deployed"
        assert until(events, "trial").data == {"trial": None}


def test_reports_and_events_are_told_as_the_cloud_hears_them(local):
    with follow(local) as events:
        manifest = local.order({"f": "1"})
        reports = (event.data for event in events if event.kind == "report")
        assert any(report["current"] == manifest.id for report in reports)
        (local.robot.root / "current" / "f").write_text("changed")
        local.sleep(901)
        assert until(events, "event").data["code"] == "files_changed"


def test_a_reader_that_comes_back_misses_nothing_and_gets_nothing_twice(local):
    with follow(local) as events:
        local.order({"f": "1"})
        seen = [next(events)]
        while seen[-1].kind != "deployment":
            seen.append(next(events))
    local.order({"f": "2"})
    with follow(local, seen[-1].id) as events:
        later = list(itertools.takewhile(lambda event: event.kind != "deployment", events))
    ids = [int(event.id.partition("-")[2]) for event in [*seen, *later]]
    assert ids == list(range(ids[0], ids[0] + len(ids)))


def test_an_id_of_another_run_gets_a_snapshot(local):
    manifest = local.order({"f": "1"})
    with follow(local, "00000000-1") as events:
        first = next(events)
    assert (first.kind, first.data["current"]["id"]) == ("snapshot", manifest.id)


def test_silence_is_filled():
    with door_world.local(heartbeat=0.02) as local:
        connection = client.Connection(local.path, 10)
        connection.request("GET", "/v1/events")
        with connection.getresponse() as answer:
            assert answer.headers["Content-Type"] == "text/event-stream"
            assert any(line == b": still here\n" for line in answer)
        connection.close()


def test_the_stream_ends_with_the_agent(local):
    with follow(local) as events:
        next(events)
        threading.Thread(target=local.door.close).start()
        list(events)
