"""A fleet of simulated robots before a real cloud and a real broker, and an outside reader of the cloud's database."""

from __future__ import annotations

import contextlib
import dataclasses
import sqlite3
import time
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import fleet_raw
import harness
from shallop_cloud import configs as cloud_configs
from shallop_cloud.bench.simulated import FleetProcess, Roster, State, provision
from shallop_cloud.bench.simulated.roster import Connections

EXAMPLE = harness.REPOSITORY / "examples" / "mobile-robot"
TYPES = ("motion-control", "site")
"""The config types of the example that are deployed: 2 KB of YAML and JSON, comments included."""
ACTIVE = {"fleet": "active"}
"""The label of the robots that take part."""
POLL_S = 0.01
"""How often the outside reader looks for deployments."""
SETTLED_POLL_S = 0.05
WITHIN_S = 900.0
"""How long a whole fleet may take for anything."""

Json = dict[str, Any]  # Any: a JSON object of the API


@dataclasses.dataclass(frozen=True, slots=True)
class Cpu:
    """Seconds of user and system time of each part so far."""

    cloud: float
    broker: float
    robots: float

    def since(self, earlier: Cpu, count: int) -> dict[str, float]:
        """Milliseconds for each of ``count`` deployments since an earlier moment."""
        pairs = {
            "cloud": self.cloud - earlier.cloud,
            "broker": self.broker - earlier.broker,
            "robots": self.robots - earlier.robots,
        }
        return {part: round(seconds * 1_000 / count, 3) for part, seconds in pairs.items()}


@dataclasses.dataclass(frozen=True, slots=True)
class Wave:
    """One deployment to every robot.

    Attributes:
        seen: seconds from just before the API call until the reader saw each deployment committed as deployed.
        settled: seconds until every predecessor was archived and every robot in sync.
        cpu, cpu_settled: milliseconds of each part for each deployment, until either moment.
    """

    seen: Sequence[float]
    answered: float
    settled: float
    cpu: dict[str, float]
    cpu_settled: dict[str, float]

    @property
    def seconds(self) -> float:
        """Until the last one was deployed."""
        return self.seen[-1]


class Reader:
    """Reads what the cloud has committed, as any other process can."""

    def __init__(self, database: Path) -> None:
        self._database = sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True, isolation_level=None)
        self._last = 0
        self._deployed: set[str] = set()

    def close(self) -> None:
        """Lets go of the database."""
        self._database.close()

    def one(self, query: str, *values: object) -> Any:
        """The first column of the one row that a query gives."""
        return self._database.execute(query, values).fetchone()[0]

    def newly_deployed(self) -> int:
        """How many deployments were deployed since the last call. A deployment has further rows of that kind: it is
        still in force when its end is ordered."""
        query = "SELECT id, action, deployment_id FROM history WHERE id > ? ORDER BY id"
        known = len(self._deployed)
        for row, action, deployment in self._database.execute(query, [self._last]):
            self._last = row
            if action == "deployed":
                self._deployed.add(deployment)
        return len(self._deployed) - known

    def is_settled(self) -> bool:
        """Whether every unfinished deployment is in force, and every device has answered its newest order."""
        moving = "SELECT count(*) FROM deployments WHERE activity <> 'archived' AND activity <> 'deployed'"
        behind = "SELECT count(*) FROM devices WHERE reported <> generation"
        return self.one(moving) == 0 and self.one(behind) == 0

    @property
    def bytes(self) -> int:
        """The size of the database."""
        return self.one("PRAGMA page_count") * self.one("PRAGMA page_size")


class Rig:
    """A fleet that is known to a cloud, and connected."""

    def __init__(self, system: harness.System, reader: Reader, roster: Roster, parts: Sequence[FleetProcess]) -> None:
        self.system = system
        self.reader = reader
        self.roster = roster
        self.parts = parts
        self.release = make_release(system)
        self._changes = 0

    @property
    def robots(self) -> int:
        """How many they are."""
        return len(self.roster.robots)

    @property
    def names(self) -> list[str]:
        """What they are called."""
        return [seat.name for seat in self.roster.robots]

    def states(self) -> list[State]:
        """What each of the robots' processes says."""
        return [part.state() for part in self.parts]

    def wait_connected(self) -> None:
        """Waits until every robot is connected and its newest report acknowledged."""
        harness.wait(
            "every robot is connected and has said all",
            lambda: sum(min(state.connected, state.settled) for state in self.states()) == self.robots,
            WITHIN_S,
            poll=0.1,
        )

    def wait_settled(self) -> None:
        """Waits until the cloud and all robots agree and nothing is left over."""
        harness.wait("all is settled", self.reader.is_settled, WITHIN_S, poll=SETTLED_POLL_S)

    def cpu(self) -> Cpu:
        """What each part has cost so far."""
        return Cpu(
            harness.cpu_seconds(self.system.cloud.pid),
            harness.cpu_seconds(self.system.broker.pid) if self.system.broker.is_running else 0.0,
            sum(harness.cpu_seconds(part.pid) for part in self.parts if part.pid),
        )

    def order(self) -> None:
        """Orders the next change for every robot in one call, and returns when it is answered.

        Raises:
            harness.BenchmarkError: it was refused for the fleet, or for one of them.
        """
        self._changes += 1
        self._must_take({"labels": ACTIVE, "configs": configs(self._changes)})

    def order_distinct(self) -> None:
        """The same with other content for each robot: a call for each, four at a time."""
        self._changes += 1
        first = self._changes * self.robots

        def call(position: int) -> None:
            self._must_take({"devices": [self.names[position]], "configs": configs(first + position)})

        with ThreadPoolExecutor(max_workers=4) as pool:
            list(pool.map(call, range(self.robots)))

    def wave(self, order: Callable[[], None]) -> Wave:
        """Orders, and watches until all is settled."""
        count = self.robots
        assert self.reader.newly_deployed() == 0, "an earlier wave was not settled"
        seen: list[float] = []
        before = self.cpu()
        with ThreadPoolExecutor(max_workers=1) as pool:
            began = time.perf_counter()
            call = pool.submit(_timed, order)
            while len(seen) < count:
                time.sleep(POLL_S)
                new = self.reader.newly_deployed()
                moment = time.perf_counter() - began
                seen += [moment] * new
                if call.done():
                    call.result()
                if moment > WITHIN_S:
                    raise harness.BenchmarkError(f"{len(seen)} of {count} are deployed after {WITHIN_S:.0f} s")
            cpu = self.cpu()
            answered = call.result() - began
        self.wait_settled()
        settled = time.perf_counter() - began
        return Wave(seen, answered, settled, cpu.since(before, count), self.cpu().since(before, count))

    def _must_take(self, part: Json) -> None:
        body = {"release": self.release, "description": "", "staged": False, **part}
        items = self.system.must("POST", "/v1/deployments:batch", body)["data"]
        problems = [item["problem"] for item in items if item["problem"]]
        if problems:
            raise harness.BenchmarkError(f"{len(problems)} of {len(items)} were refused, the first: {problems[0]}")


def _timed(act: Callable[[], None]) -> float:
    """Acts; the moment of the end."""
    act()
    return time.perf_counter()


def configs(number: int) -> list[Json]:
    """The example robot's configuration; one value and one comment differ with every number."""
    motion = (EXAMPLE / "configs" / "motion-control.yaml").read_text()
    changed = motion.replace("max_speed: 1.8", f"max_speed: {1 + number % 8 / 10:.1f}")
    assert changed != motion
    return [
        {"config_type": "motion-control", "content": f"# Change {number}\n{changed}"},
        {"config_type": "site", "content": (EXAMPLE / "configs" / "site.json").read_text()},
    ]


def config_bytes() -> int:
    """Bytes of configuration in one deployment."""
    return sum(len(each["content"].encode()) for each in configs(1))


def make_release(system: harness.System) -> str:
    """Makes a release with the types that are deployed; gives its version."""
    draft = cloud_configs.read_release(EXAMPLE / "release.yaml")
    types = [each.to_json() for each in draft.config_types if each.name in TYPES]
    system.must("POST", "/v1/releases", {"version": draft.version, "config_types": types})
    return draft.version


def raw_load(rig: Rig) -> fleet_raw.Load:
    """As many messages, of the same sizes, on the same broker."""
    view = rig.parts[0].robot(rig.names[0])
    system = rig.system
    return fleet_raw.Load(
        system.broker_port, "cloud", system.cloud_password, rig.robots, view.order_bytes, view.report_bytes
    )


@contextlib.contextmanager
def rig(
    where: Path, system: harness.System, robots: int, connections: Connections, processes: int = 1
) -> Generator[Rig]:
    """Makes so many robots known to the cloud, and has them connected while the block lasts."""
    harness.progress(f"{robots} robots are made known to the cloud")
    names = [f"amr-{number}" for number in range(1, robots + 1)]
    roster = provision(system.http, names, ACTIVE, connections=connections)
    account = dataclasses.replace(roster.broker, username="cloud", password=system.cloud_password)
    roster = dataclasses.replace(roster, broker=account)
    system.load_accounts()
    parts: list[FleetProcess] = []
    reader = Reader(system.database)
    try:
        for number, share in enumerate(roster.split(processes), start=1):
            path = where / f"roster-{number}.json"
            share.write(path)
            part = FleetProcess(path, where / f"robots-{number}")
            parts.append(part)
            part.start()
        made = Rig(system, reader, roster, parts)
        made.wait_connected()
        yield made
    finally:
        for part in parts:
            part.kill()
        reader.close()
