"""The benchmarks of one robot and of the peers run and say what they promise; their times are not looked at."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import system_world

BENCHMARKS = system_world.REPOSITORY / "benchmarks"


def run(name: str, *arguments: str) -> dict:
    done = subprocess.run(
        [sys.executable, str(BENCHMARKS / f"{name}.py"), *arguments, "--json"],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.slow
@pytest.mark.mosquitto
@pytest.mark.parametrize("broker", ["mosquitto", "amqtt"])
def test_the_latency_of_one_robot(broker):
    said = run("latency", "--broker", broker, "--count", "10", "--warm-up", "2")

    assert (said["benchmark"], said["broker"], said["count"]) == ("latency", broker, 10)
    assert said["fsyncs_per_deployment"] == 11
    for field in ("p50_ms", "p99_ms", "floor_p50_ms", "floor_p99_ms", "ratio_p50", "ratio_p99"):
        assert said[field] > 0
    assert said["goal_p50"] == (said["p50_ms"] <= 2 * said["floor_p50_ms"])
    assert set(said["breakdown_ms"]) == {
        "api_call",
        "answer_to_order_on_the_broker",
        "order_to_report_on_the_broker",
        "of_which_the_disk_alone",
        "report_to_committed",
    }


@pytest.mark.slow
@pytest.mark.mosquitto
def test_shallop_beside_its_peers():
    said = run("peers", "--robots", "20", "--agents", "2", "--rounds", "2")

    for system in ("shallop", "etcd", "nats"):
        assert said[system]["robots"] == 20
        for field in ("seconds", "per_second", "p50_ms", "p99_ms"):
            assert said[system][field] > 0
    assert said["shallop_agents"]["robots"] == 2
    assert said["shallop_ahead_in_throughput"] == all(
        said["shallop"]["per_second"] > said[peer]["per_second"] for peer in ("etcd", "nats")
    )
    assert said["shallop_ahead_in_p99"] == all(
        said["shallop"]["p99_ms"] < said[peer]["p99_ms"] for peer in ("etcd", "nats")
    )
