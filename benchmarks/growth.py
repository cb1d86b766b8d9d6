"""Whether a deployment costs more because more devices are known: the same robots, ever more silent ones beside them.

The robots that take part are re-configured as in ``deploy.py``, while further devices are made and enrolled that never
connect. Quoted are time and the cloud's CPU for each deployment, the cloud's memory, and the size of its database.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import fleet_raw
import fleet_rig
import harness
from shallop_cloud.bench.simulated import provision

BATCH = 10_000


def main(arguments: Sequence[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--robots", type=int, default=1_000, help="that are re-configured (default: 1000)")
    parser.add_argument(
        "--known",
        type=int,
        nargs="+",
        default=[1_000, 10_000, 100_000],
        help="how many devices are known, them included (default: 1000 10000 100000)",
    )
    parser.add_argument("--broker", choices=["mosquitto", "amqtt"], default="mosquitto")
    parser.add_argument("--repeat", type=int, default=3, help="of which the median is quoted (default: 3)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    chosen = parser.parse_args(arguments)
    if chosen.robots < 1 or chosen.repeat < 1 or min(chosen.known) < chosen.robots:
        parser.error("--robots and --repeat are at least 1, and the robots are among the --known")
    load_before = round(os.getloadavg()[0], 2)
    try:
        with harness.directory() as where, harness.system(where, chosen.broker) as system:
            cases = measure(where, system, chosen)
    except (harness.BenchmarkError, fleet_raw.RawError) as error:
        print(f"growth: {error}", file=sys.stderr)
        return 1
    result = {
        "robots": chosen.robots,
        "broker": chosen.broker,
        "repeat": chosen.repeat,
        "cases": cases,
        "poll_ms": fleet_rig.POLL_S * 1_000,
        "load_before": load_before,
    }
    harness.emit("growth", result, chosen.json)
    return 0


def measure(where: Path, system: harness.System, chosen: argparse.Namespace) -> list[dict[str, Any]]:
    """One case for each number of known devices, from the fewest to the most."""
    cases: list[dict[str, Any]] = []
    first_rss = 0
    with fleet_rig.rig(where, system, chosen.robots, "shared") as rig:
        rig.wave(rig.order)
        known = chosen.robots
        for number in sorted(set(chosen.known)):
            grown = grow(rig, known, number)
            known = number
            waves = sorted((rig.wave(rig.order) for _ in range(chosen.repeat)), key=lambda wave: wave.seconds)
            wave = waves[len(waves) // 2]
            case = {
                "known": known,
                "seconds": round(wave.seconds, 3),
                "settled_seconds": round(wave.settled, 3),
                "cloud_cpu_ms_per_deployment": wave.cpu["cloud"],
                "cloud_cpu_ms_per_deployment_settled": wave.cpu_settled["cloud"],
                **grown,
            }
            rss = harness.rss_bytes(system.cloud.pid)
            first, first_rss = (cases[0], first_rss) if cases else (case, rss)
            case["cloud_rss_mb"] = round(rss / 2**20, 1)
            more = known - first["known"]
            case["rss_bytes_per_device"] = round((rss - first_rss) / more) if more else None
            case["ratio_seconds"] = round(case["seconds"] / first["seconds"], 2)
            case["ratio_cloud_cpu"] = ratio(case, first, "cloud_cpu_ms_per_deployment_settled")
            cases.append(case)
            harness.progress(f"{known} known: {case}")
    return cases


def grow(rig: fleet_rig.Rig, known: int, number: int) -> dict[str, Any]:
    """Makes silent devices until so many are known: what is on the disk then, and what each of them took."""
    size = rig.reader.bytes
    for start in range(known, number, BATCH):
        more = range(start, min(start + BATCH, number))
        provision(rig.system.http, [f"silent-{position}" for position in more], {"fleet": "silent"})
    new_size, more = rig.reader.bytes, number - known
    return {
        "database_mb": round(new_size / 2**20, 2),
        "database_bytes_per_new_device": round((new_size - size) / more) if more else None,
    }


def ratio(case: dict[str, Any], first: dict[str, Any], field: str) -> float | None:
    """How much more than in the first case; None where that is too little for the kernel's clock to count."""
    return round(case[field] / first[field], 2) if first[field] else None


if __name__ == "__main__":
    sys.exit(main())
