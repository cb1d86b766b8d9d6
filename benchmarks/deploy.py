"""How long it takes to re-configure a whole fleet, beside the least that its messages take.

Every robot has a deployment, and all is settled. Then one call replaces it on all of them, with one value changed. The
time runs from just before the call until an outside reader of the cloud's database has seen every one committed as
``deployed``. The cloud, the broker and the simulated robots are processes of their own.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import fleet_raw
import fleet_rig
import harness


def main(arguments: Sequence[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--robots", type=int, default=1_000, help="how many (default: 1000)")
    parser.add_argument("--broker", choices=["mosquitto", "amqtt"], default="mosquitto")
    parser.add_argument(
        "--connections",
        choices=["shared", "own"],
        default="shared",
        help="a few under the cloud's account, or one for each robot (default: shared)",
    )
    parser.add_argument("--processes", type=int, default=1, help="over which the robots are spread (default: 1)")
    parser.add_argument("--repeat", type=int, default=3, help="of which the median is quoted (default: 3)")
    parser.add_argument("--distinct", action="store_true", help="other content for each robot, by a call for each")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    chosen = parser.parse_args(arguments)
    if min(chosen.robots, chosen.repeat, chosen.processes) < 1:
        parser.error("--robots, --repeat and --processes are at least 1")
    try:
        with harness.directory() as where, harness.system(where, chosen.broker) as system:
            result = measure(where, system, chosen)
    except (harness.BenchmarkError, fleet_raw.RawError) as error:
        print(f"deploy: {error}", file=sys.stderr)
        return 1
    harness.emit("deploy", result, chosen.json)
    return 0


def measure(where: Path, system: harness.System, chosen: argparse.Namespace) -> dict[str, Any]:
    """Deploys once to make everything known, then as often as was asked for, each time beside the raw messages."""
    load_before = round(os.getloadavg()[0], 2)
    with fleet_rig.rig(where, system, chosen.robots, chosen.connections, chosen.processes) as rig:
        order = rig.order_distinct if chosen.distinct else rig.order
        first = rig.wave(order)
        harness.progress(f"the first deployment: {first.seconds:.2f} s, settled after {first.settled:.2f} s")
        load = fleet_rig.raw_load(rig)
        waves: list[fleet_rig.Wave] = []
        raw: list[float] = []
        for number in range(1, chosen.repeat + 1):
            waves.append(rig.wave(order))
            raw.append(fleet_raw.seconds(fleet_rig.raw_load(rig)))
            words = f"{waves[-1].seconds:.2f} s, settled {waves[-1].settled:.2f} s, raw {raw[-1]:.2f} s"
            harness.progress(f"{number} of {chosen.repeat}: {words}")
        rss = harness.rss_bytes(system.cloud.pid)
    wave = sorted(waves, key=lambda each: each.seconds)[len(waves) // 2]
    raw_seconds = statistics.median(raw)
    return {
        "robots": chosen.robots,
        "broker": chosen.broker,
        "connections": chosen.connections,
        "processes": chosen.processes,
        "distinct": chosen.distinct,
        "repeat": chosen.repeat,
        "seconds": round(wave.seconds, 3),
        "seconds_each": [round(each.seconds, 3) for each in waves],
        "deployments_per_second": round(chosen.robots / wave.seconds),
        "p50_ms": round(harness.percentile(wave.seen, 50) * 1_000, 1),
        "p99_ms": round(harness.percentile(wave.seen, 99) * 1_000, 1),
        "answered_seconds": round(wave.answered, 3),
        "settled_seconds": round(wave.settled, 3),
        "raw_seconds": round(raw_seconds, 3),
        "raw_seconds_each": [round(each, 3) for each in raw],
        "ratio_to_raw": round(wave.seconds / raw_seconds, 2),
        **{f"{part}_cpu_ms_per_deployment": value for part, value in wave.cpu.items()},
        **{f"{part}_cpu_ms_per_deployment_settled": value for part, value in wave.cpu_settled.items()},
        "cloud_rss_mb": round(rss / 2**20, 1),
        "config_bytes": fleet_rig.config_bytes(),
        "order_bytes": load.order_bytes,
        "report_bytes": load.report_bytes,
        "poll_ms": fleet_rig.POLL_S * 1_000,
        "settled_poll_ms": fleet_rig.SETTLED_POLL_S * 1_000,
        "load_before": load_before,
    }


if __name__ == "__main__":
    sys.exit(main())
