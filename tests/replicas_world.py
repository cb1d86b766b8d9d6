"""Several servers on one PostgreSQL and one mosquitto, and robots, as processes on this machine."""

from __future__ import annotations

import shutil
import signal
import time
from pathlib import Path
from typing import Any

import httpx
from shallop_cloud.bench.robots import Robot
from system_world import SHALLOP, Process, free_port, mosquitto, wait

FIRST = "one"
SHARED = ("signing.key", "mqtt/cloud.password")
"""What is copied from the first server's data directory."""
STREAM_PAUSE_S = 0.05


class Server:
    """One of them, with a data directory of its own."""

    def __init__(self, name: str, world: World) -> None:
        self.name = name
        self.data = world.directory / name
        self._world = world
        self.url = f"http://127.0.0.1:{free_port()}"
        self.process = Process(self._command(), world.directory / f"{name}.log", world.directory)

    def _command(self) -> list[str]:
        command = [*SHALLOP, "serve", "--data", str(self.data), "--listen", self.url.removeprefix("http://")]
        command += ["--database", self._world.database, "--broker", f"mqtt://127.0.0.1:{self._world.port}"]
        return [*command, "--broker-protocol", "5"]

    def api(self, method: str, path: str, **arguments: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self._world.token}"}
        return httpx.request(method, self.url + path, headers=headers, timeout=30, **arguments)

    def must(self, method: str, path: str, body: object = None, **query: Any) -> Any:
        answer = self.api(method, path, json=body, params=query or None)
        assert answer.is_success, answer.text
        return answer.json()

    @property
    def health(self) -> dict[str, Any]:
        return self.must("GET", "/v1/health")

    def holds(self) -> bool:
        """Whether it holds the link and is connected to the broker."""
        return self.process.is_running and self.health["link"] == "holds" and self.health["broker_connected"]

    def order(self, robot: str, content: str) -> str | None:
        """Orders a content for a robot: the deployment's id, or None if the server was not there to acknowledge it."""
        configs = [{"config_type": "motion", "content": content}]
        try:
            answer = self.api("POST", "/v1/deployments", json={"device": robot, "release": "1.0.0", "configs": configs})
        except httpx.HTTPError:
            return None
        assert answer.status_code in (201, 503), answer.text
        return answer.json()["id"] if answer.status_code == 201 else None


class World:
    """Everything below one directory; ``database`` is the address of an empty PostgreSQL database."""

    def __init__(self, directory: Path, database: str) -> None:
        self.directory = directory
        self.database = database
        self.port = free_port()
        self.robots: dict[str, Robot] = {}
        self.servers = [Server(name, self) for name in (FIRST, "two")]
        broker = mosquitto(directory / FIRST, directory / "mosquitto", self.port)
        self.broker = Process(broker, directory / "broker.log", directory)

    def start(self) -> None:
        first, second = self.servers
        first.process.start()
        wait("the first server is up", lambda: first.api("GET", "/v1/health").is_success)
        for name in SHARED:
            copy = second.data / name
            copy.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            shutil.copy2(first.data / name, copy)
        self.broker.start()
        second.process.start()
        wait("the first server is connected", first.holds)
        wait("the second stands by", lambda: second.health["link"] == "stands_by" and second.health["status"] == "ok")

    @property
    def token(self) -> str:
        path = self.directory / FIRST / "admin.token"
        return path.read_text().strip() if path.exists() else ""

    def add_robot(self, name: str, server: Server) -> Robot:
        """A robot that enrols on this server."""
        created = server.must("POST", "/v1/devices", {"name": name})
        robot = self.robots[name] = Robot(name, self.directory / name)
        robot.enrol(server.url, created["token"])
        passwords = self.directory / FIRST / "mqtt" / "passwords"
        wait("the broker's file has it", lambda: created["id"].lower() in passwords.read_text(), within=5)
        self.broker.send(signal.SIGHUP)
        robot.start()
        wait(f"{name} is online", lambda: server.must("GET", f"/v1/devices/{name}")["online"])
        return robot

    def stop(self) -> None:
        for robot in self.robots.values():
            robot.kill()
        for server in self.servers:
            server.process.kill()
        self.broker.kill()


def seconds_until(server: Server, within: float) -> float:
    """How long it takes until a server holds the link."""
    began = time.monotonic()
    wait(f"{server.name} holds the link", server.holds, within=within)
    return time.monotonic() - began
