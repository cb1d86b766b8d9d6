"""The page about performance: every verdict is computed, and what is committed is what the results give."""

from __future__ import annotations

import copy
import json

import pytest
import table

ENVIRONMENT = {
    "date": "2026-11-24T12:00:00+00:00",
    "cpu": "A processor",
    "cpus": 2,
    "kernel": "6.1",
    "python": "3.11.7",
    "filesystem": "ext4",
    "load_before": [0.1, 0.2, 0.3],
    "versions": {"mosquitto": "2.0.11"},
}
LATENCY = {
    "benchmark": "latency",
    "broker": "mosquitto",
    "count": 200,
    "p50_ms": 6.0,
    "p99_ms": 30.0,
    "floor_p50_ms": 4.0,
    "floor_p99_ms": 5.0,
    "ratio_p50": 1.5,
    "ratio_p99": 6.0,
    "fsyncs_per_deployment": 11,
    "breakdown_ms": {"api_call": 3.0, "report_to_committed": 1.25},
    "environment": ENVIRONMENT,
}
DEPLOY = {
    "benchmark": "deploy",
    "broker": "mosquitto",
    "robots": 10_000,
    "seconds": 5.0,
    "deployments_per_second": 1_600.0,
    "cloud_cpu_ms_per_deployment": 0.3,
    "cloud_cpu_ms_per_deployment_settled": 0.5,
    "environment": ENVIRONMENT,
}
SYSTEM = {
    "robots": 200,
    "seconds": 0.2,
    "per_second": 1_000.0,
    "p50_ms": 100.0,
    "p99_ms": 190.0,
    "cpu_ms_each": {"server": 0.25, "robots": 1.0},
    "does": "it",
}
PEERS = {
    "benchmark": "peers",
    "robots": 200,
    "shallop": SYSTEM,
    "etcd": SYSTEM,
    "nats": SYSTEM,
    "shallop_ahead_in_throughput": True,
    "shallop_ahead_in_p99": False,
    "environment": ENVIRONMENT,
}
RESULTS = [DEPLOY, LATENCY, PEERS]


def verdicts(results) -> dict[tuple[str, str], tuple[str, str]]:
    return {(goal.benchmark, goal.field): goal.verdict(results) for goal in table.GOALS}


def test_a_goal_is_met_or_it_is_said_by_how_much_not():
    found = verdicts(RESULTS)

    assert found[("deploy", "seconds")] == ("5 s", "met")
    assert found[("deploy", "deployments_per_second")] == ("1,600 /s", "**not met**: short by 400 /s, 20%")
    assert found[("deploy", "cloud_cpu_ms_per_deployment")] == ("0.3 ms", "met")
    assert found[("deploy", "cloud_cpu_ms_per_deployment_settled")] == (
        "0.5 ms",
        "**not met**: over by 0.1 ms, 25%",
    )
    assert found[("latency", "p50_ms")] == ("6 ms (bound: 8 ms)", "met")
    assert found[("latency", "p99_ms")] == ("30 ms (bound: 25 ms)", "**not met**: over by 5 ms, 20%")
    assert found[("peers", "shallop_ahead_in_throughput")] == ("yes", "met")
    assert found[("peers", "shallop_ahead_in_p99")] == ("no", "**not met**")


@pytest.mark.parametrize("change", [{"robots": 1_000}, {"broker": "amqtt"}])
def test_only_the_run_that_a_goal_speaks_of_counts(change):
    assert verdicts([{**DEPLOY, **change}])[("deploy", "seconds")] == ("", "not measured")


def test_a_goal_may_speak_of_a_case_in_a_list():
    cases = [{"known": 1_000}, {"known": 100_000, "ratio_seconds": 1.4}]

    found = verdicts([{"benchmark": "growth", "cases": cases, "environment": ENVIRONMENT}])

    assert found[("growth", "cases.-1.ratio_seconds")] == ("1.4 times", "**not met**: over by 0.1 times, 8%")
    assert found[("growth", "cases.-1.ratio_cloud_cpu")] == ("", "not measured")


def test_what_was_not_measured_is_said_to_be_so():
    assert {verdict for _, verdict in verdicts([]).values()} == {"not measured"}


def test_the_page_shows_every_result_and_keeps_what_was_written_by_hand():
    text = f"before\n{table.BEGIN}\nof yesterday\n{table.END}\nafter\n"

    made = table.page(text, RESULTS)

    assert made.startswith(f"before\n{table.BEGIN}\n")
    assert made.endswith(f"{table.END}\nafter\n")
    assert "of yesterday" not in made
    assert "| 10,000 | mosquitto | 5 | 1,600 |" in made
    assert "| mosquitto | 200 | 6 | 30 |" in made
    assert "| api call | 3 |" in made
    assert "| etcd, thin robots | 200 | 0.2 | 1,000 | 100 | 190 | server 0.25, robots 1 | it |" in made
    assert "| deploy mosquitto 10000 | 2026-11-24T12:00:00+00:00 | 0.1 0.2 0.3 |" in made
    assert table.page(made, RESULTS) == made


def test_a_page_without_its_markers_is_refused():
    with pytest.raises(ValueError, match="markers are missing"):
        table.page("nothing", RESULTS)


def test_a_result_that_no_table_knows_is_shown_field_by_field(tmp_path):
    result = {
        "benchmark": "growth",
        "seconds_each": [1.25, 100_000],
        "cost": {"ms": 1.5},
        "cases": [{"known": 1_000, "rss": None}, {"known": 100_000, "ratio_seconds": 1.25}],
        "environment": ENVIRONMENT,
    }
    (tmp_path / "growth.json").write_text(json.dumps(result))

    made = table.generated(table.read(tmp_path))

    assert "| seconds_each | 1.25, 100,000 |" in made
    assert "| cost.ms | 1.5 |" in made
    assert "| known | rss | ratio_seconds |" in made
    assert "| 100,000 |  | 1.25 |" in made


def test_results_are_read_by_benchmark_and_size_whatever_their_files_are_called(tmp_path):
    for name, robots in (("a", 1_000), ("b", 1), ("c", 100)):
        (tmp_path / f"{name}.json").write_text(json.dumps({**copy.deepcopy(DEPLOY), "robots": robots}))

    assert [each["robots"] for each in table.read(tmp_path)] == [1, 100, 1_000]


def test_the_page_is_what_the_committed_results_give():
    text = table.PAGE.read_text()

    assert table.page(text, table.read(table.RESULTS)) == text, "run: uv run python benchmarks/table.py"
