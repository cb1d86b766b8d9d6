"""Config types with several slots: a file is named by type and slot, wherever files are given, compared or changed."""

from __future__ import annotations

from typing import Any

import pytest
from cloud_world import Robot, World
from config_world import refused

LIDAR = {
    "name": "lidar",
    "schema": "opaque",
    "format": "yaml",
    "slots": [
        {"key": "front", "path": "lidar/front.yaml"},
        {"key": "rear", "path": "lidar/rear.yaml"},
        {"key": "top", "path": "lidar/top.yaml", "required": False},
    ],
}


@pytest.fixture
def robot(world: World) -> Robot:
    world.must("POST", "/v1/releases", {"version": "1.0.0", "config_types": [LIDAR]})
    return world.device()


def body(**files: str) -> dict[str, Any]:
    configs = [{"config_type": "lidar", "slot": slot, "content": content} for slot, content in files.items()]
    return {"device": "amr-1", "release": "1.0.0", "configs": configs}


def test_each_slot_has_its_file(world: World, robot: Robot) -> None:
    made = world.must("POST", "/v1/deployments", body(front="rate: 10\n", rear="rate: 10\n"))
    found = {each["slot"]: (each["config_type"], each["path"]) for each in made["config_instances"]}
    assert found == {"front": ("lidar", "lidar/front.yaml"), "rear": ("lidar", "lidar/rear.yaml")}
    robot.settle()
    assert world.statuses(made["id"])[3] == "deployed"


@pytest.mark.parametrize(
    ("given", "code", "words"),
    [
        (body(front="a: 1\n"), "config_missing", "requires a config of type lidar/rear"),
        (body(front="a: 1\n", raer="a: 1\n"), "slot_unknown", "no slot 'raer' (did you mean 'rear'?)"),
        (body(default="a: 1\n"), "slot_unknown", "it has: front, rear, top"),
        ({**body(front="", rear=""), "configs": body(front="", rear="")["configs"] * 2}, "config_repeated", "lidar/"),
        (body(front="a: [\n", rear="a: 1\n"), "config_invalid", ""),
    ],
)
def test_what_does_not_fit_the_slots(world: World, robot: Robot, given: object, code: str, words: str) -> None:
    answer = world.api("POST", "/v1/deployments", given)
    assert (answer.status_code, answer.json()["code"]) == (422, code)
    assert words in answer.json()["detail"]
    if code == "config_invalid":
        assert [each["source"] for each in answer.json()["errors"]] == ["lidar/front"]


def test_a_patch_and_a_diff_are_of_one_slot(world: World, robot: Robot) -> None:
    first = world.must("POST", "/v1/deployments", body(front="rate: 10\n", rear="rate: 10\n"))
    path = f"/v1/deployments/{first['id']}:patch"
    change = {"config_type": "lidar", "slot": "rear", "pointer": "/rate", "value": 20}
    made = world.must("POST", path, {"set": [change]})
    before, after = ({each["slot"]: each["id"] for each in it["config_instances"]} for it in (first, made))
    assert (after["front"], after["rear"] != before["rear"]) == (before["front"], True)
    shown = world.must("GET", "/v1/diff", before=first["id"], after=made["id"])["files"]
    assert [(each["slot"], each["kind"]) for each in shown] == [("front", "same"), ("rear", "changed")]
    assert refused(world, path, {"set": [{**change, "slot": "top"}]}) == (422, "config_absent")


def test_a_merge_is_slot_by_slot(world: World, robot: Robot) -> None:
    world.must("POST", "/v1/deployments", body(front="rate: 10\n", rear="rate: 10\n"))
    robot.settle()
    waiting = world.must("POST", "/v1/deployments", {**body(front="rate: 30\n", rear="rate: 10\n"), "staged": True})
    current = world.must("POST", "/v1/deployments", body(front="rate: 10\n", rear="rate: 20\n", top="rate: 5\n"))
    merged = world.must("POST", f"/v1/deployments/{waiting['id']}:merge", {"reviewed": current["id"]})
    found = {each["slot"]: each["id"] for each in merged["config_instances"]}
    now = {each["slot"]: each["id"] for each in current["config_instances"]}
    assert found == {**now, "front": waiting["config_instances"][0]["id"]}
