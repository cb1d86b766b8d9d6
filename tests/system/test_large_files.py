"""A map of 20 MB beside a small file: the agent is killed in the middle of it, and all of it comes, or nothing."""

from __future__ import annotations

import contextlib
import hashlib
import json
import random
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from shallop_cloud.bench.robots import Robot
from system_world import World, wait

pytestmark = pytest.mark.slow
SIZE = 20_000_000
KILLS = 4
LOST = 65_536
"""Bytes at most that the agent had read and not yet kept when it was killed."""
RELEASE = {
    "version": "1.0.0",
    "config_types": [
        {"name": "map", "schema": "opaque", "format": "text", "path": "maps/site.pgm"},
        {"name": "nav", "schema": "opaque", "format": "yaml", "path": "nav.yaml"},
    ],
}


class Tap:
    """The way from a robot to the cloud's API. It lets through what it may, and counts what the cloud sends."""

    def __init__(self, port: int) -> None:
        self.sent = 0
        self.allowed = 0
        self._port = port
        self._lock = threading.Condition()
        self._is_open = True
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def allow(self, more: int) -> None:
        with self._lock:
            self.allowed = self.sent + more
            self._lock.notify_all()

    def close(self) -> None:
        with self._lock:
            self._is_open = False
            self._lock.notify_all()
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                robot, _ = self._listener.accept()
                cloud = socket.create_connection(("127.0.0.1", self._port))
                threading.Thread(target=self._up, args=(robot, cloud), daemon=True).start()
                threading.Thread(target=self._down, args=(cloud, robot), daemon=True).start()

    def _up(self, robot: socket.socket, cloud: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := robot.recv(65_536):
                cloud.sendall(data)
            cloud.shutdown(socket.SHUT_WR)

    def _down(self, cloud: socket.socket, robot: socket.socket) -> None:
        with contextlib.suppress(OSError), cloud, robot:
            while data := cloud.recv(16_384):
                with self._lock:
                    self._lock.wait_for(lambda: self.sent < self.allowed or not self._is_open)
                    self.sent += len(data)
                robot.sendall(data)


@pytest.fixture
def tap(world: World) -> Iterator[Tap]:
    tap = Tap(int(world.url.rpartition(":")[2]))
    yield tap
    tap.close()


@pytest.fixture
def site(tmp_path: Path) -> Path:
    path = tmp_path / "site.pgm"
    path.write_bytes(b"P5 4000 5000 255\n\xff" + random.Random(1).randbytes(SIZE))
    return path


def deploy(world: World, site: Path, nav: str, *more: str) -> str:
    (world.directory / "nav.yaml").write_text(nav)
    configs = ["--config", f"map={site}", "--config", f"nav={world.directory / 'nav.yaml'}"]
    return world.must("deploy", "amr-1", "--release", "1.0.0", *configs, *more)["id"]


def test_a_map_comes_whole_though_its_agent_is_killed(world: World, tap: Tap, site: Path) -> None:
    assert world.api("POST", "/v1/releases", json=RELEASE).is_success
    created = world.must("device", "create", "amr-1")
    robot = world.robots["amr-1"] = Robot("amr-1", world.directory / "amr-1")
    tap.allow(100_000)
    robot.enrol(tap.url, created["token"])
    if world.kind == "mosquitto":
        world.broker.send(signal.SIGHUP)
    robot.start()
    key = deploy(world, site, "speed: 1\n")
    size = site.stat().st_size
    part = robot.state / "contents" / f"{hashlib.sha256(site.read_bytes()).hexdigest()}.part"
    begun = tap.sent
    for number in range(1, KILLS + 1):
        tap.allow(size // (KILLS + 1))
        wait("a part of it came", lambda: part.exists() and tap.sent >= tap.allowed)
        wanted = number * (size // (KILLS + 1)) - number * (LOST + 16_384)
        wait("it was kept", lambda least=wanted: part.stat().st_size >= least)
        robot.kill()
        assert not (robot.root / "current").exists()
        robot.start()
    tap.allow(10 * size)
    wait("it is in force", lambda: world.deployment(key)["status"] == "deployed")
    assert (robot.root / "current/maps/site.pgm").read_bytes() == site.read_bytes()
    assert tap.sent - begun < size + (KILLS + 1) * (LOST + 16_384)
    assert not list((robot.state / "contents").iterdir())

    served = tap.sent
    later = deploy(world, site, "speed: 2\n", "--wait")
    assert world.deployment(later)["status"] == "deployed"
    assert tap.sent == served, "a file that did not change is not fetched again"


def test_an_order_goes_and_a_report_comes_back_by_hand(world: World, tap: Tap, site: Path) -> None:
    assert world.api("POST", "/v1/releases", json=RELEASE).is_success
    created = world.must("device", "create", "amr-1")
    robot = Robot("amr-1", world.directory / "amr-1")
    tap.allow(100_000)
    robot.enrol(tap.url, created["token"])
    key = deploy(world, site, "speed: 1\n")
    assert world.run("bundle", "amr-1", "-o", "amr-1.shallop-bundle").code == 0
    world.broker.kill()
    tap.close()
    for command in (["apply-bundle", "amr-1.shallop-bundle"], ["report", "-o", "report.json"]):
        done = world.shallopd(*command, "--state", str(robot.state))
        assert done.code == 0, done
    assert (robot.root / "current/maps/site.pgm").read_bytes() == site.read_bytes()
    assert world.run("report", "amr-1", "report.json").code == 0
    assert world.deployment(key)["status"] == "deployed"
    assert json.loads((world.directory / "report.json").read_text())["current"] == key
