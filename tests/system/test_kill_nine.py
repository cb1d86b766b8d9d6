"""``kill -9`` of agent, cloud and broker at random moments: everything converges, nothing torn, nothing lost."""

from __future__ import annotations

import os
import random
import threading
import time
from pathlib import Path

import httpx
import pytest
from shallop_cloud.bench.robots import Robot
from system_world import World, wait

ROUNDS = 60
PARTS = ("a", "b", "c")
RELEASE = {
    "version": "1.0.0",
    "config_types": [
        {"name": part, "schema": "opaque", "format": "text", "path": f"{part}/{part}.txt"} for part in PARTS
    ],
}


class Reader:
    """Robot software that never stops reading: what it opens must be one deployment, or nothing yet."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.reads = 0
        self.torn: list[object] = []
        self._seen_whole = False

    def __enter__(self) -> Reader:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                tree = os.open(self._root / "current", os.O_RDONLY | os.O_DIRECTORY)
            except FileNotFoundError as error:
                if self._seen_whole:
                    self.torn.append(error)
                continue
            try:
                self._read(tree)
            finally:
                os.close(tree)

    def _read(self, tree: int) -> None:
        texts: set[str] = set()
        try:
            for part in PARTS:
                with os.fdopen(os.open(f"{part}/{part}.txt", os.O_RDONLY, dir_fd=tree)) as file:
                    texts.add(file.read())
        except FileNotFoundError:
            return  # taken off while it was read: the reader opens current again and sees the successor
        self.reads += 1
        self._seen_whole = True
        if len(texts) != 1:
            self.torn.append(texts)


def _order(world: World, name: str, number: int) -> str | None:
    """Orders content number so and so; the id if the cloud acknowledged it, None if it was not there to do so."""
    text = f"{name} {number}\n" * 200
    configs = [{"config_type": part, "content": text} for part in PARTS]
    body = {"device": name, "release": "1.0.0", "configs": configs, "description": str(number)}
    try:
        answer = world.api("POST", "/v1/deployments", json=body)
    except httpx.HTTPError:
        return None
    assert answer.status_code == 201, answer.text
    return answer.json()["id"]


@pytest.mark.slow
def test_everything_converges(world: World) -> None:
    seed = int(os.environ.get("SHALLOP_TEST_SEED", random.randrange(2**32)))
    print(f"SHALLOP_TEST_SEED={seed}")  # noqa: T201  pytest shows it when the test fails
    dice = random.Random(seed)
    robots = [world.add_robot("amr-1"), world.add_robot("amr-2")]
    assert world.api("POST", "/v1/releases", json=RELEASE).status_code == 201
    acknowledged: dict[str, list[str]] = {robot.name: [] for robot in robots}
    with Reader(robots[0].root) as first, Reader(robots[1].root) as second:
        for number in range(ROUNDS):
            for robot in robots:
                made = _order(world, robot.name, number)
                if made:
                    acknowledged[robot.name].append(made)
            time.sleep(dice.uniform(0, 0.3))  # the random moment
            victim = dice.choice([*robots, world.cloud, world.broker])
            victim.kill()
            victim.start()
        wait("the cloud serves again", lambda: world.api("GET", "/v1/health").status_code == 200)
        last = {robot.name: _order(world, robot.name, ROUNDS) for robot in robots}
        for robot in robots:
            acknowledged[robot.name].append(str(last[robot.name]))
            wait(
                f"the last deployment of {robot.name} is deployed",
                lambda robot=robot: world.deployment(str(last[robot.name]))["status"] == "deployed",
            )
            _check_settled(world, robot, acknowledged[robot.name])
    for reader in (first, second):
        assert reader.torn == []
        assert reader.reads > 0


def _check_settled(world: World, robot: Robot, acknowledged: list[str]) -> None:
    """What the cloud acknowledged is there; all but the last are archived; the disk holds the last alone, whole."""

    def settled() -> bool:
        known = {row["id"]: row for row in _all(world, robot.name)}
        assert known.keys() >= set(acknowledged), "an acknowledged deployment is lost"
        others = [row for key, row in known.items() if key != acknowledged[-1]]
        assert all(row["error_status"] == "none" for row in known.values()), known
        return all((row["target_status"], row["activity_status"]) == ("archived", "archived") for row in others)

    wait(f"all earlier deployments of {robot.name} are archived", settled)
    final = world.deployment(acknowledged[-1])
    texts = set(robot.files().values())
    assert texts == {f"{robot.name} {final['description']}\n".encode() * 200}
    wait("the disk holds one tree", lambda: len(list((robot.root / "deployments").iterdir())) == 1)
    wait("the device is in sync", lambda: world.api("GET", f"/v1/devices/{robot.name}").json()["in_sync"])


def _all(world: World, name: str) -> list[dict[str, str]]:
    rows: list[dict[str, str]] = []
    cursor: dict[str, str] = {}
    while True:
        page = world.api("GET", "/v1/deployments", params={"device": name, **cursor}).json()
        rows += page["data"]
        if not page["next_cursor"]:
            return rows
        cursor = {"cursor": page["next_cursor"]}


@pytest.mark.slow
def test_the_robot_keeps_its_files_while_everything_else_is_gone(world: World) -> None:
    robot = world.add_robot("amr-1")
    assert world.api("POST", "/v1/releases", json=RELEASE).status_code == 201
    made = str(_order(world, "amr-1", 1))
    wait("it is deployed", lambda: world.deployment(made)["status"] == "deployed")
    held = robot.files()
    world.cloud.kill()
    world.broker.kill()
    assert robot.files() == held
    robot.kill()
    assert robot.files() == held
    robot.start()
    wait("the agent is up, alone", lambda: "agent" in robot.log.read_text().splitlines()[-1], within=20)
    assert robot.is_running
    assert robot.files() == held
    world.broker.start()
    world.cloud.start()
    wait("the robot is heard again", lambda: world.api("GET", "/v1/devices/amr-1").json()["online"])
    assert world.deployment(made)["status"] == "deployed"
    assert robot.files() == held


@pytest.mark.slow
def test_a_broker_that_forgot_everything_is_told_again(world: World) -> None:
    """The order was out before the broker lost its store; the robot was off and hears of it all the same."""
    robot = world.add_robot("amr-1")
    assert world.api("POST", "/v1/releases", json=RELEASE).status_code == 201
    robot.kill()
    wait("it is offline", lambda: not world.api("GET", "/v1/devices/amr-1").json()["online"])
    made = str(_order(world, "amr-1", 1))
    world.broker.kill()
    world.broker.start()
    wait("the cloud is back on the broker", lambda: world.api("GET", "/v1/health").json()["broker_connected"])
    robot.start()
    wait("it is deployed", lambda: world.deployment(made)["status"] == "deployed")
