"""What a robot says beside its statuses is shown as it said it last, and what asks for an echo gets one."""

from __future__ import annotations

import datetime
from typing import Any

import pytest
from cloud_world import NOW, Robot, World
from config_world import refused
from shallop_protocol import echo, messages
from shallop_protocol.messages import Reason, Waiting
from shallop_protocol.statuses import Activity, Error
from shallop_protocol.topics import Kind

NONCE = "n0" * 8
UNTIL = NOW + datetime.timedelta(minutes=5)
HELD = Waiting(code="held", message="held by docking: parking", until=UNTIL)
CHANGED = Reason.of("files_changed", "the files on the disk are not what was written")


@pytest.fixture
def robot(world: World) -> Robot:
    world.release()
    return world.device()


def said(robot: Robot, key: str, **changes: Any) -> messages.Report:
    """The robot's next report, with something else said of one deployment."""
    report = robot.report()
    entries = tuple(each.model_copy(update=changes) if each.id == key else each for each in report.deployments)
    return report.model_copy(update={"deployments": entries})


def tell(world: World, robot: Robot, report: messages.Report) -> None:
    world.hear(robot.id, Kind.REPORT, report.to_bytes())


def shown(world: World, key: str) -> tuple[Any, Any]:
    found = world.must("GET", f"/v1/deployments/{key}")
    return found["waiting"], found["integrity"]


def waits(world: World, robot: Robot) -> str:
    """A deployment that is held on its robot."""
    key = world.order("max: 1\n")
    robot.obey()
    queued = {"activity": Activity.QUEUED, "digest": None}
    tell(world, robot, said(robot, key, waiting=HELD, **queued))
    return key


def test_a_wait_is_shown_while_the_robot_says_it_and_is_no_step(world: World, robot: Robot) -> None:
    key = waits(world, robot)
    assert shown(world, key) == (
        {"code": "held", "message": "held by docking: parking", "until": "2026-03-01T12:05:00Z"},
        None,
    )
    assert world.statuses(key)[3] == "queued"
    before = world.must("GET", f"/v1/deployments/{key}/history")["data"]
    tell(world, robot, said(robot, key, activity=Activity.QUEUED, digest=None))
    assert shown(world, key) == (None, None)
    assert world.must("GET", f"/v1/deployments/{key}/history")["data"] == before


def test_a_robot_that_says_nothing_of_a_deployment_any_more_does_not_wait(world: World, robot: Robot) -> None:
    key = waits(world, robot)
    tell(world, robot, robot.report().model_copy(update={"deployments": (), "current": None}))
    assert shown(world, key) == (None, None)


def test_an_old_report_takes_no_wait_away(world: World, robot: Robot) -> None:
    key = waits(world, robot)
    tell(world, robot, robot.report().model_copy(update={"seq": 1, "deployments": ()}))
    assert shown(world, key)[0] is not None


def test_changed_files_are_shown_beside_deployed(world: World, robot: Robot) -> None:
    key = world.order("max: 1\n")
    robot.settle()
    tell(world, robot, said(robot, key, integrity=CHANGED))
    assert shown(world, key) == (None, CHANGED.model_dump())
    assert world.statuses(key)[3] == "deployed"
    tell(world, robot, said(robot, key))
    assert shown(world, key) == (None, None)


def test_what_failed_or_is_over_waits_for_nothing(world: World, robot: Robot) -> None:
    key = waits(world, robot)
    reason = Reason.of("vetoed", "nav2: no")
    failed = {"activity": Activity.QUEUED, "error": Error.FAILED, "reason": reason, "digest": None}
    tell(world, robot, said(robot, key, waiting=HELD, integrity=CHANGED, **failed))
    assert (world.statuses(key)[3], shown(world, key)) == ("failed", (None, None))


def test_a_report_with_a_nonce_is_answered_once_it_is_recorded(world: World, robot: Robot) -> None:
    world.order("max: 1\n")
    robot.obey()
    report = robot.report().model_copy(update={"nonce": NONCE})
    tell(world, robot, report)
    tell(world, robot, report)
    wire = robot.id.lower()
    assert world.publisher.echoes == [echo.Echo(device=wire, nonce=NONCE, epoch=1, generation=1)]


def test_who_is_not_known_or_comes_late_gets_no_echo(world: World, robot: Robot) -> None:
    older = robot.report().model_copy(update={"nonce": NONCE})
    robot.tell()
    tell(world, robot, older)
    stranger = older.model_copy(update={"device": "dev-0000000000000000", "seq": 9})
    world.hear("DEV-0000000000000000", Kind.REPORT, stranger.to_bytes())
    later = robot.report().model_copy(update={"nonce": NONCE, "epoch": 2})
    tell(world, robot, later)
    assert world.publisher.echoes == []


def test_what_a_report_brings_about_counts_for_its_echo(world: World, robot: Robot) -> None:
    old = world.order("max: 1\n")
    robot.settle()
    key = world.order("max: 2\n")
    robot.obey()
    tell(world, robot, robot.report().model_copy(update={"nonce": NONCE}))
    (answer,) = world.publisher.echoes
    assert (world.statuses(old)[0], world.statuses(key)[1]) == ("archived", "deployed")
    assert answer.generation == world.must("GET", f"/v1/devices/{robot.id}")["generation"] == 3


def test_terms_of_devices_and_deployments(world: World, robot: Robot) -> None:
    path = f"/v1/devices/{robot.id}"
    assert world.must("GET", path)["confirm_s"] is None
    assert world.must("PATCH", path, {"confirm_s": 120})["confirm_s"] == 120
    assert world.must("PATCH", path, {"labels": {"site": "lyon"}})["confirm_s"] == 120
    assert world.must("PATCH", path, {"confirm_s": None})["confirm_s"] is None
    changes = [
        (each["before"], each["after"])
        for each in world.must("GET", f"{path}/history")["data"]
        if each["action"] == "device_changed"
    ]
    assert [(before.get("confirm_s"), after.get("confirm_s")) for before, after in changes] == [
        (None, 120), (None, None), (120, None),
    ]  # fmt: skip
    assert world.must("POST", "/v1/devices", {"name": "b", "confirm_s": 60})["confirm_s"] == 60
    key = world.order("max: 1\n", confirm_s=30)
    assert world.must("GET", f"/v1/deployments/{key}")["confirm_s"] == 30
    patch = {"configs": [{"config_type": "motion", "content": "max: 2\n"}], "confirm_s": 9}
    assert world.must("POST", f"/v1/deployments/{key}:patch", patch)["confirm_s"] == 9


@pytest.mark.parametrize("term", [0, -1, 86_401, 1.5, "soon"])
def test_a_term_that_is_none_is_refused(world: World, robot: Robot, term: object) -> None:
    assert refused(world, f"/v1/devices/{robot.id}", {"confirm_s": term}, method="PATCH") == (422, "request_invalid")
    body = {"device": robot.id, "release": "1.0.0", "configs": [], "confirm_s": term}
    assert refused(world, "/v1/deployments", body) == (422, "request_invalid")
