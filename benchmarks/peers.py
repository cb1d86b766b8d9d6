"""The same job for shallop, etcd and NATS JetStream's key-value store, one after the other in one run.

One file of every robot changes. The clock runs from just before the operator's first call until the operator knows of
the last robot that it has the file on its disk. See the package ``peer`` for what each robot does.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import statistics
import sys
import time
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path
from typing import Any

import harness
from latency import on_a_disk
from shallop_cloud.bench.robots import RobotError

CONTENT = harness.REPOSITORY / "examples" / "mobile-robot" / "configs" / "motion-control.yaml"
DOES = {
    "shallop": "validates, signs, keeps history, retains; robots verify, report in full and write the file with 2 "
    "fsyncs; known when committed with fsync in the cloud's database, as an outside reader sees it",
    "shallop_agents": "the same with real agents, one process each: database, make-before-break, read back",
    "etcd": "one node, each write synced; transactions of 128 keys; robots watch a key each by gRPC, write the file "
    "with 2 fsyncs and put a key",
    "nats": "one node, buckets on disk, not synced at once; robots watch a key each, write the file with 2 fsyncs and "
    "put a key",
}


def contents(first: int, rounds: int) -> list[str]:
    """The example robot's file, different for each round in its first line, which robots of the peers repeat."""
    text = CONTENT.read_text()
    return [f"# Change {number}\n{text}" for number in range(first, first + rounds)]


class Meter:
    """CPU time of the parts of a system, by name, since it was made; the operator is this process alone."""

    def __init__(self, parts: Mapping[str, Sequence[int]]) -> None:
        self._parts = parts
        self._began = self._now()

    def each(self, count: int) -> dict[str, float]:
        """Milliseconds of each part for each of so many changes."""
        return {name: round((seconds - self._began[name]) * 1_000 / count, 2) for name, seconds in self._now().items()}

    def _now(self) -> dict[str, float]:
        parts = {name: sum(map(harness.cpu_seconds, pids)) for name, pids in self._parts.items()}
        return {**parts, "operator": time.process_time()}


def summary(rounds: Sequence[Sequence[float]], meter: Meter) -> dict[str, Any]:
    """Of the seconds of each robot in each round: the median round, and percentiles over all robots and rounds.

    The CPU time is that of all rounds, and of the first one that is not measured.
    """
    seconds = statistics.median(max(each) for each in rounds)
    every = [moment for each in rounds for moment in each]
    return {
        "robots": len(rounds[0]),
        "rounds": len(rounds),
        "seconds": round(seconds, 4),
        "per_second": round(len(rounds[0]) / seconds, 1),
        "p50_ms": round(harness.percentile(every, 50) * 1_000, 2),
        "p99_ms": round(harness.percentile(every, 99) * 1_000, 2),
        "cpu_ms_each": meter.each(len(rounds[0]) * (len(rounds) + 1)),
    }


def verdicts(results: dict[str, dict[str, Any]]) -> dict[str, bool]:
    """Whether shallop is ahead of both, on equal terms."""
    peers = [results["etcd"], results["nats"]]
    return {
        "shallop_ahead_in_throughput": all(results["shallop"]["per_second"] > each["per_second"] for each in peers),
        "shallop_ahead_in_p99": all(results["shallop"]["p99_ms"] < each["p99_ms"] for each in peers),
    }


@contextlib.contextmanager
def _thin(
    system: str, port: int, names: Sequence[str], where: Path, processes: int, more: dict[str, Any]
) -> Generator[list[int]]:
    """Thin robots that hear, while the block lasts; the ids of their processes."""
    from peer import robots

    with contextlib.ExitStack() as stack:
        programs = robots.processes(system, port, names, where, processes, more)
        for program in programs:
            stack.enter_context(harness.running(program, lambda program=program: robots.is_ready(program)))
        yield [program.pid for program in programs]


def _peer(system: str, names: Sequence[str], where: Path, processes: int, rounds: int) -> dict[str, Any]:
    import importlib

    module = importlib.import_module(f"peer.{system}")
    texts = [text.encode() for text in contents(0, rounds + 1)]
    with module.server(where) as (port, pid), _thin(system, port, names, where, processes, {}) as pids:
        meter = Meter({"server": [pid], "robots": pids})
        try:
            _, *measured = asyncio.run(module.Operator(port, names).run(texts))
        except TimeoutError as error:
            words = f"{system}: not every robot answered within {harness.WITHIN_S:.0f} s"
            raise harness.BenchmarkError(words) from error
        return summary(measured, meter)


def _shallop(names: Sequence[str], agents: int, where: Path, processes: int, rounds: int) -> dict[str, dict[str, Any]]:
    from peer import shallop

    results: dict[str, dict[str, Any]] = {}
    with harness.system(where, "mosquitto") as system:
        release = shallop.make_release(system)
        fleet = shallop.Fleet(system, names)
        own = {"cloud": [system.cloud.pid], "broker": [system.broker.pid]}
        with _thin("shallop", system.broker_port, names, where, processes, fleet.enrol()) as pids:
            meter = Meter({**own, "robots": pids})
            _, *measured = [fleet.change(release, text) for text in contents(0, rounds + 1)]
            results["shallop"] = summary(measured, meter)
        fleet.close()
        if agents:
            real = [f"real-{number}" for number in range(1, agents + 1)]
            with shallop.agents(system, real) as pids:
                fleet = shallop.Fleet(system, real)
                meter = Meter({**own, "robots": pids})
                _, *measured = [fleet.change(release, text) for text in contents(1_000, rounds + 1)]
                results["shallop_agents"] = summary(measured, meter)
                fleet.close()
    return results


def compare(robots: int, agents: int, processes: int, rounds: int, where: Path) -> dict[str, Any]:
    """The result of all systems."""
    names = [f"amr-{number}" for number in range(1, robots + 1)]
    results: dict[str, dict[str, Any]] = {}
    for system in ("etcd", "nats", "shallop"):
        harness.progress(f"{system}: {robots} robots, {rounds} rounds")
        (where / system).mkdir()
        if system == "shallop":
            results |= _shallop(names, agents, where / system, processes, rounds)
        else:
            results[system] = _peer(system, names, where / system, processes, rounds)
    described = {system: {**result, "does": DOES[system]} for system, result in results.items()}
    return {"robots": robots, "robot_processes": processes, **described, **verdicts(results)}


def main(arguments: Sequence[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--robots", type=int, default=200, help="thin robots of each system (default: 200)")
    parser.add_argument("--agents", type=int, default=10, help="real agents of shallop, beside those (default: 10)")
    parser.add_argument("--processes", type=int, default=2, help="that thin robots are spread over (default: 2)")
    parser.add_argument("--rounds", type=int, default=7, help="changes that are measured (default: 7)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    chosen = parser.parse_args(arguments)
    try:
        for program in ("mosquitto", "etcd", "nats-server"):
            harness.find(program)
        with harness.directory() as where:
            on_a_disk(where)
            result = compare(chosen.robots, chosen.agents, chosen.processes, chosen.rounds, where)
    except (harness.BenchmarkError, RobotError) as error:
        print(f"peers: {error}", file=sys.stderr)
        return 1
    harness.emit("peers", result, chosen.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
