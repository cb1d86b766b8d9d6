"""The benchmarks of a whole fleet, small: that they run, clean up, and say what they promise. Not how fast it is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import system_world

BENCHMARKS = system_world.REPOSITORY / "benchmarks"
DEPLOY = {
    "robots", "broker", "connections", "seconds", "deployments_per_second", "p50_ms", "p99_ms", "settled_seconds",
    "cloud_cpu_ms_per_deployment", "cloud_cpu_ms_per_deployment_settled", "broker_cpu_ms_per_deployment",
    "robots_cpu_ms_per_deployment", "raw_seconds", "ratio_to_raw", "cloud_rss_mb", "load_before", "environment",
}  # fmt: skip

pytestmark = pytest.mark.slow


def _run(name: str, directory: Path, *options: str) -> dict[str, Any]:
    """The one JSON object on stdout of a benchmark that succeeds and leaves nothing behind."""
    done = subprocess.run(
        [sys.executable, str(BENCHMARKS / f"{name}.py"), *options, "--json"],
        env={**os.environ, "TMPDIR": str(directory)},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert list(directory.iterdir()) == []
    result = json.loads(done.stdout)
    assert result["benchmark"] == name
    return result


@pytest.mark.parametrize("broker", ["amqtt", pytest.param("mosquitto", marks=pytest.mark.mosquitto)])
def test_deploy(broker: str, tmp_path: Path) -> None:
    options = ["--robots", "20", "--repeat", "1", "--broker", broker, "--connections", "own", "--processes", "2"]
    result = _run("deploy", tmp_path, *options)
    assert result.keys() >= DEPLOY
    assert (result["robots"], result["broker"], result["connections"]) == (20, broker, "own")
    assert 0 < result["p50_ms"] <= result["p99_ms"] <= result["seconds"] * 1_000 + 1
    assert result["seconds"] <= result["settled_seconds"]
    assert result["raw_seconds"] > 0


@pytest.mark.mosquitto
def test_deploy_of_distinct_content(tmp_path: Path) -> None:
    result = _run("deploy", tmp_path, "--robots", "20", "--repeat", "1", "--distinct")
    assert result["distinct"] is True
    assert result["answered_seconds"] <= result["settled_seconds"]


@pytest.mark.mosquitto
def test_cold_start(tmp_path: Path) -> None:
    result = _run("cold_start", tmp_path, "--robots", "20")
    assert result["cloud"]["known_seconds"] >= result["cloud"]["half_known_seconds"] > 0
    assert result["wiped"]["settled_seconds"] >= result["wiped"]["deployed_seconds"] > 0
    assert result["reconnects"]["connections"] == 20
    assert 0.05 <= result["reconnects"]["highest_share_in_a_second"] <= 1
    assert all(result[part]["raw_seconds"] > 0 for part in ("cloud", "wiped", "reconnects"))


@pytest.mark.mosquitto
def test_growth(tmp_path: Path) -> None:
    result = _run("growth", tmp_path, "--robots", "20", "--known", "20", "60", "--repeat", "1")
    small, large = result["cases"]
    assert (small["known"], large["known"]) == (20, 60)
    assert small["ratio_seconds"] == 1.0
    assert large["database_bytes_per_new_device"] > 0
    assert small["database_bytes_per_new_device"] is None


@pytest.mark.parametrize("broker", ["amqtt", pytest.param("mosquitto", marks=pytest.mark.mosquitto)])
def test_footprint(broker: str, tmp_path: Path) -> None:
    result = _run("footprint", tmp_path, "--robots", "20", "--idle", "0.5", "--starts", "1", "--broker", broker)
    assert [case["known"] for case in result["cloud"]] == [0, 20]
    assert result["agent"]["rss_mb"] > 1
    assert result["agent"]["start_to_online_seconds"] > 0
    assert result["database_bytes_per_deployment"]["own_content"] > 0
    assert result["cloud_start_seconds"] > 0
