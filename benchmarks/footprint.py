"""What shallop takes while nothing happens: memory, CPU, disk, and the time to start.

The cloud is looked at with ever more known devices, the agent as the real one on a real disk, and the broker beside
both. Disk is counted as the pages of the cloud's database and the files of the agent.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import fleet_raw
import fleet_rig
import harness
from shallop_cloud.bench.robots import Robot
from shallop_cloud.bench.simulated import provision

ROBOT = "amr-real"
DEPLOYED_TO = 1_000
"""Devices to which a deployment is made to see what one takes in the database; fewer if fewer are known."""
BATCH = 10_000


def main(arguments: Sequence[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--robots", type=int, nargs="+", default=[1_000, 10_000], help="known devices (default: 1000 10000)"
    )
    parser.add_argument("--broker", choices=["mosquitto", "amqtt"], default="amqtt")
    parser.add_argument("--idle", type=float, default=10.0, help="seconds for which CPU is counted (default: 10)")
    parser.add_argument("--starts", type=int, default=5, help="of which the median is quoted (default: 5)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    chosen = parser.parse_args(arguments)
    if min(chosen.robots) < 1 or chosen.starts < 1 or chosen.idle <= 0:
        parser.error("--robots and --starts are at least 1, and --idle is above 0")
    load_before = round(os.getloadavg()[0], 2)
    try:
        with harness.directory() as where, harness.system(where, chosen.broker) as system:
            result = measure(system, chosen)
    except (harness.BenchmarkError, fleet_raw.RawError) as error:
        print(f"footprint: {error}", file=sys.stderr)
        return 1
    harness.emit("footprint", {**result, "load_before": load_before}, chosen.json)
    return 0


def measure(system: harness.System, chosen: argparse.Namespace) -> dict[str, Any]:
    """All of it, in one system that grows."""
    reader = fleet_rig.Reader(system.database)
    release = fleet_rig.make_release(system)
    empty = reader.bytes
    robot = Robot(ROBOT, system.directory / ROBOT)
    try:
        broker = at_rest(system.broker.pid, chosen.idle)
        cloud = [{"known": 0, **at_rest(system.cloud.pid, chosen.idle)}]
        known = 0
        for number in sorted(set(chosen.robots)):
            for start in range(known, number, BATCH):
                names = [f"amr-{position}" for position in range(start, min(start + BATCH, number))]
                provision(system.http, names)
            known = number
            cloud.append({"known": known, **at_rest(system.cloud.pid, chosen.idle)})
            harness.progress(f"{known} known: {cloud[-1]}")
        per_device = round((reader.bytes - empty) / known)
        per_deployment = database_bytes_per_deployment(system, reader, release, min(known, DEPLOYED_TO))
        agent = real_agent(system, robot, release, chosen)
        starts = [start_cloud(system) for _ in range(chosen.starts)]
    finally:
        robot.stop()
        reader.close()
    return {
        "broker": chosen.broker,
        "cloud": cloud,
        "broker_at_rest": broker,
        "agent": agent,
        "cloud_start_seconds": round(statistics.median(starts), 3),
        "cloud_start_known": known + 1,  # and the real robot
        "database_bytes_empty": empty,
        "database_bytes_per_device": per_device,
        "database_bytes_per_deployment": per_deployment,
        "config_bytes": fleet_rig.config_bytes(),
        "idle_seconds": chosen.idle,
    }


def real_agent(system: harness.System, robot: Robot, release: str, chosen: argparse.Namespace) -> dict[str, Any]:
    """One robot's real agent, with a deployment in force: what it takes, and how long it takes to be online."""
    created = system.must("POST", "/v1/devices", {"name": ROBOT, "labels": {}})
    robot.enrol(system.url, created["token"])
    system.load_accounts()
    starts: list[float] = []
    for _ in range(chosen.starts):
        robot.stop()
        _wait_online(system, False)
        began = time.perf_counter()
        robot.start()
        _wait_online(system, True)
        starts.append(time.perf_counter() - began)
    sizes: list[int] = []
    for number in range(2):
        body = {"device": ROBOT, "release": release, "configs": fleet_rig.configs(number)}
        made = system.must("POST", "/v1/deployments", body)["id"]
        path = f"/v1/deployments/{made}"
        harness.wait("it is deployed", lambda path=path: system.must("GET", path)["status"] == "deployed")
        harness.wait("the earlier one is gone", lambda: len(list((robot.root / "deployments").iterdir())) == 1)
        sizes.append(_disk_bytes(robot.state) + _disk_bytes(robot.root))
    pid = robot.pid
    assert pid is not None
    return {
        **at_rest(pid, chosen.idle),
        "start_to_online_seconds": round(statistics.median(starts), 3),
        "state_bytes": _disk_bytes(robot.state),
        "deployment_bytes": _disk_bytes(robot.root),
        "more_bytes_after_a_replacement": sizes[1] - sizes[0],
    }


def at_rest(pid: int, seconds: float) -> dict[str, float]:
    """Resident memory of a process, and the share of one CPU that it takes over so many seconds of quiet."""
    before = harness.cpu_seconds(pid)
    time.sleep(seconds)
    return {
        "rss_mb": round(harness.rss_bytes(pid) / 2**20, 1),
        "idle_cpu_percent": round((harness.cpu_seconds(pid) - before) / seconds * 100, 2),
    }


def database_bytes_per_deployment(
    system: harness.System, reader: fleet_rig.Reader, release: str, devices: int
) -> dict[str, int]:
    """What one deployment of 2 KB takes: with content that others have too, and with content of its own."""

    def grown(count: int, deploy: Callable[[], None]) -> int:
        before = reader.bytes
        deploy()
        return round((reader.bytes - before) / count)

    def same() -> None:
        names = [f"amr-{position}" for position in range(devices)]
        _deploy(system, release, names, 1)

    def distinct() -> None:
        for position in range(few):
            _deploy(system, release, [f"amr-{position}"], 2 + position)

    few = min(devices, 100)
    return {"same_content": grown(devices, same), "own_content": grown(few, distinct)}


def start_cloud(system: harness.System) -> float:
    """Seconds until the cloud answers, started anew on what it knows."""
    system.cloud.end()
    began = time.perf_counter()
    system.cloud.start()
    harness.wait("the cloud serves", lambda: system.http.get("/v1/health").is_success, poll=0.005)
    return time.perf_counter() - began


def _deploy(system: harness.System, release: str, names: Sequence[str], number: int) -> None:
    configs = fleet_rig.configs(number)
    body = {"devices": names, "release": release, "configs": configs, "description": "", "staged": False}
    problems = [item["problem"] for item in system.must("POST", "/v1/deployments:batch", body)["data"]]
    if any(problems):
        raise harness.BenchmarkError(f"a deployment was refused: {next(filter(None, problems))}")


def _wait_online(system: harness.System, online: bool) -> None:
    path = f"/v1/devices/{ROBOT}"
    harness.wait(f"online is {online}", lambda: system.must("GET", path)["online"] is online, poll=0.005)


def _disk_bytes(directory: Path) -> int:
    """What the files below a directory take on the disk, in whole blocks; those that go meanwhile count nothing."""
    total = 0
    for path in directory.rglob("*"):
        try:
            total += path.lstat().st_blocks * 512
        except FileNotFoundError:
            continue
    return total


if __name__ == "__main__":
    sys.exit(main())
