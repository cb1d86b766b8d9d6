"""Makes the generated part of docs/performance.md from what the benchmarks found.

``benchmarks/results/*.json`` holds one result each, as ``--json`` prints it; the names of the files do not matter.
Every goal, and by how much it was missed, is computed here.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

REPOSITORY = Path(__file__).resolve().parent.parent
RESULTS = REPOSITORY / "benchmarks" / "results"
PAGE = REPOSITORY / "docs" / "performance.md"
BEGIN = "<!-- The part from here on is generated: uv run python benchmarks/table.py -->"
END = "<!-- The generated part ends here. -->"

Result = Mapping[str, Any]  # Any: what JSON can say


@dataclasses.dataclass(frozen=True, slots=True)
class Goal:
    """A bound on one field of one benchmark's result.

    Attributes:
        where: what other fields of the result must be.
        field: its name; a dot leads into an object, or by a number into a list. The bound may be another field, times
            ``factor``.
    """

    words: str
    benchmark: str
    field: str
    kind: Literal["at most", "at least", "true"]
    bound: float | str = 0.0
    factor: float = 1.0
    unit: str = ""
    where: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def verdict(self, results: Sequence[Result]) -> tuple[str, str]:
        """What was measured, and *met* or by how much not."""
        result = next((each for each in results if self._fits(each)), None)
        value = None if result is None else field(result, self.field)
        if result is None or value is None:
            return "", "not measured"
        if self.kind == "true":
            return ("yes", "met") if value else ("no", "**not met**")
        bound = self.factor * (field(result, self.bound) if isinstance(self.bound, str) else self.bound)
        measured = f"{number(value)} {self.unit}".strip()
        if isinstance(self.bound, str):
            measured += f" (bound: {number(bound)} {self.unit})"
        if value <= bound if self.kind == "at most" else value >= bound:
            return measured, "met"
        word = "over" if self.kind == "at most" else "short"
        missed = abs(value - bound)
        return measured, f"**not met**: {word} by {number(missed)} {self.unit}".rstrip() + f", {missed / bound:.0%}"

    def _fits(self, result: Result) -> bool:
        return result["benchmark"] == self.benchmark and all(
            field(result, name) == value for name, value in self.where.items()
        )


FLEET = {"robots": 10_000, "broker": "mosquitto"}
GROWN = {"cases.0.known": 1_000, "cases.-1.known": 100_000}
GOALS = [
    Goal("10,000 robots re-configured on mosquitto in 5 s", "deploy", "seconds", "at most", 5, unit="s", where=FLEET),
    Goal("2,000 deployments a second", "deploy", "deployments_per_second", "at least", 2_000, unit="/s", where=FLEET),
    Goal(
        "0.4 ms of the cloud's CPU for a deployment, until it is complete",
        "deploy",
        "cloud_cpu_ms_per_deployment",
        "at most",
        0.4,
        unit="ms",
        where=FLEET,
    ),
    Goal(
        "the same, until its predecessor is gone as well",
        "deploy",
        "cloud_cpu_ms_per_deployment_settled",
        "at most",
        0.4,
        unit="ms",
        where=FLEET,
    ),
    Goal(
        "one robot, median: twice the floor",
        "latency",
        "p50_ms",
        "at most",
        "floor_p50_ms",
        2,
        unit="ms",
        where={"broker": "mosquitto"},
    ),
    Goal(
        "one robot, 99th percentile: five times the floor",
        "latency",
        "p99_ms",
        "at most",
        "floor_p99_ms",
        5,
        unit="ms",
        where={"broker": "mosquitto"},
    ),
    Goal(
        "cold start with 10,000 reports waiting: all known in 3 s",
        "cold_start",
        "cloud.known_seconds",
        "at most",
        3,
        unit="s",
        where=FLEET,
    ),
    Goal(
        "broker wiped, 10,000 robots not in sync: all deployed in 5 s",
        "cold_start",
        "wiped.deployed_seconds",
        "at most",
        5,
        unit="s",
        where=FLEET,
    ),
    Goal(
        "with 100,000 known devices a deployment takes 1.3 times as long as with 1,000",
        "growth",
        "cases.-1.ratio_seconds",
        "at most",
        1.3,
        unit="times",
        where=GROWN,
    ),
    Goal(
        "and 1.3 times the cloud's CPU",
        "growth",
        "cases.-1.ratio_cloud_cpu",
        "at most",
        1.3,
        unit="times",
        where=GROWN,
    ),
    Goal(
        "2 KB of the cloud's memory for a known device",
        "growth",
        "cases.-1.rss_bytes_per_device",
        "at most",
        2_048,
        unit="bytes",
        where=GROWN,
    ),
    *(
        Goal(
            f"any list, filter, page or act with 100,000 devices: 3 times as long as with 1,000, on {title}",
            "scale",
            "worst_ratio",
            "at most",
            3,
            unit="times",
            where={"engine": engine, "devices.1": 100_000},
        )
        for engine, title in {"sqlite": "SQLite", "postgresql": "PostgreSQL"}.items()
    ),
    Goal("the agent takes 40 MB of memory", "footprint_agent", "rss_mb", "at most", 40, unit="MB"),
    Goal("the agent is ready in 0.5 s", "footprint_agent", "start_to_ready_seconds", "at most", 0.5, unit="s"),
    Goal("the idle agent takes 0.1% of a core", "footprint_agent", "idle_cpu_percent", "at most", 0.1, unit="%"),
    Goal(
        "an idle robot: 1 MB of MQTT in 30 days, both ways",
        "idle_traffic",
        "standard.mqtt_mb",
        "at most",
        1,
        unit="MB",
    ),
    Goal(
        "an idle robot that pays for traffic: 1 MB in 30 days, headers of TCP and IP included",
        "idle_traffic",
        "metered.with_tcp_ip_mb",
        "at most",
        1,
        unit="MB",
    ),
    Goal("ahead of etcd and NATS in throughput", "peers", "shallop_ahead_in_throughput", "true"),
    Goal("ahead of etcd and NATS in the 99th percentile", "peers", "shallop_ahead_in_p99", "true"),
]

DEPLOY = {
    "robots": "robots",
    "broker": "broker",
    "seconds": "seconds",
    "deployments_per_second": "per second",
    "p50_ms": "p50 ms",
    "p99_ms": "p99 ms",
    "cloud_cpu_ms_per_deployment": "cloud CPU ms each",
    "settled_seconds": "settled s",
    "cloud_cpu_ms_per_deployment_settled": "cloud CPU ms each, settled",
    "raw_seconds": "messages alone s",
    "ratio_to_raw": "ratio",
}
LATENCY = {
    "broker": "broker",
    "count": "deployments",
    "p50_ms": "p50 ms",
    "p99_ms": "p99 ms",
    "from_call_p50_ms": "from the call, p50 ms",
    "from_call_p99_ms": "p99 ms",
    "floor_p50_ms": "floor p50 ms",
    "floor_p99_ms": "floor p99 ms",
    "ratio_p50": "ratio p50",
    "ratio_p99": "ratio p99",
    "fsyncs_per_deployment": "fsyncs",
}
PEER = {"robots": "robots", "seconds": "seconds", "per_second": "per second", "p50_ms": "p50 ms", "p99_ms": "p99 ms"}
SYSTEMS = {
    "shallop": "shallop, thin robots",
    "etcd": "etcd, thin robots",
    "nats": "NATS KV, thin robots",
    "shallop_agents": "shallop, real agents",
}


def field(result: Result, name: str) -> Any:
    """A field of a result, by its name with dots; None if it is not there."""
    value: Any = result
    for part in name.split("."):
        try:
            value = value[int(part)] if isinstance(value, list) else value[part]
        except (KeyError, IndexError, TypeError):
            return None
    return value


def number(value: Any) -> str:
    """A value as people read it: three digits that count, thousands apart."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return {True: "yes", False: "no", None: ""}.get(value, str(value))
    if isinstance(value, int) or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def generated(results: Sequence[Result]) -> str:
    """The generated part, without its markers."""
    parts = [_goals(results)]
    parts += _section("Whole fleets", _deploy(results))
    parts += _section("One robot", _latency(results))
    parts += _section("Beside etcd and NATS", _peers(results))
    for name, title in {"cold_start": "Cold start", "growth": "Growth", "footprint": "Footprint"}.items():
        parts += _section(title, "\n\n".join(_fields(each) for each in _of(results, name)))
    footprint = "\n\n".join(_fields(each) for each in _of(results, "footprint_agent"))
    parts += _section("The agent's footprint", footprint)
    parts += _section("Idle traffic", "\n\n".join(_fields(each) for each in _of(results, "idle_traffic")))
    parts += _section("Scale", _scale(results))
    parts += _section("Where this was measured", _environments(results))
    return "\n\n".join(parts)


def page(text: str, results: Sequence[Result]) -> str:
    """The page with its generated part made anew.

    Raises:
        ValueError: the markers are not there.
    """
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the markers are missing; the page must have the lines {BEGIN!r} and {END!r}")
    return f"{before}{BEGIN}\n\n{generated(results)}\n\n{END}{after}"


def read(directory: Path) -> list[Result]:
    """The results in a directory, in the order of their benchmarks and sizes."""
    results: list[Result] = [json.loads(path.read_text()) for path in sorted(directory.glob("*.json"))]
    return sorted(results, key=lambda each: (each["benchmark"], str(each.get("broker")), _size(each)))


def _size(result: Result) -> int:
    robots = result.get("robots")
    return robots if isinstance(robots, int) else 0


def _of(results: Sequence[Result], benchmark: str) -> list[Result]:
    return [each for each in results if each["benchmark"] == benchmark]


def _section(title: str, body: str) -> list[str]:
    return [f"### {title}", body] if body else []


def _goals(results: Sequence[Result]) -> str:
    rows = [(goal.words, *goal.verdict(results)) for goal in GOALS]
    return _rows(("goal", "measured", "verdict"), rows)


def _deploy(results: Sequence[Result]) -> str:
    found = sorted(_of(results, "deploy"), key=lambda each: (each["broker"] != "mosquitto", _size(each)))
    return _table(DEPLOY, found)


def _latency(results: Sequence[Result]) -> str:
    found = sorted(_of(results, "latency"), key=lambda each: each["broker"] != "mosquitto")
    if not found:
        return ""
    parts = list(found[0]["breakdown_ms"])
    shares = [
        (name.replace("_", " "), *(number(field(each, f"breakdown_ms.{name}")) for each in found)) for name in parts
    ]
    heads = ("where the time goes, median ms", *(each["broker"] for each in found))
    return f"{_table(LATENCY, found)}\n\n{_rows(heads, shares)}"


def _peers(results: Sequence[Result]) -> str:
    tables: list[str] = []
    for result in _of(results, "peers"):
        known = [(title, result[name]) for name, title in SYSTEMS.items() if name in result]
        rows = [
            (title, *(number(each.get(key)) for key in PEER), _parts(each["cpu_ms_each"]), each["does"])
            for title, each in known
        ]
        tables.append(_rows(("system", *PEER.values(), "CPU ms for a change", "what it does"), rows))
    return "\n\n".join(tables)


def _scale(results: Sequence[Result]) -> str:
    found = _of(results, "scale")
    if not found:
        return ""
    heads = [f"{each['engine']}, {number(size)} ms" for each in found for size in each["devices"]]
    heads = [head for pair in zip(heads[::2], heads[1::2], strict=True) for head in (*pair, "ratio")]
    cases = [{case["request"]: case for case in each["cases"]} for each in found]
    rows = [
        (name, *(number(each.get(name, {}).get(key)) for each in cases for key in ("small_ms", "large_ms", "ratio")))
        for name in dict.fromkeys(name for each in cases for name in each)
    ]
    return _rows(("request, median", *heads), rows)


def _parts(costs: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {number(cost)}" for name, cost in costs.items())


def _fields(result: Result) -> str:
    """Any result: its fields and their values, and a table of its own for each list of cases."""
    parts = [_rows(("what", "measured"), [(name, number(value)) for name, value in _flat(result)])]
    for name, value in result.items():
        if _is_cases(value):
            columns = {key: key for case in value for key in case}
            parts.append(f"{name}:\n\n{_table(columns, value)}")
    return "\n\n".join(parts)


def _flat(value: Mapping[str, Any], above: str = "") -> Iterable[tuple[str, Any]]:
    for name, each in value.items():
        if not above and name in ("benchmark", "environment", "load_before"):
            continue
        if isinstance(each, Mapping):
            yield from _flat(each, f"{above}{name}.")
        elif isinstance(each, list) and not _is_cases(each):
            yield f"{above}{name}", ", ".join(number(item) for item in each)
        elif not _is_cases(each):
            yield f"{above}{name}", each


def _is_cases(value: Any) -> bool:
    return isinstance(value, list) and any(isinstance(each, Mapping) for each in value)


def _environments(results: Sequence[Result]) -> str:
    lines: list[str] = []
    for result in results:
        around = result["environment"]
        versions = ", ".join(f"{name} {version}" for name, version in around["versions"].items())
        what = " ".join(str(result[key]) for key in ("benchmark", "broker", "robots") if key in result)
        load = " ".join(number(each) for each in around["load_before"])
        machine = f"{around['cpu']}, {around['cpus']} CPUs, Linux {around['kernel']}, Python {around['python']}"
        lines.append(f"| {what} | {around['date']} | {load} | {machine}, {around['filesystem']} | {versions} |")
    if not lines:
        return ""
    head = "| benchmark | date | load before | machine | versions |\n| --- | --- | --- | --- | --- |"
    return "\n".join([head, *lines])


def _table(columns: Mapping[str, str], results: Sequence[Result]) -> str:
    if not results:
        return ""
    return _rows(tuple(columns.values()), [tuple(number(each.get(key)) for key in columns) for each in results])


def _rows(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="change nothing; exit with 1 if the page is another")
    chosen = parser.parse_args(arguments)
    text = PAGE.read_text()
    made = page(text, read(RESULTS))
    if chosen.check and made != text:
        print(f"{PAGE} is not what {RESULTS} gives; run: uv run python benchmarks/table.py", file=sys.stderr)
        return 1
    if not chosen.check:
        PAGE.write_text(made)
    return 0


if __name__ == "__main__":
    sys.exit(main())
