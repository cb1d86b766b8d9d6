"""``shallop demo``: the whole way, for real, on one machine.

Nothing here is staged for show: the broker, the cloud and the agents are those that a fleet runs, each step waits for
what the cloud recorded, and the demo fails if anything did not truly happen.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol

import httpx
from shallop_protocol.topics import Topics

from shallop_cloud import configs, server
from shallop_cloud.bench import embedded
from shallop_cloud.bench.robots import Robot

EXAMPLE = Path(__file__).with_name("mobile-robot")
"""The example robot that ships with shallop."""
WITHIN_S = 30.0
"""How long any step may take."""

Json = dict[str, Any]  # Any: a JSON object of the API


class DemoError(Exception):
    """Something that was to be shown did not happen."""


@dataclasses.dataclass(frozen=True, slots=True)
class Row:
    """What the live table shows of one robot."""

    robot: str
    online: bool
    deployment: str
    status: str
    previous: str
    previous_status: str
    max_speed: str


class Screen(Protocol):
    """Where the demo says what it does."""

    def say(self, text: str) -> None:
        """A step begins, or something was seen."""

    def show(self, rows: Sequence[Row]) -> None:
        """The fleet may have changed."""


class Fleet:
    """The running demo: a server with its broker, and robots."""

    def __init__(self, running: server.Running, robots: Sequence[Robot], screen: Screen) -> None:
        self.running = running
        self.robots = {robot.name: robot for robot in robots}
        self.screen = screen
        self._http = httpx.Client(
            base_url=running.url, headers={"Authorization": f"Bearer {running.token}"}, timeout=WITHIN_S
        )

    def close(self) -> None:
        """Stops the robots."""
        for robot in self.robots.values():
            robot.stop()
        self._http.close()

    def get(self, path: str, **query: str) -> Json:
        """What the API shows at a path."""
        answer = self._http.get(path, params=query)
        answer.raise_for_status()
        return answer.json()

    def post(self, path: str, body: object) -> httpx.Response:
        """The API's answer to an act."""
        return self._http.post(path, json=body)

    def join(self, name: str) -> None:
        """Makes a device, enrols its robot and starts the agent."""
        created = self.post("/v1/devices", {"name": name, "labels": {"site": "demo"}})
        created.raise_for_status()
        self.robots[name].enrol(self.running.url, created.json()["token"])
        self.robots[name].start()

    def deploy(self, name: str, version: str, files: Mapping[str, Path]) -> httpx.Response:
        """Asks for a deployment of these files, by config type."""
        contents = [{"config_type": key, "content": _text(path)} for key, path in files.items()]
        return self.post("/v1/deployments", {"device": name, "release": version, "configs": contents})

    def deployments(self, name: str) -> list[Json]:
        """A robot's deployments, newest first."""
        return self.get("/v1/deployments", device=name)["data"]

    def rows(self) -> list[Row]:
        """The fleet as it is known now."""
        rows: list[Row] = []
        for name, robot in self.robots.items():
            known = self.deployments(name)
            newest, previous = [*known, None, None][:2]
            rows.append(
                Row(
                    robot=name,
                    online=self.get(f"/v1/devices/{name}")["online"],
                    deployment=newest["id"] if newest else "",
                    status=newest["status"] if newest else "",
                    previous=previous["id"] if previous else "",
                    previous_status=previous["status"] if previous else "",
                    max_speed=_max_speed(robot),
                )
            )
        return rows

    def wait(self, what: str, holds: Callable[[], bool]) -> None:
        """Watches the fleet until something is so.

        Raises:
            DemoError: it is not, within the bound.
        """
        end = time.monotonic() + WITHIN_S
        while True:
            self.screen.show(self.rows())
            if holds():
                return
            if time.monotonic() > end:
                logs = ", ".join(str(robot.log) for robot in self.robots.values())
                raise DemoError(f"after {WITHIN_S:.0f} s it is still not so that {what}; the agents' logs: {logs}")
            time.sleep(0.1)


def run(directory: Path, count: int, screen: Screen, linger: Callable[[Fleet], None]) -> None:
    """Runs the demo in a directory of its own.

    Args:
        count: how many robots, at least 1.
        linger: called at the end while everything still runs.

    Raises:
        DemoError: something did not happen.
        errors.StartupError: the server cannot start.
        robots.RobotError: a robot's agent cannot enrol.
    """
    with _fleet(directory, count, screen) as fleet:
        _join(fleet)
        version = _release(fleet)
        _deploy_to_all(fleet, version)
        _change_one_value(fleet, version)
        _refuse(fleet, version)
        _offline_and_back(fleet, version)
        screen.show(fleet.rows())
        linger(fleet)


@contextlib.contextmanager
def _fleet(directory: Path, count: int, screen: Screen) -> Generator[Fleet]:
    settings = server.Settings(data=directory / "cloud", listen=("127.0.0.1", 0))
    start = functools.partial(embedded.broker, config=None, listen=("127.0.0.1", 0), topics=Topics())
    robots = [Robot(f"amr-{number}", directory / f"amr-{number}") for number in range(1, count + 1)]
    with server.run(settings, start) as running:
        screen.say(f"The cloud serves at {running.url}, with the broker at {running.broker}.")
        fleet = Fleet(running, robots, screen)
        try:
            yield fleet
        finally:
            fleet.close()


def _join(fleet: Fleet) -> None:
    names = list(fleet.robots)
    fleet.screen.say(f"{_robots(names)} enrol with one-time tokens and connect.")
    with ThreadPoolExecutor(max_workers=4) as pool:
        list(pool.map(fleet.join, names))
    fleet.wait("every robot is online", lambda: all(row.online for row in fleet.rows()))


def _release(fleet: Fleet) -> str:
    draft = configs.read_release(EXAMPLE / "release.yaml")
    _must(fleet.post("/v1/releases", draft.to_json()), 201, "the release is made")
    names = ", ".join(each.name for each in draft.config_types)
    fleet.screen.say(f"Release {draft.version} is made, with the config types {names}.")
    return draft.version


def _deploy_to_all(fleet: Fleet, version: str) -> None:
    files = _configs("motion-control.yaml")
    fleet.screen.say("Its configuration is validated, signed, published, and applied by every robot at one instant.")
    for name in fleet.robots:
        _must(fleet.deploy(name, version, files), 201, f"{name} gets a deployment")
    fleet.wait("every robot runs it", lambda: all(_runs(fleet, name, files) for name in fleet.robots))


def _change_one_value(fleet: Fleet, version: str) -> None:
    files = _configs("motion-control-fast.yaml")
    fleet.screen.say(
        "One value changes: max_speed. Each robot keeps the old files until it has confirmed the new ones."
    )
    for name in fleet.robots:
        _must(fleet.deploy(name, version, files), 201, f"{name} gets another deployment")

    def changed() -> bool:
        return all(
            _runs(fleet, name, files) and fleet.deployments(name)[1]["status"] == "archived" for name in fleet.robots
        )

    fleet.wait("every robot runs the new one and has taken off the old one", changed)
    seen: list[str] = []
    for name in fleet.robots:
        old = fleet.deployments(name)[1]["id"]
        seen = [entry["after"]["activity_status"] for entry in fleet.get(f"/v1/deployments/{old}/history")["data"][1:]]
        if seen[-2:] != ["removing", "archived"]:
            raise DemoError(f"{old} on {name} went {' -> '.join(seen)}, not removing -> archived at the end")
    fleet.screen.say(f"The old deployments went {' -> '.join(_without_repeats(seen))}.")


def _standing(fleet: Fleet, name: str) -> list[tuple[str, str]]:
    """Each deployment of a robot, and its status."""
    return [(each["id"], each["status"]) for each in fleet.deployments(name)]


def _refuse(fleet: Fleet, version: str) -> None:
    name = next(iter(fleet.robots))
    before = _standing(fleet, name)
    answer = fleet.deploy(name, version, _configs("motion-control-bad.yaml"))
    problem = _must(answer, 422, "the bad config is refused")
    if _standing(fleet, name) != before:
        raise DemoError(f"the refused config changed the deployments of {name}")
    fleet.screen.say("A config that breaks its schema is refused, and nothing changes:")
    for error in problem["errors"]:
        place = f"motion-control-bad.yaml:{error['line']}:{error['column']}"
        fleet.screen.say(f"  {place} {error['pointer']}: {error['message']}")


def _offline_and_back(fleet: Fleet, version: str) -> None:
    name = list(fleet.robots)[-1]
    robot = fleet.robots[name]
    files = _configs("motion-control.yaml")
    held = robot.files()
    fleet.screen.say(f"{name} loses its power.")
    robot.kill()
    fleet.wait(f"{name} is known to be offline", lambda: not fleet.get(f"/v1/devices/{name}")["online"])
    ordered = _must(fleet.deploy(name, version, files), 201, f"{name} gets a deployment while it is offline")
    fleet.wait(f"{ordered['id']} is queued", lambda: fleet.deployments(name)[0]["status"] == "queued")
    if robot.files() != held:
        raise DemoError(f"{name} lost its files while it was offline")
    fleet.screen.say(f"{ordered['id']} waits for it, queued. The robot still has its files. Now its power comes back.")
    robot.start()
    fleet.wait(f"{name} runs {ordered['id']}", lambda: _runs(fleet, name, files))


def _runs(fleet: Fleet, name: str, files: Mapping[str, Path]) -> bool:
    """Whether the cloud knows the robot's newest deployment to be in force, and the disk agrees byte for byte."""
    newest = fleet.deployments(name)[0]
    if newest["status"] != "deployed":
        return False
    expected = {each["path"]: files[each["config_type"]].read_bytes() for each in newest["config_instances"]}
    if fleet.robots[name].files() != expected:
        raise DemoError(f"{newest['id']} is reported deployed on {name}, and the files on its disk are others")
    return True


def _must(answer: httpx.Response, status: int, what: str) -> Json:
    if answer.status_code != status:
        raise DemoError(f"it is not so that {what}: {answer.status_code} {answer.text}")
    return answer.json()


def _configs(motion_control: str) -> dict[str, Path]:
    directory = EXAMPLE / "configs"
    return {
        "motion-control": directory / motion_control,
        "nav2": directory / "nav2_params.yaml",
        "site": directory / "site.json",
    }


def _text(path: Path) -> str:
    return path.read_bytes().decode()


def _max_speed(robot: Robot) -> str:
    for path, data in robot.files().items():
        for line in data.decode().splitlines():
            if path.startswith("motion") and line.strip().startswith("max_speed:"):
                return line.split(":", 1)[1].split("#")[0].strip()
    return ""


def _robots(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _without_repeats(words: Sequence[str]) -> list[str]:
    return [word for index, word in enumerate(words) if index == 0 or word != words[index - 1]]
