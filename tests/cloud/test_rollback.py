"""Going back, through the API and with a robot that answers."""

from __future__ import annotations

from typing import Any

import config_world as files
import pytest
from cloud_world import Robot, World
from config_world import order, refused

ROLLBACK = "/v1/devices/amr-1:rollback"


def content(number: int) -> str:
    return f"limits: {{}}\nnumber: {number}\n"


@pytest.fixture
def robot(world: World) -> Robot:
    files.release(world)
    return world.device()


@pytest.fixture
def three(world: World, robot: Robot) -> list[str]:
    """Three deployments that were in force, one after the other."""
    made: list[str] = []
    for number in range(1, 4):
        made.append(order(world, content(number)))
        robot.settle()
    return made


def back(world: World, **body: Any) -> Any:
    return world.must("POST", ROLLBACK, body or None)


def test_a_rollback_brings_back_what_was_before(world: World, robot: Robot, three: list[str]) -> None:
    made = back(world)
    assert (made["restores"], made["status"], made["patched_from"]) == (three[1], "queued", None)
    assert files.instances(world, made["id"]) == files.instances(world, three[1])
    assert made["digest"] == world.must("GET", f"/v1/deployments/{three[1]}")["digest"]
    robot.settle()
    assert world.statuses(made["id"])[3] == "deployed"
    assert world.statuses(three[2])[3] == "archived"
    assert world.must("GET", f"/v1/deployments/{made['id']}/history")["data"][0]["after"]["restores"] == three[1]


def test_rollback_after_rollback_goes_further_back_and_ends(world: World, robot: Robot, three: list[str]) -> None:
    restored: list[str] = []
    for _ in range(2):
        restored.append(back(world)["restores"])
        robot.settle()
    assert restored == [three[1], three[0]]
    before = world.must("GET", "/v1/devices/amr-1/history", limit=500)
    assert refused(world, ROLLBACK) == (409, "nothing_to_roll_back_to")
    assert world.must("GET", "/v1/devices/amr-1/history", limit=500) == before


def test_one_that_failed_is_passed_over(world: World, robot: Robot, three: list[str]) -> None:
    bad = order(world, content(4))
    robot.bad.add(bad)
    robot.settle()
    assert world.must("GET", "/v1/devices/amr-1")["current"] == three[2]
    newest = order(world, content(5))
    robot.settle()
    assert back(world)["restores"] == three[2]
    assert refused(world, ROLLBACK, {"to": bad}) == (409, "deployment_not_former")
    assert world.statuses(newest)[3] == "deployed"


def test_a_newcomer_that_is_not_confirmed_is_left_for_what_is_in_force(
    world: World, robot: Robot, three: list[str]
) -> None:
    order(world, content(4))
    made = back(world)
    assert made["restores"] == three[2]
    assert world.must("GET", "/v1/devices/amr-1")["fallback"] == three[2]
    robot.settle()
    assert robot.disk.trees == {made["id"]}


def test_with_nothing_desired_the_newest_returns(world: World, robot: Robot, three: list[str]) -> None:
    world.must("POST", f"/v1/deployments/{three[2]}:archive")
    robot.settle()
    assert robot.disk.trees == frozenset()
    assert back(world, expected_current=None)["restores"] == three[2]


def test_one_is_named(world: World, robot: Robot, three: list[str]) -> None:
    made = back(world, to=three[0][:14], expected_current=three[2], description="the first")
    assert (made["restores"], made["description"]) == (three[0], "the first")
    robot.settle()
    assert back(world, to=three[2])["restores"] == three[2]


def test_it_may_be_staged_only(world: World, robot: Robot, three: list[str]) -> None:
    made = back(world, staged=True)
    assert (made["status"], made["restores"]) == ("staged", three[1])
    assert world.must("GET", "/v1/devices/amr-1")["current"] == three[2]
    world.must("POST", f"/v1/deployments/{made['id']}:deploy")
    robot.settle()
    assert back(world)["restores"] == three[0]


def test_over_releases_the_old_release_comes_back_too(world: World, robot: Robot) -> None:
    files.release(world, "2.0.0")
    order(world, content(1))
    robot.settle()
    order(world, content(2), release="2.0.0")
    robot.settle()
    assert back(world)["release"] == "1.0.0"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"to": "DPL-00000"}, (404, "deployment_not_found")),
        ({"expected_current": None}, (409, "current_changed")),
        ({"too": "x"}, (422, "request_invalid")),
        ({"staged": "perhaps"}, (422, "request_invalid")),
    ],
)
def test_what_cannot_be_asked(
    world: World, robot: Robot, three: list[str], body: object, expected: tuple[int, str]
) -> None:
    assert refused(world, ROLLBACK, body) == expected


def test_what_cannot_be_gone_back_to(world: World, robot: Robot, three: list[str]) -> None:
    other = world.device("amr-2")
    elsewhere = world.must("POST", "/v1/deployments", files.body("amr-2", motion=content(1)))["id"]
    other.settle()
    never = order(world, content(4), staged=True)
    for key in (elsewhere, never):
        assert refused(world, ROLLBACK, {"to": key}) == (409, "deployment_not_former")
    assert refused(world, ROLLBACK, {"to": three[2]}) == (409, "deployment_is_current")
    assert refused(world, "/v1/devices/nobody:rollback") == (404, "device_not_found")
    world.must("POST", "/v1/devices/amr-1:archive")
    assert refused(world, ROLLBACK) == (409, "device_archived")
