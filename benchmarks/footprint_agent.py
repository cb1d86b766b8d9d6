"""What the real agent takes of a robot: memory, start-up, idle CPU, wake-ups, disk.

The agent runs as a service manager starts it, against a real mosquitto, with one deployment in force, its door open and
its files watched. It is ready when it says READY=1 (sd_notify). Wake-ups are the voluntary context switches of its
threads. Memory is resident memory after the quiet time; run it with --idle 3600 for that of an hour.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import re
import socket
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import harness
from shallop_device import testing
from shallop_protocol import strict_json

VARIABLES = {"MALLOC_ARENA_MAX": "2"}
"""As in packaging/shallopd.service."""
READY_WITHIN_S = 60.0
_NAME = re.compile(r"[A-Za-z0-9._-]*[A-Za-z0-9]")


def main(arguments: Sequence[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--starts", type=int, default=5, help="of which the median is quoted (default: 5)")
    parser.add_argument("--idle", type=float, default=60.0, help="seconds of quiet that are watched (default: 60)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    chosen = parser.parse_args(arguments)
    if chosen.starts < 1 or chosen.idle < 1:
        parser.error("--starts and --idle are at least 1")
    load_before = round(os.getloadavg()[0], 2)
    try:
        with harness.directory() as where:
            result = measure(where, chosen.starts, chosen.idle)
    except harness.BenchmarkError as error:
        print(f"footprint_agent: {error}", file=sys.stderr)
        return 1
    harness.emit("footprint_agent", {**result, "load_before": load_before}, chosen.json)
    return 0


def measure(where: Path, starts: int, idle: float) -> dict[str, Any]:
    """Starts it so many times; the last one is watched."""
    port = harness.free_port()
    _enrol(where, port)
    ready: list[float] = []
    with (
        harness.running(harness.mosquitto(where, port), lambda: harness.answers(port)),
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager,
    ):
        manager.bind(str(where / "notify"))
        manager.settimeout(READY_WITHIN_S)
        command = [*harness.SHALLOPD, "run", "--state", str(where / "state")]
        variables = {**VARIABLES, "NOTIFY_SOCKET": str(where / "notify")}
        agent = harness.Program("shallopd", command, where / "agent.log", variables)
        for _ in range(starts):
            agent.end()
            began = time.perf_counter()
            agent.start()
            _await(manager, b"READY=1")
            ready.append(time.perf_counter() - began)
            _await(manager, b"STATUS=connected")
        time.sleep(5.0)
        try:
            return {"start_to_ready_seconds": round(statistics.median(ready), 3), **at_rest(agent.pid, idle), **disk()}
        finally:
            agent.end()


def at_rest(pid: int, seconds: float) -> dict[str, Any]:
    """Memory, CPU and wake-ups of a process over so many seconds of quiet."""
    cpu, woken = harness.cpu_seconds(pid), wake_ups(pid)
    time.sleep(seconds)
    return {
        "rss_mb": round(harness.rss_bytes(pid) / 2**20, 1),
        "threads": len(list(Path(f"/proc/{pid}/task").iterdir())),
        "idle_cpu_percent": round((harness.cpu_seconds(pid) - cpu) / seconds * 100, 3),
        "wake_ups_per_second": round((wake_ups(pid) - woken) / seconds, 2),
        "idle_seconds": seconds,
    }


def wake_ups(pid: int) -> int:
    """Voluntary context switches of all threads so far."""
    total = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        lines = (task / "status").read_text().splitlines()
        total += sum(int(line.split()[1]) for line in lines if line.startswith("voluntary_ctxt_switches"))
    return total


def disk() -> dict[str, float]:
    """What the agent and all that it needs of Python take on the disk, byte code and metadata not counted."""
    needed, seen = ["shallop-device"], set[str]()
    total = 0
    while needed:
        name = needed.pop().lower().replace("_", "-")
        if name in seen:
            continue
        seen.add(name)
        try:
            found = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            continue  # of another platform or an older Python
        wanted = [each.partition(";")[0] for each in found.requires or [] if "extra ==" not in each]
        needed += [match[0] for each in wanted if (match := _NAME.match(each))]
        for file in found.files or []:
            path = Path(str(found.locate_file(file)))
            if path.is_file() and path.suffix != ".pyc":
                total += path.stat().st_size
    return {"packages": len(seen), "install_mb": round(total / 2**20, 1)}


def _await(manager: socket.socket, words: bytes) -> None:
    while not manager.recv(4096).startswith(words):
        pass


def _enrol(where: Path, port: int) -> None:
    shore = testing.Shore()
    robot = testing.Robot(where, shore)
    robot.boot()
    robot.take(shore.order(shore.manifest({"nav2/params.yaml": "speed: 1\n"})))
    robot.settle()
    robot.store.begin_enrolment("http://127.0.0.1", where / "root", "token")
    robot.store.finish_enrolment(strict_json.dumps(shore.answer(f"mqtt://127.0.0.1:{port}")))
    robot.store.close()


if __name__ == "__main__":
    sys.exit(main())
