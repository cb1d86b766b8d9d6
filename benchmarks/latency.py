"""How long a deployment to one robot takes, beside the least that it can take.

The real server, the real broker and the real agent are processes of their own, and the agent syncs to a real disk.
From the API's answer until an outside reader sees the deployment committed as ``deployed`` in the cloud's database;
in turns with the floor: a message of the same size out and back through the same broker, and the same fsyncs.
"""

from __future__ import annotations

import argparse
import dataclasses
import queue
import random
import sqlite3
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import harness
import latency_floor
from shallop_cloud.bench.robots import Robot, RobotError
from shallop_protocol import ids, messages, strict_json

EXAMPLE = harness.REPOSITORY / "examples" / "mobile-robot" / "configs"
POLL_S = 0.0005
"""How often the outside reader looks."""
GOAL_P50, GOAL_P99 = 2.0, 5.0
ROBOT = "amr-1"


@dataclasses.dataclass(frozen=True, slots=True)
class Sample:
    """Moments of one deployment, in seconds from just before the API call."""

    answered: float
    deployed: float
    published: float = 0.0
    reported: float = 0.0

    @property
    def latency(self) -> float:
        """From the API's answer to ``deployed``, committed."""
        return self.deployed - self.answered


class Fleet:
    """One robot, and what is deployed to it."""

    def __init__(self, system: harness.System, rng: random.Random) -> None:
        self.system = system
        self.release = system.make_release()
        created = system.must("POST", "/v1/devices", {"name": ROBOT, "labels": {}})
        self.device = created["id"]
        self.robot = Robot(ROBOT, system.directory / ROBOT)
        self.robot.enrol(system.url, created["token"])
        system.load_accounts()
        self._rng = rng
        self._count = 0
        self._reader = sqlite3.connect(f"{system.database.as_uri()}?mode=ro", uri=True, isolation_level=None)

    def start(self) -> None:
        """Starts the agent and waits until it is known to be online."""
        self.robot.start()
        harness.wait("the robot is online", lambda: self.system.must("GET", f"/v1/devices/{ROBOT}")["online"])

    def close(self) -> None:
        """Ends the agent."""
        self.robot.stop()
        self._reader.close()

    def deploy(self) -> tuple[float, float, float]:
        """Deploys once. Gives the moments before the call, of its answer, and when it was seen deployed."""
        self._count += 1
        body = {"device": ROBOT, "release": self.release, "configs": configs(self._count)}
        began = time.perf_counter()
        made = self.system.must("POST", "/v1/deployments", body)
        answered = time.perf_counter()
        query = "select 1 from history where deployment_id = ? and action = 'deployed'"
        end = answered + harness.WITHIN_S
        while not self._reader.execute(query, [made["id"]]).fetchone():
            if time.perf_counter() > end:
                raise harness.BenchmarkError(f"{made['id']} is not deployed; the agent's log: {self.robot.log}")
            time.sleep(POLL_S)
        return began, answered, time.perf_counter()

    def rest(self) -> None:
        """Waits until the earlier deployment is gone and everything is quiet, and then a little, never the same."""
        query = "select reported = generation and fallback is null from devices where id = ?"
        harness.wait(
            "cloud and robot agree", lambda: self._reader.execute(query, [self.device]).fetchone()[0], poll=0.002
        )
        time.sleep(0.02 + self._rng.random() * 0.03)


class Observer:
    """Hears what the broker carries of one robot, and notes when."""

    def __init__(self, system: harness.System, device: str) -> None:
        self._heard: queue.SimpleQueue[tuple[float, str, bytes]] = queue.SimpleQueue()
        topic = f"shallop/v1/{ids.on_wire(device)}/+"
        self._client = latency_floor.client(system, "observer", topic, self._note)
        while self._next(0.5):  # what is retained comes first
            pass

    def of(self) -> tuple[float, float]:
        """When the newest order and the first report that it is in force were heard."""
        published = 0.0
        while heard := self._next(harness.WITHIN_S):
            moment, topic, payload = heard
            if topic.endswith("/desired"):
                published = published or moment
            elif published and _says_deployed(payload):
                return published, moment
        raise harness.BenchmarkError("the robot did not report")

    def forget(self) -> None:
        """Drops what was heard so far."""
        while self._next(0.0):
            pass

    def close(self) -> None:
        """Ends the client."""
        self._client.disconnect()
        self._client.loop_stop()

    def _next(self, timeout: float) -> tuple[float, str, bytes] | None:
        try:
            return self._heard.get(timeout=timeout) if timeout else self._heard.get_nowait()
        except queue.Empty:
            return None

    def _note(self, message: Any) -> None:
        self._heard.put((time.perf_counter(), message.topic, bytes(message.payload)))


def _says_deployed(payload: bytes) -> bool:
    """Whether this is a report, and its newest deployment is in force."""
    said = strict_json.loads(payload, messages.MAX_REPORT_BYTES)
    known = said.get("deployments")
    return bool(known) and known[-1]["activity"] == "deployed"


def configs(number: int) -> list[dict[str, str]]:
    """The example robot's configuration; one value and one comment of it differ with every number."""
    speed = f"max_speed: {1 + number % 30 / 10}"
    motion = (EXAMPLE / "motion-control.yaml").read_text().replace("max_speed: 1.8", speed)
    assert speed in motion
    return [
        {"config_type": "motion-control", "content": f"# Change {number}\n{motion}"},
        {"config_type": "nav2", "content": (EXAMPLE / "nav2_params.yaml").read_text()},
        {"config_type": "site", "content": (EXAMPLE / "site.json").read_text()},
    ]


def contents() -> dict[str, str]:
    """The same, as files on the robot."""
    paths = ("motion/motion-control.yaml", "nav2/nav2_params.yaml", "site/site.json")
    return {path: each["content"] for path, each in zip(paths, configs(1), strict=True)}


def measure(system: harness.System, count: int, warm_up: int) -> dict[str, Any]:
    """Deploys so often, in turns with the floor, and says how long each took."""
    recipe = latency_floor.record(system.directory / "recorded", contents())
    replay = latency_floor.Replay(system.directory / "floor", recipe)
    trip = latency_floor.RoundTrip(system, recipe, replay)
    fleet = Fleet(system, random.Random(1))
    fleet.start()
    try:
        for _ in range(warm_up):
            fleet.deploy()
            fleet.rest()
            trip.once()
        agent = fleet.robot.pid
        assert agent is not None
        costs = [harness.cpu_seconds(pid) for pid in (system.cloud.pid, agent)]
        samples: list[Sample] = []
        floor: list[float] = []
        for number in range(count):
            began, answered, deployed = fleet.deploy()
            samples.append(Sample(answered - began, deployed - began))
            fleet.rest()
            floor.append(trip.once())
            if number % 50 == 49:
                harness.progress(f"{number + 1} of {count}")
        costs = [harness.cpu_seconds(pid) - cost for pid, cost in zip((system.cloud.pid, agent), costs, strict=True)]
        disk = _disk_alone(replay, max(20, count // 4))
        seen = _observed(fleet, max(20, count // 4))
    finally:
        fleet.close()
        trip.close()
        replay.close()
    return {
        **_result(samples, floor, recipe),
        "breakdown_ms": _breakdown(seen, disk),
        "cloud_cpu_ms_per_deployment": round(costs[0] * 1_000 / count, 2),
        "agent_cpu_ms_per_deployment": round(costs[1] * 1_000 / count, 2),
    }


def _disk_alone(replay: latency_floor.Replay, count: int) -> list[float]:
    took: list[float] = []
    for _ in range(count):
        began = time.perf_counter()
        replay.run()
        took.append(time.perf_counter() - began)
        replay.prepare()
    return took


def _observed(fleet: Fleet, count: int) -> list[Sample]:
    """Further deployments, with a client beside them that hears what the broker carries. It costs time itself, so
    these tell only where the time goes."""
    observer = Observer(fleet.system, fleet.device)
    seen: list[Sample] = []
    for _ in range(count):
        fleet.rest()
        observer.forget()
        began, answered, deployed = fleet.deploy()
        published, reported = observer.of()
        seen.append(Sample(answered - began, deployed - began, published - began, reported - began))
    observer.close()
    return seen


def _breakdown(seen: Sequence[Sample], disk: Sequence[float]) -> dict[str, float]:
    """Medians of each part, in milliseconds."""
    parts = {
        "api_call": [each.answered for each in seen],
        "answer_to_order_on_the_broker": [each.published - each.answered for each in seen],
        "order_to_report_on_the_broker": [each.reported - each.published for each in seen],
        "of_which_the_disk_alone": disk,
        "report_to_committed": [each.deployed - each.reported for each in seen],
    }
    return {name: round(statistics.median(values) * 1_000, 3) for name, values in parts.items()}


def _result(samples: Sequence[Sample], floor: Sequence[float], recipe: latency_floor.Recipe) -> dict[str, Any]:
    def in_ms(values: Sequence[float], percent: float) -> float:
        return round(harness.percentile(values, percent) * 1_000, 3)

    latencies = [each.latency for each in samples]
    whole = [each.deployed for each in samples]
    p50, p99 = in_ms(latencies, 50), in_ms(latencies, 99)
    floor_p50, floor_p99 = in_ms(floor, 50), in_ms(floor, 99)
    return {
        "count": len(samples),
        "p50_ms": p50,
        "p99_ms": p99,
        "from_call_p50_ms": in_ms(whole, 50),
        "from_call_p99_ms": in_ms(whole, 99),
        "floor_p50_ms": floor_p50,
        "floor_p99_ms": floor_p99,
        "ratio_p50": round(p50 / floor_p50, 2),
        "ratio_p99": round(p99 / floor_p99, 2),
        "goal_p50": p50 <= GOAL_P50 * floor_p50,
        "goal_p99": p99 <= GOAL_P99 * floor_p99,
        "fsyncs_per_deployment": recipe.syncs,
        "poll_ms": POLL_S * 1_000,
        "order_bytes": recipe.order_bytes,
        "report_bytes": recipe.report_bytes,
    }


def on_a_disk(path: Path) -> None:
    """Raises BenchmarkError if a path is in memory, where fsync costs nothing."""
    kind = harness.filesystem(path)
    if kind in ("tmpfs", "ramfs"):
        raise harness.BenchmarkError(f"{path} is on {kind}, where fsync does nothing; set TMPDIR to a disk")


def main(arguments: Sequence[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--broker", choices=["mosquitto", "amqtt"], default="mosquitto")
    parser.add_argument("--count", type=int, default=200, help="deployments that are measured (default: 200)")
    parser.add_argument("--warm-up", type=int, default=20, help="deployments before (default: 20)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    chosen = parser.parse_args(arguments)
    try:
        with harness.directory() as where:
            on_a_disk(where)
            with harness.system(where, chosen.broker) as system:
                result = measure(system, chosen.count, chosen.warm_up)
    except (harness.BenchmarkError, RobotError) as error:
        print(f"latency: {error}", file=sys.stderr)
        return 1
    harness.emit("latency", {"broker": chosen.broker, **result}, chosen.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
