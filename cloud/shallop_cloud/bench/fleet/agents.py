"""Robots of the bench that are real agents: a process each, with a disk, a clock and a network of its own."""

from __future__ import annotations

import contextlib
import dataclasses
import secrets
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from shallop_device import enrol, schema
from shallop_device.errors import AgentError

from shallop_cloud.bench.faults import Fault, Kind
from shallop_cloud.bench.fleet import launcher
from shallop_cloud.bench.fleet.api import Api, NewRobot
from shallop_cloud.bench.fleet.errors import BenchError
from shallop_cloud.bench.fleet.launcher import Spoiled
from shallop_cloud.bench.fleet.network import Network
from shallop_cloud.bench.robots import Robot

RESTART_AFTER_S = 1.0
"""How long a service manager waits before it starts an agent again that ended."""
NOTICED_WITHIN_S = 60.0
"""How long an agent may take to find that its database is not one."""
NOISE_BYTES = 16_384


Tell = Callable[[str], None]
ApiAt = Callable[[], Api]


@dataclasses.dataclass
class Agent(Robot):
    """One robot, whose machine can be spoiled."""

    device: str = ""
    wanted: bool = False
    back_at: float | None = None

    @property
    def spoiled(self) -> Path:
        """The file that says what is wrong with its machine."""
        return self.directory / "spoiled.json"

    @property
    def command(self) -> list[str]:
        """The real daemon, on spoiled ports."""
        return [sys.executable, "-m", launcher.__name__, str(self.state), str(self.spoiled)]

    @property
    def stdin(self) -> int:
        """The leash on which the launcher is."""
        return subprocess.PIPE

    def switch_on(self) -> None:
        """Starts its agent, which from now on is kept running."""
        self.wanted, self.back_at = True, None
        self.start()

    def lose_power(self, back_at: float) -> None:
        """Kills its agent until a moment of the monotonic clock."""
        self.wanted = False
        self.kill()
        self.back_at = back_at

    def in_force(self) -> str | None:
        """The deployment that its software reads."""
        with contextlib.suppress(OSError):
            return Path((self.root / "current").readlink()).name
        return None


class Agents:
    """The crew of real agents.

    Args:
        directory: each robot has a directory of its own in it.
        api_at: opens the cloud's API.
        network: where its network faults are.
        tell: hears what happens by itself and is worth a line.
    """

    def __init__(self, directory: Path, api_at: ApiAt, network: Network, tell: Tell) -> None:
        self._directory = directory
        self._api_at = api_at
        self._network = network
        self._tell = tell
        self._agents: dict[str, Agent] = {}
        self._lock = threading.RLock()

    def join(self, api: Api, names: Sequence[str]) -> None:
        """As the port says."""
        self._directory.mkdir(parents=True, exist_ok=True)
        made = api.make_robots(names)
        for each in made:
            self._agents[each.name] = Agent(each.name, self._directory / each.name, device=each.id.lower())

        def board(robot: NewRobot) -> None:
            agent = self._agents[robot.name]
            _enrol(agent, api.url, robot.token)
            agent.switch_on()

        with ThreadPoolExecutor(max_workers=4) as pool:
            list(pool.map(board, made))

    def stop(self) -> None:
        """As the port says."""
        with self._lock:
            for each in self._agents.values():
                each.wanted, each.back_at = False, None
            with ThreadPoolExecutor(max_workers=8) as pool:
                list(pool.map(Agent.stop, self._agents.values()))

    def fault(self, names: Sequence[str], fault: Fault) -> list[str]:
        """As the port says."""
        with self._lock:
            said = [self._spoil(self._agents[name], fault) for name in names]
            if fault.kind in (Kind.OFFLINE, Kind.SLOW, Kind.DUPLICATE, Kind.REORDER, Kind.HEAL):
                self._network.fault([self._agents[name].device for name in names], fault)
        return [line for line in said if line]

    def watch(self) -> None:
        """Gives power back that is due, and does what a service manager does for an agent that ended."""
        with self._lock:
            now = time.monotonic()
            for each in self._agents.values():
                if each.back_at is not None and now >= each.back_at:
                    each.switch_on()
                elif each.wanted and not each.is_running:
                    each.wanted, each.back_at = False, now + RESTART_AFTER_S
                    self._tell(f"the agent of {each.name} ended; it is started again; its log: {each.log}")

    def astray(self, wanted: Mapping[str, str | None]) -> dict[str, str]:
        """As the port says."""
        lines: dict[str, str] = {}
        for name, deployment in wanted.items():
            agent = self._agents[name]
            if not agent.is_running:
                lines[name] = "has no power" if agent.back_at is not None else "its agent does not run"
            elif (held := agent.in_force()) != deployment:
                lines[name] = f"has {held or 'nothing'} in force, not {deployment or 'nothing'}"
        return lines

    def files(self, name: str) -> dict[str, bytes]:
        """As the port says."""
        return self._agents[name].files()

    def robot(self, name: str) -> Agent:
        """One of them."""
        return self._agents[name]

    def status(self) -> dict[str, object]:
        """As the port says."""
        running = sum(each.is_running for each in self._agents.values())
        return {"kind": "agents", "processes": running, "without_power": len(self._agents) - running}

    def _spoil(self, agent: Agent, fault: Fault) -> str:
        now = time.monotonic()
        before = Spoiled.read(agent.spoiled)
        match fault.kind:
            case Kind.POWER_CUT:
                agent.lose_power(now + fault.seconds)
            case Kind.DISK_FULL:
                dataclasses.replace(before, full_until=now + fault.seconds).write(agent.spoiled)
            case Kind.CLOCK:
                dataclasses.replace(before, clock_offset_s=fault.seconds).write(agent.spoiled)
            case Kind.CORRUPT_STATE:
                return self._corrupt(agent)
            case Kind.HEAL:
                agent.spoiled.unlink(missing_ok=True)
                if agent.back_at is not None:
                    agent.switch_on()
            case _:
                pass
        return ""

    def _corrupt(self, agent: Agent) -> str:
        """Noise over the database; then what an operator does about an agent that refuses to start on it."""
        agent.lose_power(float("inf"))
        for suffix in ("-wal", "-shm"):
            (agent.state / f"{schema.FILE}{suffix}").unlink(missing_ok=True)
        (agent.state / schema.FILE).write_bytes(secrets.token_bytes(NOISE_BYTES))
        agent.start()
        end = time.monotonic() + NOTICED_WITHIN_S
        while agent.is_running:
            if time.monotonic() > end:
                raise BenchError(f"{agent.name} goes on with a database of noise; its log: {agent.log}")
            time.sleep(0.02)
        words = agent.log.read_text(errors="backslashreplace").rstrip().rpartition("\n")[2]
        agent.kill()
        shutil.rmtree(agent.state)
        with self._api_at() as api:
            _enrol(agent, api.url, api.renew_token(agent.name))
        agent.switch_on()
        return f"{agent.name} did not start on its corrupt state ({words}); it was enrolled anew with a renewed token"


def _enrol(agent: Agent, url: str, token: str) -> None:
    try:
        enrol.enrol(url, token, agent.state, agent.root)
    except AgentError as error:
        raise BenchError(f"{agent.name} could not enrol: {error}") from None
