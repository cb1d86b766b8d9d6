"""What readers of the API saw of deployments: forward along the table, whoever reads."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from shallop_protocol.statuses import STEPS, Activity, Error, Statuses, Target, may_become
from torture.history import History, Line
from torture.violation import Found


@dataclasses.dataclass(frozen=True, slots=True)
class Sight:
    """Someone read a deployment's statuses between two moments."""

    key: str
    statuses: Statuses
    begin: float
    end: float
    line: Line


def sights(history: History) -> Mapping[str, Sequence[Sight]]:
    """What was read of each deployment, in the order in which the readings were over."""
    found: dict[str, list[Sight]] = collections.defaultdict(list)
    for line in (*history.of("api"), *history.of("final")):
        rows = line["rows"].items() if line["kind"] == "api" else ((row["id"], row) for row in line["rows"])
        for key, row in rows:
            found[key].append(Sight(key, _statuses(row), line["begin"], line["end"], line))
    return {key: sorted(each, key=lambda sight: sight.end) for key, each in found.items()}


def never_back(history: History) -> Iterator[Found]:
    """What was read after something else had been read is the same, or lies ahead of it on the table; so in records."""
    for key, seen in sights(history).items():
        for place, later in enumerate(seen):
            if later.statuses not in STEPS:
                yield Found(f"{key} was read as {later.statuses}, which cannot be", (later.line,))
                continue
            for earlier in seen[:place]:
                if earlier.end < later.begin and not _ahead(earlier.statuses, later.statuses):
                    words = f"{key} was read as {earlier.statuses}, and then as {later.statuses}"
                    yield Found(words, (earlier.line, later.line))
    for final in history.finals.values():
        last: dict[str, Statuses] = {}
        for entry in final["entries"]:
            then = _statuses(entry["after"])
            now = last.get(entry["deployment"])
            if entry["before"] is not None and now != _statuses(entry["before"]):
                yield Found(f"the record of {entry['deployment']} goes on from {entry['before']}, not {now}", (final,))
            if now is not None and not _ahead(now, then):
                yield Found(f"{entry['deployment']} is recorded as {now}, and then as {then}", (final,))
            last[entry["deployment"]] = then


def merged(history: History) -> Iterator[Found]:
    """``status`` is the error unless there is none, else the activity, wherever it is shown."""
    for line in (*history.of("api"), *history.of("final")):
        for row in line["rows"].values() if line["kind"] == "api" else line["rows"]:
            if row["status"] != _statuses(row).merged:
                yield Found(f"{row['status']} is shown for {_statuses(row)}", (line,))


def _ahead(now: Statuses, then: Statuses) -> bool:
    return now == then or (now in STEPS and may_become(now, then))


def _statuses(row: Mapping[str, Any]) -> Statuses:
    return Statuses(Target(row["target"]), Activity(row["activity"]), Error(row["error"]))
