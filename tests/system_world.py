"""The whole system as separate processes on this machine: a broker, the cloud, robots, and the commands."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
from shallop_cloud.bench.fleet.ports import free as free_port
from shallop_cloud.bench.robots import Robot
from shallop_cloud.brokers import kinds, rules
from shallop_protocol.topics import Topics

REPOSITORY = Path(__file__).resolve().parent.parent
EXAMPLE = REPOSITORY / "examples" / "mobile-robot"
ROBOTS = REPOSITORY.parent / "shared" / "robots"
SHALLOP = [sys.executable, "-c", "import sys; from shallop_cloud.cli import main; sys.exit(main())"]
SHALLOPD = [sys.executable, "-c", "import sys; from shallop_device.cli import main; sys.exit(main())"]
WITHIN_S = 60.0


def wait(what: str, holds: Callable[[], bool], within: float = WITHIN_S) -> None:
    """Waits for a condition, with a bound; what it raises on the way counts as not yet."""
    end = time.monotonic() + within
    last: Exception | None = None
    while time.monotonic() < end:
        try:
            if holds():
                return
            last = None
        except (httpx.HTTPError, KeyError, IndexError, FileNotFoundError) as error:
            last = error
        time.sleep(0.05)
    raise AssertionError(f"after {within} s it is still not so that {what}" + (f" ({last!r})" if last else ""))


def listens(port: int) -> bool:
    """Whether a port of 127.0.0.1 takes connections."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def find_mosquitto() -> str | None:
    """The broker's program; Debian puts it where only root looks."""
    return shutil.which("mosquitto", path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin"]))


def mosquitto(data: Path, out: Path, port: int) -> list[str]:
    """The command of a mosquitto for a data directory, as `shallop broker config mosquitto` sets it up."""
    program = find_mosquitto()
    assert program is not None
    plan = rules.Plan(data, out, Topics(), ("127.0.0.1", port))
    out.mkdir()
    for name, text in kinds.WRITERS["mosquitto"](plan).files.items():
        (out / name).write_text(text)
        (out / name).chmod(0o600)
    return [program, "-c", str(out / "mosquitto.conf")]


class Process:
    """A program with its output in a file."""

    def __init__(self, arguments: list[str], log: Path, cwd: Path) -> None:
        self._arguments = arguments
        self.log = log
        self._cwd = cwd
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._arguments, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self._cwd, start_new_session=True
            )

    def send(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)

    def end(self, number: signal.Signals = signal.SIGTERM) -> int | None:
        process, self._process = self._process, None
        if process is None:
            return None
        process.send_signal(number)
        try:
            return process.wait(timeout=15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise AssertionError(f"{self._arguments[-3:]} did not end; its log: {self.log}") from None

    def kill(self) -> None:
        self.end(signal.SIGKILL)


class World:
    """A broker of one kind, a cloud beside it, and robots; everything below one directory."""

    def __init__(self, directory: Path, kind: str) -> None:
        self.directory = directory
        self.kind = kind
        self.data = directory / "shallop-data"
        self.broker_port = free_port()
        self.url = f"http://127.0.0.1:{free_port()}"
        self.robots: dict[str, Robot] = {}
        address = f"mqtt://127.0.0.1:{self.broker_port}"
        listen = self.url.removeprefix("http://")
        serve = [*SHALLOP, "serve", "--data", str(self.data), "--listen", listen, "--broker", address]
        if kind == "mosquitto":
            serve += ["--broker-protocol", "5"]
        self.cloud = Process(serve, directory / "cloud.log", directory)
        self.broker = Process(self._broker(), directory / "broker.log", directory)

    def _broker(self) -> list[str]:
        if self.kind == "amqtt":
            listen = f"127.0.0.1:{self.broker_port}"
            passwords = self.data / "mqtt" / "passwords"
            return [
                *SHALLOP, "broker", "run", "--listen", listen, "--passwords", str(passwords), "--log-level", "warning",
            ]  # fmt: skip
        return mosquitto(self.data, self.directory / "mosquitto", self.broker_port)

    def start(self) -> None:
        """Cloud first: it makes the password file that the broker reads."""
        self.cloud.start()
        wait("the password file is made", (self.data / "mqtt" / "passwords").exists)
        self.broker.start()
        wait("the cloud serves", lambda: self.api("GET", "/v1/health").json()["broker_connected"])

    def stop(self) -> None:
        for robot in self.robots.values():
            robot.kill()
        self.cloud.kill()
        self.broker.kill()

    @property
    def token(self) -> str:
        return (self.data / "admin.token").read_text().strip()

    @property
    def monitor_password(self) -> str:
        return (self.data / "mqtt" / "monitor.password").read_text().strip()

    def api(self, method: str, path: str, **arguments: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.token}"}
        return httpx.request(method, self.url + path, headers=headers, timeout=30, **arguments)

    def run(self, *arguments: str, cwd: Path | None = None) -> Result:
        """A ``shallop`` command, as a person would run it."""
        environment = {**os.environ, "SHALLOP_URL": self.url, "SHALLOP_TOKEN": self.token, "NO_COLOR": "1"}
        return _run([*SHALLOP, *arguments], cwd or self.directory, environment)

    def shallopd(self, *arguments: str) -> Result:
        """A ``shallopd`` command, as a person would run it on a robot."""
        return _run([*SHALLOPD, *arguments], self.directory, dict(os.environ))

    def must(self, *arguments: str, cwd: Path | None = None) -> Any:
        """The JSON of a command that succeeds."""
        result = self.run(*arguments, "-o", "json", cwd=cwd)
        assert result.code == 0, result
        return json.loads(result.out)

    def add_robot(self, name: str) -> Robot:
        """Makes a device, enrols its robot, and starts the agent."""
        created = self.must("device", "create", name)
        robot = self.robots[name] = Robot(name, self.directory / name)
        robot.enrol(self.url, created["token"])
        if self.kind == "mosquitto":
            self.broker.send(signal.SIGHUP)
        robot.start()
        wait(f"{name} is online", lambda: self.api("GET", f"/v1/devices/{name}").json()["online"])
        return robot

    def deployment(self, key: str) -> dict[str, Any]:
        return self.api("GET", f"/v1/deployments/{key}").json()


@dataclasses.dataclass(frozen=True)
class Result:
    """What a command did."""

    code: int
    out: str
    err: str


def _run(command: list[str], cwd: Path, environment: dict[str, str]) -> Result:
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=120, check=False)
    return Result(done.returncode, done.stdout, done.stderr)


def example_configs(motion_control: str = "motion-control.yaml") -> list[str]:
    """The options that deploy the example robot's configuration."""
    files = {"motion-control": motion_control, "nav2": "nav2_params.yaml", "site": "site.json"}
    return [word for key, name in files.items() for word in ("--config", f"{key}={EXAMPLE / 'configs' / name}")]
