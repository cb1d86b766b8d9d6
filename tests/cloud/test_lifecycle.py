"""The lifecycle through the API and the ingest, with a device that answers."""

from __future__ import annotations

import threading
from collections import Counter

import pytest
import sqlalchemy as sa
import sqlalchemy.exc
from cloud_world import Robot, World
from shallop_cloud.store import tables
from shallop_protocol import cloud, messages, statuses
from shallop_protocol.topics import Kind


def test_make_before_break(world: World) -> None:
    world.release()
    robot = world.device()
    first = world.order("max: 1\n")
    assert world.statuses(first) == ("deployed", "queued", "none", "queued")
    robot.settle()
    assert world.statuses(first) == ("deployed", "deployed", "none", "deployed")

    second = world.order("max: 2\n")
    assert world.statuses(first) == ("deployed", "deployed", "none", "deployed")
    robot.obey()
    robot.tell()
    assert world.statuses(second) == ("deployed", "deployed", "none", "deployed")
    assert world.statuses(first) == ("archived", "deployed", "none", "deployed")
    robot.settle()
    assert world.statuses(first) == ("archived", "archived", "none", "archived")
    assert robot.disk.trees == {second}
    assert world.must("GET", "/v1/devices/amr-1")["in_sync"]


def test_a_newcomer_that_fails_leaves_the_old_one_in_force(world: World) -> None:
    world.release()
    robot = world.device()
    good = world.order("max: 1\n")
    robot.settle()
    bad = world.order("max: 2\n")
    robot.bad.add(bad)
    robot.settle()
    assert world.statuses(bad) == ("archived", "archived", "failed", "failed")
    assert world.statuses(good) == ("deployed", "deployed", "none", "deployed")
    assert (robot.disk.current, robot.disk.trees) == (good, {good})
    reason = world.must("GET", f"/v1/deployments/{bad}")["reason"]
    assert reason == {"code": "check_rejected", "message": "the robot will not have it"}
    shown = world.must("GET", "/v1/devices/amr-1")
    assert (shown["current"], shown["fallback"], shown["in_sync"]) == (good, None, True)


def test_a_predecessor_that_was_never_published_ends_at_once(world: World) -> None:
    world.release()
    world.device()
    first = world.order("max: 1\n")
    second = world.order("max: 2\n")
    assert world.statuses(first) == ("archived", "archived", "none", "archived")
    assert world.statuses(second) == ("deployed", "queued", "none", "queued")


def test_a_predecessor_that_may_be_out_ends_when_the_device_answers(world: World) -> None:
    world.release()
    robot = world.device()
    first = world.order("max: 1\n")
    assert world.published(robot.id) is not None
    second = world.order("max: 2\n")
    assert world.statuses(first) == ("archived", "queued", "none", "queued")
    robot.settle()
    assert world.statuses(first) == ("archived", "archived", "none", "archived")
    assert world.statuses(second) == ("deployed", "deployed", "none", "deployed")


def test_staged_drifted_restaged_deployed(world: World) -> None:
    world.release()
    robot = world.device()
    staged = world.order("max: 1\n", staged=True)
    assert world.statuses(staged) == ("staged", "staged", "none", "staged")
    assert robot.memory.order is None
    other = world.order("max: 2\n", expected_current=None)
    assert world.statuses(staged) == ("staged", "drifted", "none", "drifted")
    answer = world.api("POST", f"/v1/deployments/{staged}:deploy", {})
    assert (answer.status_code, answer.json()["code"]) == (409, "deployment_drifted")
    answer = world.api("POST", f"/v1/deployments/{staged}:restage", {"reviewed": None})
    assert (answer.status_code, answer.json()["code"]) == (409, "current_changed")
    world.must("POST", f"/v1/deployments/{staged}:restage", {"reviewed": other})
    assert world.statuses(staged) == ("staged", "staged", "none", "staged")
    world.must("POST", f"/v1/deployments/{staged}:deploy", {"expected_current": other})
    robot.settle()
    assert world.statuses(staged) == ("deployed", "deployed", "none", "deployed")


@pytest.mark.parametrize("staged", [True, False])
def test_a_deployment_for_another_state_than_there_is_is_refused(world: World, staged: bool) -> None:
    world.release()
    world.device()
    current = world.order("max: 1\n", expected_current=None)
    body = {"device": "amr-1", "release": "1.0.0", "configs": [{"config_type": "motion", "content": "max: 2\n"}]}
    before = world.must("GET", "/v1/devices/amr-1/history")
    answer = world.api("POST", "/v1/deployments", {**body, "staged": staged, "expected_current": None})
    assert (answer.status_code, answer.json()["code"]) == (409, "current_changed")
    assert world.must("GET", "/v1/devices/amr-1/history") == before
    world.must("POST", "/v1/deployments", {**body, "staged": staged, "expected_current": current})


def test_staging_again_makes_room(world: World) -> None:
    world.release()
    world.device()
    first = world.order("max: 1\n", staged=True)
    second = world.order("max: 2\n", staged=True)
    assert world.statuses(first) == ("archived", "archived", "none", "archived")
    assert world.statuses(second) == ("staged", "staged", "none", "staged")


@pytest.mark.parametrize("act", ["deploy", "archive", "restage"])
def test_an_archived_deployment_stays_archived(world: World, act: str) -> None:
    world.release()
    world.device()
    key = world.order("max: 1\n", staged=True)
    world.must("POST", f"/v1/deployments/{key}:archive")
    body = {"reviewed": None} if act == "restage" else {}
    answer = world.api("POST", f"/v1/deployments/{key}:{act}", body)
    expected = "deployment_not_drifted" if act == "restage" else "deployment_archived"
    assert (answer.status_code, answer.json()["code"]) == (409, expected)
    assert world.statuses(key) == ("archived", "archived", "none", "archived")


def test_of_fifty_at_once_one_wins(world: World) -> None:
    world.release()
    world.device()
    key = world.order("max: 1\n", staged=True)
    outcomes: Counter[int] = Counter()

    def deploy() -> None:
        outcomes[world.api("POST", f"/v1/deployments/{key}:deploy", {}).status_code] += 1

    threads = [threading.Thread(target=deploy) for _ in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes == {200: 1, 409: 49}
    actions = [row["action"] for row in world.must("GET", f"/v1/deployments/{key}/history")["data"]]
    assert actions == ["staged", "queued"]


def test_a_report_that_was_taken_before_changes_nothing(world: World) -> None:
    world.release()
    robot = world.device()
    key = world.order("max: 1\n")
    robot.obey()
    newest = robot.report()
    world.hear(robot.id, Kind.REPORT, newest.to_bytes())
    before = world.must("GET", "/v1/devices/amr-1/history")
    entry = newest.deployments[0]
    older = entry.model_copy(update={"activity": statuses.Activity.QUEUED})
    world.hear(robot.id, Kind.REPORT, newest.to_bytes())
    world.hear(robot.id, Kind.REPORT, newest.model_copy(update={"deployments": (older,)}).to_bytes())
    assert world.must("GET", "/v1/devices/amr-1/history") == before
    assert world.statuses(key) == ("deployed", "deployed", "none", "deployed")


def test_a_restored_database_issues_above_what_the_device_knows(world: World) -> None:
    world.release()
    robot = world.device()
    kept = world.order("max: 1\n")
    robot.settle()
    order = robot.memory.order
    assert order is not None
    robot.memory = messages_of_a_later_time(robot)
    robot.tell()
    shown = world.must("GET", "/v1/devices/amr-1")
    assert (shown["generation"], shown["in_sync"]) == (order.generation + 101, False)
    robot.settle()
    assert world.statuses(kept) == ("deployed", "deployed", "none", "deployed")
    assert world.must("GET", "/v1/devices/amr-1")["in_sync"]


def messages_of_a_later_time(robot: Robot) -> object:
    """The memory of a device that obeyed a hundred orders which this database has forgotten."""
    order = robot.memory.order
    assert order is not None
    later = order.model_copy(update={"generation": order.generation + 100})
    return type(robot.memory)(order=later, holdings=robot.memory.holdings)


def test_presence_of_an_old_connection_is_ignored(world: World) -> None:
    robot = world.device()

    def say(status: str, connection: int) -> bool:
        presence = messages.Presence.model_validate(
            {"device": robot.id.lower(), "status": status, "incarnation": "one", "connection": connection}
        )
        world.hear(robot.id, Kind.PRESENCE, presence.to_bytes())
        return world.must("GET", "/v1/devices/amr-1")["online"]

    assert say("online", 1)
    assert say("online", 2)
    assert say("offline", 1)
    assert not say("offline", 2)
    assert not say("online", 2)
    assert say("online", 3)


def test_poison_harms_nothing_else(world: World) -> None:
    """One batch with every kind of bad message in it, and a good one at the end."""
    world.release()
    robot = world.device()
    key = world.order("max: 1\n")
    robot.obey()
    wire = robot.id.lower()
    report = f"shallop/v1/{wire}/report"
    bad = [b"", b"\xff", b"{", b"[" * 200_000, b'{"v": 2}', b'{"v": 1}', b"x" * 100_000, b'{"v": 1, "v": 1}']
    batch = [(report, payload) for payload in bad]
    batch += [("shallop/v1/nobody/report", robot.report().to_bytes()), ("elsewhere", b"{}"), (f"{report}/more", b"{}")]
    world.ingest.record([*batch, (report, robot.report().to_bytes())])
    assert world.statuses(key) == ("deployed", "deployed", "none", "deployed")
    assert world.ingest.dropped == {"malformed": 4, "too_large": 2, "unsupported": 1, "wrong_device": 1}


def test_one_device_that_breaks_the_ingest_takes_no_other_with_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A defect that one device's report brings out costs that report; those in the same batch are recorded."""
    world.release()
    broken, sound = world.device("broken"), world.device("sound")
    key = world.order("max: 1\n", "sound")
    decide = cloud.ingest

    def ingest(device: cloud.Device, report: messages.Report) -> cloud.Ingested:
        if device.id == broken.id:
            raise ZeroDivisionError
        return decide(device, report)

    monkeypatch.setattr(cloud, "ingest", ingest)
    sound.obey()
    for robot in (broken, sound, broken):
        world.ingest.received(f"shallop/v1/{robot.id.lower()}/report", robot.report().to_bytes())
    world.ingest.start()
    world.ingest.stop()
    assert world.statuses(key) == ("deployed", "deployed", "none", "deployed")
    assert world.ingest.dropped == {"failed": 2}


def test_every_change_of_statuses_has_one_history_row(world: World) -> None:
    world.release()
    robot = world.device()
    for number in range(4):
        key = world.order(f"max: {number}\n")
        if number == 2:
            robot.bad.add(key)
        robot.settle()
    with world.ashore.shore.database.read() as connection:
        rows = connection.execute(sa.select(tables.history).order_by(tables.history.c.id)).mappings().all()
    last: dict[str, object] = {}
    for row in rows:
        if row["deployment_id"] and row["before"]:
            before = {name: row["before"][name] for name in ("target_status", "activity_status", "error_status")}
            after = {name: row["after"][name] for name in before}
            assert before != after
            assert last.get(row["deployment_id"], before) == before
            last[row["deployment_id"]] = after
    for row in world.must("GET", "/v1/deployments")["data"]:
        assert last[row["id"]] == {name: row[name] for name in ("target_status", "activity_status", "error_status")}


def test_what_is_archived_while_the_robot_is_away_comes_off_when_it_is_back(world: World) -> None:
    world.release()
    robot = world.device()
    key = world.order("max: 1\n")
    robot.settle()
    world.must("POST", f"/v1/deployments/{key}:archive")
    world.published(robot.id)
    assert world.statuses(key) == ("archived", "deployed", "none", "deployed")
    shown = world.must("GET", "/v1/devices/amr-1")
    assert (shown["current"], shown["in_sync"], shown["last_known"]["current"]) == (None, False, key)
    assert robot.disk.trees == {key}
    robot.settle()
    assert world.statuses(key) == ("archived", "archived", "none", "archived")
    assert (robot.disk.current, robot.disk.trees) == (None, frozenset())


def test_the_fallback_can_be_withdrawn_while_the_newcomer_is_not_confirmed(world: World) -> None:
    """Then there is nothing to fall back to: if the newcomer fails too, nothing is desired."""
    world.release()
    robot = world.device()
    old = world.order("max: 1\n")
    robot.settle()
    new = world.order("max: 2\n")
    world.must("POST", f"/v1/deployments/{old}:archive")
    shown = world.must("GET", "/v1/devices/amr-1")
    assert (shown["current"], shown["fallback"]) == (new, None)
    assert world.statuses(old) == ("archived", "deployed", "none", "deployed")
    robot.bad.add(new)
    robot.settle()
    assert world.statuses(new) == ("archived", "archived", "failed", "failed")
    assert world.statuses(old) == ("archived", "archived", "none", "archived")
    assert robot.disk.trees == frozenset()
    assert world.must("GET", "/v1/devices/amr-1")["current"] is None
