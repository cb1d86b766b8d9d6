"""Every verdict on a device, what it waits for, and the commands that would help."""

from __future__ import annotations

import datetime
from typing import Any

import pytest
from cloud_world import NOW, Robot, World
from config_world import refused
from shallop_cloud.services.why import Verdict
from shallop_cloud.store import devices
from shallop_protocol import messages
from shallop_protocol.statuses import Activity, Error
from shallop_protocol.topics import Kind

WHY = "/v1/devices/amr-1/why"
NEXT = NOW + datetime.timedelta(seconds=30)


@pytest.fixture
def robot(world: World) -> Robot:
    world.release()
    return world.device()


def why(world: World) -> Any:
    return world.must("GET", WHY)


def codes(shown: Any) -> list[str]:
    return [each["code"] for each in shown["waits_for"]]


def presence(world: World, robot: Robot, status: str, connection: int = 1) -> None:
    said = {"device": robot.id.lower(), "status": status, "incarnation": "one", "connection": connection}
    world.hear(robot.id, Kind.PRESENCE, messages.Presence.model_validate(said).to_bytes())


def heard(world: World, robot: Robot, **columns: Any) -> None:
    with world.ashore.shore.database.write() as connection:
        devices.update(connection, robot.id, **columns)


def retry(world: World, robot: Robot, key: str, activity: Activity = Activity.QUEUED) -> None:
    """The robot reports that it tries and tries."""
    robot.obey()
    report = robot.report()
    reason = messages.Reason.of("disk_full", "no space left on the device")
    entries = tuple(
        entry.model_copy(
            update={"activity": activity, "error": Error.RETRYING, "attempts": 3, "next_attempt_at": NEXT,
                    "reason": reason, "digest": entry.digest if activity is Activity.DEPLOYED else None}
        )
        if entry.id == key
        else entry
        for entry in report.deployments
    )  # fmt: skip
    world.hear(robot.id, Kind.REPORT, report.model_copy(update={"deployments": entries}).to_bytes())


def test_revoked(world: World, robot: Robot) -> None:
    world.must("POST", "/v1/devices/amr-1:revoke")
    said = world.must("GET", "/v1/devices/amr-1/why")
    assert (said["verdict"], [wait["code"] for wait in said["waits_for"]]) == ("revoked", ["revoked"])
    assert said["commands"] == ["shallop device renew-token amr-1"]


def test_never_enrolled(world: World, robot: Robot) -> None:
    world.order("max: 1\n")
    shown = why(world)
    assert (shown["verdict"], shown["known"], shown["desired_status"]) == ("never_enrolled", None, "queued")
    assert codes(shown) == ["never_enrolled", "not_published"]
    assert "its token is good until" in shown["waits_for"][0]["text"]
    assert shown["commands"] == ["shallop device renew-token amr-1"]
    heard(world, robot, token_expires_at=NOW)
    assert "its token is void" in why(world)["waits_for"][0]["text"]


def test_nothing_desired(world: World, robot: Robot) -> None:
    robot.tell()
    shown = why(world)
    assert (shown["verdict"], shown["waits_for"], shown["desired"]) == ("nothing_desired", [], None)
    assert shown["commands"] == ["shallop deploy amr-1 --release VERSION --config TYPE=FILE"]
    staged = world.order("max: 1\n", staged=True)
    shown = why(world)
    assert shown["text"] == f"Nothing is desired of it. {staged} is prepared and not ordered."
    assert shown["commands"][0] == f"shallop deployment deploy {staged}"


def test_in_sync(world: World, robot: Robot) -> None:
    key = world.order("max: 1\n")
    robot.settle()
    shown = why(world)
    assert (shown["verdict"], shown["waits_for"], shown["commands"]) == ("in_sync", [], [])
    assert (shown["known"]["current"], shown["known"]["status"], shown["desired"]) == (key, "deployed", key)
    assert shown["text"] == f"It runs what is desired, {key}."
    assert shown["device"]["name"] == "amr-1"


def test_nothing_is_desired_any_more_and_what_was_can_come_back(world: World, robot: Robot) -> None:
    key = world.order("max: 1\n")
    robot.settle()
    world.must("POST", f"/v1/deployments/{key}:archive")
    robot.settle()
    shown = why(world)
    assert shown["verdict"] == "nothing_desired"
    assert shown["commands"][0] == "shallop rollback amr-1"


def test_offline_and_never_heard_of(world: World, robot: Robot) -> None:
    world.order("max: 1\n")
    heard(world, robot, enrolled_at=NOW)
    shown = why(world)
    assert (shown["verdict"], codes(shown)) == ("offline", ["offline", "not_published"])
    assert shown["text"].startswith("It enrolled, and was never heard of.")
    assert shown["waits_for"][0]["since"] == "2026-03-01T12:00:00Z"


def test_offline(world: World, robot: Robot) -> None:
    presence(world, robot, "online")
    presence(world, robot, "offline")
    heard(world, robot, enrolled_at=NOW)
    key = world.order("max: 1\n")
    world.published(robot.id)
    shown = why(world)
    assert (shown["verdict"], codes(shown)) == ("offline", ["offline", "not_reported"])
    assert shown["text"] == f"It is not connected. It gets {key} when it is back."
    assert shown["commands"] == ["shallop events --device amr-1"]
    world.must("POST", f"/v1/deployments/{key}:archive")
    assert "the order to take everything off" in why(world)["text"]


def test_silent(world: World, robot: Robot) -> None:
    presence(world, robot, "online")
    world.order("max: 1\n")
    world.published(robot.id)
    heard(world, robot, enrolled_at=NOW, last_heard_at=NOW)
    shown = why(world)
    assert (shown["verdict"], codes(shown)) == ("silent", ["silent", "not_reported"])


def test_waiting_for_the_broker_then_for_the_robot_then_to_tidy_up(world: World, robot: Robot) -> None:
    presence(world, robot, "online")
    robot.tell()
    first = world.order("max: 1\n")
    shown = why(world)
    assert (shown["verdict"], codes(shown)) == ("waiting", ["not_published"])
    assert shown["text"] == f"{first} has not left for the broker yet."
    world.published(robot.id)
    shown = why(world)
    assert (shown["verdict"], codes(shown)) == ("waiting", ["not_reported"])
    assert shown["text"] == f"{first} is on its way, and the robot has not confirmed it."
    robot.settle()
    second = world.order("max: 2\n")
    robot.obey()
    robot.tell()
    world.published(robot.id)
    shown = why(world)
    assert (shown["verdict"], shown["known"]["current"]) == ("waiting", second)
    assert "clear away" in shown["text"]


def test_retrying(world: World, robot: Robot) -> None:
    presence(world, robot, "online")
    first = world.order("max: 1\n")
    retry(world, robot, first)
    shown = why(world)
    assert (shown["verdict"], codes(shown)) == ("retrying", ["retrying"])
    (wait,) = shown["waits_for"]
    assert wait["next_at"] == "2026-03-01T12:00:30Z"
    assert wait["text"] == "no space left on the device (disk_full, 3 attempts)"
    assert shown["commands"] == [f"shallop deployment show {first}"]
    robot.settle()
    second = world.order("max: 2\n")
    retry(world, robot, second)
    assert why(world)["commands"] == [
        f"shallop deployment show {second}", f"shallop deployment archive {second}", "shallop rollback amr-1",
    ]  # fmt: skip


def test_failed_and_what_runs_instead(world: World, robot: Robot) -> None:
    good = world.order("max: 1\n")
    robot.settle()
    bad = world.order("max: 2\n")
    robot.bad.add(bad)
    robot.settle()
    shown = why(world)
    assert (shown["verdict"], codes(shown), shown["desired"]) == ("failed", ["failed"], good)
    failure = f"{bad} failed: the robot will not have it (check_rejected)"
    assert shown["text"] == f"{failure}. {good} is what it shall run."
    assert shown["commands"] == [
        f"shallop deployment show {bad}", f"shallop deployment patch {bad} --set TYPE:/POINTER=VALUE",
    ]  # fmt: skip
    world.must("POST", f"/v1/deployments/{good}:archive")
    assert why(world)["text"] == f"{failure}. Nothing is desired now."
    world.order("max: 3\n")
    robot.settle()
    assert why(world)["verdict"] == "in_sync"


def test_refused(world: World, robot: Robot) -> None:
    presence(world, robot, "online")
    robot.tell()
    world.order("max: 1\n")
    world.published(robot.id)
    refusal = messages.Refusal(code="bad_signature", message="no key of mine signed it", generation=1)
    world.hear(robot.id, Kind.REPORT, robot.report().model_copy(update={"refused": refusal}).to_bytes())
    shown = why(world)
    assert (shown["verdict"], codes(shown)) == ("refused", ["refused"])
    assert shown["text"] == "It refused its newest order: no key of mine signed it."
    assert shown["commands"] == ["shallop device show amr-1", "shallop device renew-token amr-1"]


def test_drifted_waiting(world: World, robot: Robot) -> None:
    waiting = world.order("max: 2\n", staged=True)
    current = world.order("max: 1\n")
    robot.settle()
    shown = why(world)
    assert (shown["verdict"], codes(shown)) == ("drifted_waiting", ["drifted"])
    assert waiting in shown["text"]
    assert shown["commands"] == [
        f"shallop deployment review {waiting}",
        f"shallop deployment restage {waiting} --reviewed {current}",
        f"shallop deployment merge {waiting}",
        f"shallop deployment archive {waiting}",
    ]


def test_archived(world: World, robot: Robot) -> None:
    world.must("POST", "/v1/devices/amr-1:archive")
    shown = why(world)
    assert (shown["verdict"], shown["commands"]) == ("archived", ["shallop device restore amr-1"])


def test_nobody(world: World) -> None:
    assert refused(world, WHY, method="GET") == (404, "device_not_found")


def test_files_changed(world: World, robot: Robot) -> None:
    key = world.order("max: 1\n")
    robot.settle()
    changed = messages.Reason.of("files_changed", "the files on the disk are not what was written")
    report = robot.report()
    entries = tuple(each.model_copy(update={"integrity": changed}) for each in report.deployments)
    world.hear(robot.id, Kind.REPORT, report.model_copy(update={"deployments": entries}).to_bytes())
    shown = why(world)
    assert (shown["verdict"], codes(shown)) == ("files_changed", ["files_changed"])
    assert "Its files were changed on the robot" in shown["text"]
    assert shown["waits_for"][0]["text"] == f"{key}: the files on the disk are not what was written"
    assert shown["commands"][0] == f"shallop deployment show {key}"


def test_waiting_for_the_software_of_the_robot(world: World, robot: Robot) -> None:
    key = world.order("max: 1\n")
    presence(world, robot, "online")
    world.published(robot.id)
    held = messages.Waiting(code="held", message="held by docking: parking", until=NEXT)
    robot.obey()
    report = robot.report()
    update = {"activity": Activity.QUEUED, "digest": None, "waiting": held}
    entries = tuple(each.model_copy(update=update) for each in report.deployments)
    world.hear(robot.id, Kind.REPORT, report.model_copy(update={"deployments": entries}).to_bytes())
    shown = why(world)
    assert (shown["verdict"], codes(shown)) == ("waiting", ["held"])
    assert shown["text"] == f"{key} waits on the robot: held by docking: parking."
    assert shown["waits_for"][0]["next_at"] == "2026-03-01T12:00:30Z"


def test_lagging(world: World, robot: Robot) -> None:
    """The rest is in test_lagging.py."""
    stale = robot.report().model_copy(update={"stale": True})
    world.hear(robot.id, Kind.REPORT, stale.to_bytes())
    shown = why(world)
    assert (shown["verdict"], codes(shown)) == ("lagging", ["lagging_stale"])
    assert "nothing fresh reaches it" in shown["text"]


def test_every_verdict_has_its_test() -> None:
    names = " ".join(name for name in globals() if name.startswith("test_"))
    assert [verdict.value for verdict in Verdict if verdict.value not in names] == []
