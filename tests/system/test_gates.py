"""Hooks, holds and a cloud that has to be heard, with a real agent behind a real broker."""

from __future__ import annotations

import dataclasses
import os
import signal
from pathlib import Path

import pytest
from shallop_cloud.bench.robots import Robot
from shallop_device.door import client
from system_world import EXAMPLE, World, example_configs, wait

SETTINGS = """
[hooks]
check = "{hooks}/check"
applied = ["{hooks}/applied", "nav2"]
health = "{hooks}/health"
timeout_s = 20
[health]
window_s = 4
interval_s = 0.1
passes = 2
[retry]
first_s = 0.2
cap_s = 0.5
"""
HOOKS = {
    "check": 'cat > /dev/null; [ ! -e moves ] || { echo "the arm moves"; exit 75; }',
    "applied": 'echo "$1 $(grep -o "\\"change\\":\\"[a-z]*" | cut -d : -f 2 | tr -d \\") $SHALLOP_DEPLOYMENT" >> told',
    "health": '[ ! -e hangs ] || { echo $$ > pid; exec sleep 60; }; [ ! -e sick ] || { echo "no lidar"; exit 1; }',
}


@dataclasses.dataclass
class GatedRobot(Robot):
    """One whose owner set up hooks, which look for files beside them."""

    @property
    def command(self) -> list[str]:
        """With its settings."""
        return [*super().command, "--config", str(self.directory / "shallopd.toml")]

    @property
    def hooks(self) -> Path:
        """Where they are."""
        return self.directory / "hooks"

    @property
    def door(self) -> client.Client:
        """The agent's local door."""
        return client.Client(self.state / "shallopd.sock")

    def set_up(self) -> None:
        """Writes hooks and settings."""
        self.hooks.mkdir(parents=True)
        for name, script in HOOKS.items():
            (self.hooks / name).write_text(f"#!/bin/sh\ncd {self.hooks}\n{script}\n")
            (self.hooks / name).chmod(0o755)
        (self.directory / "shallopd.toml").write_text(SETTINGS.format(hooks=self.hooks))

    def told(self) -> list[str]:
        """What the hook ``applied`` was told, one line each."""
        log = self.hooks / "told"
        return log.read_text().splitlines() if log.exists() else []


@pytest.fixture
def robot(world: World) -> GatedRobot:
    """A robot with hooks, whose agent runs."""
    created = world.must("device", "create", "amr-1")
    robot = world.robots["amr-1"] = GatedRobot("amr-1", world.directory / "amr-1")
    robot.enrol(world.url, created["token"])
    robot.set_up()
    if world.kind == "mosquitto":
        world.broker.send(signal.SIGHUP)
    robot.start()
    wait("amr-1 is online", lambda: world.api("GET", "/v1/devices/amr-1").json()["online"])
    world.must("release", "create", "-f", str(EXAMPLE / "release.yaml"))
    return robot


def deploy(world: World, *more: str, config: str = "motion-control.yaml") -> str:
    return world.must("deploy", "amr-1", "--release", "1.4.0", *example_configs(config), *more)["id"]


def is_in_force(world: World, deployment: str) -> bool:
    return world.deployment(deployment)["status"] == "deployed"


@pytest.mark.slow
def test_every_gate_has_its_say(world: World, robot: GatedRobot) -> None:
    first = deploy(world)
    wait("the first is in force", lambda: is_in_force(world, first))
    assert robot.told() == [f"nav2 deployed {first}"]
    whole = robot.files()

    (robot.hooks / "moves").touch()
    second = deploy(world, config="motion-control-fast.yaml")
    wait("it is not safe", lambda: (world.deployment(second)["reason"] or {}).get("code") == "not_safe_now")
    assert "the arm moves" in world.deployment(second)["reason"]["message"]
    assert robot.files() == whole
    (robot.hooks / "moves").unlink()
    wait("the second is in force", lambda: is_in_force(world, second))
    fast = robot.files()
    assert fast != whole

    (robot.hooks / "sick").touch()
    third = deploy(world)
    wait("the third has failed", lambda: world.deployment(third)["error_status"] == "failed")
    assert world.deployment(third)["reason"]["code"] == "health_failed"
    assert world.deployment(third)["reason"]["message"].endswith("no lidar")
    wait("robot software was told", lambda: robot.told()[-1] == f"nav2 returned {second}")
    assert robot.files() == fast
    (robot.hooks / "sick").unlink()

    robot.door.hold("docking", "parking", 600)
    fourth = deploy(world)
    wait("it is held", lambda: (world.deployment(fourth)["waiting"] or {}).get("code") == "held")
    assert world.deployment(fourth)["waiting"]["message"] == "held by docking: parking"
    robot.door.release("docking")
    wait("the fourth is in force", lambda: is_in_force(world, fourth))
    assert robot.files() == whole

    victim = next(path for path in (robot.root / "current").rglob("*") if path.is_file())
    victim.write_bytes(b"tampered with")
    wait("it is healed", lambda: robot.files() == whole)
    assert robot.told()[-1] == f"nav2 deployed {fourth}"


@pytest.mark.slow
def test_a_robot_that_the_cloud_must_hear_of(world: World, robot: GatedRobot) -> None:
    first = deploy(world, "--confirm-within", "30s")
    wait("the first is in force", lambda: is_in_force(world, first))
    whole = robot.files()

    robot.door.hold("docking", "parking", 600)
    second = deploy(world, "--confirm-within", "4s", config="motion-control-fast.yaml")
    wait("it is held", lambda: (world.deployment(second)["waiting"] or {}).get("code") == "held")
    world.cloud.kill()
    robot.door.release("docking")
    wait("it is in sight", lambda: robot.files() not in ({}, whole))
    wait("it has returned", lambda: robot.files() == whole)
    world.cloud.start()
    wait("it has failed", lambda: world.deployment(second)["error_status"] == "failed")
    assert world.deployment(second)["reason"]["code"] == "cut_off"


@pytest.mark.slow
def test_a_hook_ends_with_its_agent(world: World, robot: GatedRobot) -> None:
    (robot.hooks / "hangs").touch()
    first = deploy(world)
    wait("the hook hangs", lambda: (robot.hooks / "pid").exists() and (robot.hooks / "pid").read_text() != "")
    hook = int((robot.hooks / "pid").read_text())
    robot.stop()
    with pytest.raises(ProcessLookupError):
        os.kill(hook, 0)

    (robot.hooks / "hangs").unlink()
    robot.start()
    wait("it is in force", lambda: is_in_force(world, first))
    assert robot.told() == [f"nav2 deployed {first}"]
