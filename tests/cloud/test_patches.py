"""Patches: new deployments made from others, of which most stays the same."""

from __future__ import annotations

from typing import Any

import config_world as files
import pytest
from cloud_world import Robot, World
from config_world import order, refused

MOTION = "# of the fleet\nlimits:\n  speed: 1.0  # m/s\n  accel: 0.5\n"
ZONES = '{"depot": [1, 2]}'


@pytest.fixture
def robot(world: World) -> Robot:
    files.release(world)
    return world.device()


def value(pointer: str, given: Any, name: str = "motion", **more: Any) -> dict[str, Any]:
    return {"config_type": name, "pointer": pointer, "value": given, **more}


def patch(world: World, key: str, *values: dict[str, Any], **more: Any) -> Any:
    return world.must("POST", f"/v1/deployments/{key}:patch", {"set": list(values), **more})


def test_a_value_is_set_and_all_else_stays_byte_for_byte(world: World, robot: Robot) -> None:
    first = order(world, MOTION, ZONES)
    made = patch(world, first, value("/limits/speed", 2.5), value("/limits/accel", 0.75), description="faster")
    assert (made["patched_from"], made["status"], made["description"]) == (first, "queued", "faster")
    assert files.files(world, made["id"]) == {
        "motion": MOTION.replace("speed: 1.0", "speed: 2.5").replace("0.5", "0.75"),
        "zones": ZONES,
    }
    before, after = files.instances(world, first), files.instances(world, made["id"])
    assert (before["zones"], before["motion"] != after["motion"]) == (after["zones"], True)


def test_a_chain_of_three(world: World, robot: Robot) -> None:
    key = first = order(world, MOTION)
    for speed in (2.0, 3.0, 4.0):
        made = patch(world, key, value("/limits/speed", speed))
        assert made["patched_from"] == key
        key = made["id"]
        robot.settle()
    assert files.files(world, key) == {"motion": MOTION.replace("speed: 1.0", "speed: 4.0")}
    assert files.files(world, first) == {"motion": MOTION}
    assert robot.disk.current == key
    history = world.must("GET", f"/v1/deployments/{key}/history")["data"]
    assert history[0]["after"]["patched_from"] == made["patched_from"]


def test_whole_files_replace_and_add(world: World, robot: Robot) -> None:
    first = order(world, MOTION)
    configs = [{"config_type": "zones", "content": ZONES}]
    made = patch(world, first, configs=configs)
    assert files.files(world, made["id"]) == {"motion": MOTION, "zones": ZONES}
    assert files.instances(world, made["id"])["motion"] == files.instances(world, first)["motion"]
    both = patch(
        world, made["id"], value("/limits/speed", 2), configs=[{"config_type": "zones", "content": "{}"}], staged=True
    )
    assert files.files(world, both["id"]) == {"motion": MOTION.replace("1.0", "2"), "zones": "{}"}
    assert both["status"] == "staged"


def test_a_staged_one_is_replaced_by_its_staged_patch(world: World, robot: Robot) -> None:
    first = order(world, MOTION, staged=True)
    made = patch(world, first, value("/limits/speed", 2.0), staged=True)
    assert (world.statuses(first)[3], made["status"]) == ("archived", "staged")


@pytest.mark.parametrize("end", ["archived", "failed"])
def test_what_is_over_can_be_patched(world: World, robot: Robot, end: str) -> None:
    key = order(world, MOTION)
    if end == "failed":
        robot.bad.add(key)
        robot.settle()
    else:
        world.must("POST", f"/v1/deployments/{key}:archive")
    assert world.statuses(key)[3] == end
    made = patch(world, key, value("/limits/speed", 2.0), expected_current=None)
    robot.settle()
    assert world.statuses(made["id"])[3] == "deployed"
    assert world.statuses(key)[3] == end


def test_what_has_another_slot_is_another_file(world: World, robot: Robot) -> None:
    """A patch names a file by type and slot."""
    key = order(world, MOTION)
    assert refused(world, f"/v1/deployments/{key}:patch", {"set": [value("/limits/speed", 2.0, slot="rear")]}) == (
        422,
        "slot_unknown",
    )


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({}, (422, "patch_empty")),
        ({"set": [], "configs": []}, (422, "patch_empty")),
        ({"sets": []}, (422, "request_invalid")),
        ({"set": [{"config_type": "motion", "pointer": "/limits/speed"}]}, (422, "request_invalid")),
        ({"set": [value("/limits/speed", 1.0)]}, (409, "nothing_changed")),
        ({"configs": [{"config_type": "motion", "content": MOTION}]}, (409, "nothing_changed")),
        ({"set": [value("/limits/speed", 9)]}, (422, "config_invalid")),
        ({"set": [value("/limits/speed/x", 1)]}, (422, "patch_invalid")),
        ({"set": [value("limits", 1)]}, (422, "patch_invalid")),
        ({"set": [value("/a", 1, "moton")]}, (422, "config_type_unknown")),
        ({"set": [value("/a", 1, "zones")]}, (422, "config_absent")),
        ({"configs": [{"config_type": "lidar", "content": ""}]}, (422, "config_type_unknown")),
        ({"configs": [{"config_type": "zones", "content": "{}"}] * 2}, (422, "config_repeated")),
        (
            {"set": [value("/limits/speed", 2)], "configs": [{"config_type": "motion", "content": MOTION}]},
            (422, "config_repeated"),
        ),
        ({"set": [value("/limits/speed", 2)], "expected_current": None}, (409, "current_changed")),
        ({"set": [value("/limits/speed", 2)], "expected_current": "DPL-00000"}, (404, "deployment_not_found")),
    ],
)
def test_what_cannot_be_patched_changes_nothing(
    world: World, robot: Robot, body: object, expected: tuple[int, str]
) -> None:
    key = order(world, MOTION)
    before = world.must("GET", "/v1/deployments")
    assert refused(world, f"/v1/deployments/{key}:patch", body) == expected
    after = world.must("GET", "/v1/deployments")
    assert [each["id"] for each in after["data"]] == [each["id"] for each in before["data"]] == [key]


def test_all_that_is_wrong_is_told_with_its_file_and_place(world: World, robot: Robot) -> None:
    key = order(world, MOTION, ZONES)
    body = {"set": [value("/limits/spede/x", 1), value("/depot/9", 1, "zones"), value("/x/y", 1, "zones")]}
    problem = world.api("POST", f"/v1/deployments/{key}:patch", body).json()
    assert [each["source"] for each in problem["errors"]] == ["motion", "zones"]
    assert problem["detail"] == "refused, nothing was made: 2 values cannot be set"
