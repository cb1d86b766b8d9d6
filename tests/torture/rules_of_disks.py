"""What was found under ``current`` on robots' disks, held against what the cloud and the robots said of it."""

from __future__ import annotations

import collections
from collections.abc import Iterator, Mapping, Sequence

from torture import rules_of_statuses
from torture.history import History, Line
from torture.violation import Found

_WAS_IN_FORCE = ("deployed", "removing")


def proof(history: History) -> Iterator[Found]:
    """What is shown or reported as deployed had been found on the disk before, whole."""
    first = {key: lines[0] for key, lines in _found(history).items()}
    for key, seen in rules_of_statuses.sights(history).items():
        shown = next((sight for sight in seen if sight.statuses.activity.value in _WAS_IN_FORCE), None)
        if shown is not None and (key not in first or first[key]["begin"] > shown.end):
            yield Found(
                f"{key} was shown as deployed, and was not on the disk before", _with(shown.line, first.get(key))
            )
    told: set[str] = set()
    for line in history.of("report"):
        for entry in line["deployments"]:
            key = entry["id"]
            if entry["activity"] not in _WAS_IN_FORCE or key in told or key not in history.creates:
                continue
            told.add(key)
            if key not in first or first[key]["begin"] > line["at"]:
                yield Found(f"{key} was reported deployed, and was not on the disk before", _with(line, first.get(key)))
            elif entry["digest"] not in (None, history.digest(history.creates[key])):
                yield Found(f"{key} was reported deployed with another digest", (*history.creates[key].lines, line))


def whole(history: History) -> Iterator[Found]:
    """Whatever is found is exactly the set of files of one deployment of this device, under its own name."""
    for line in history.of("disk"):
        if line["tree"] is None:
            continue
        made = history.creates.get(_deployment(line))
        if len(line["marks"]) != 1:
            yield Found(f"{line['tree']} held files of {len(line['marks'])} contents", (line,))
        elif made is None or made.device != line["device"]:
            yield Found(f"{line['tree']} was found, which is no deployment of {line['device']}", (line,))
        elif history.digest(made) != line["digest"]:
            yield Found(f"{line['tree']} held other files than its deployment", (*made.lines, line))


def gone(history: History) -> Iterator[Found]:
    """What was known to be off the device is not found on it again."""
    ended: dict[str, tuple[float, Line]] = {}
    for key, seen in rules_of_statuses.sights(history).items():
        for sight in seen:
            if sight.statuses.activity.value == "archived":
                ended[key] = (sight.end, sight.line)
                break
    for line in history.of("report"):
        for entry in line["deployments"]:
            if entry["activity"] == "archived" and line["at"] < ended.get(entry["id"], (float("inf"), line))[0]:
                ended[entry["id"]] = (line["at"], line)
    for key, lines in _found(history).items():
        if key in ended:
            moment, proof_of_it = ended[key]
            again = next((line for line in lines if line["begin"] > moment), None)
            if again is not None:
                yield Found(f"{key} was off the device, and was found on it", (proof_of_it, again))


def kept(history: History) -> Iterator[Found]:
    """There is nothing under ``current`` only before the first deployment, and where a later order than that of what
    was there takes everything off.
    """
    named: dict[str, int] = {}
    cleared: dict[str, list[Line]] = collections.defaultdict(list)
    for line in history.of("order"):
        if line["deployment"] is None:
            cleared[line["device"]].append(line)
        else:
            named.setdefault(line["deployment"], line["generation"])
    held: dict[str, Line] = {}
    for line in sorted(history.of("disk"), key=lambda line: line["end"]):
        before = held.get(line["device"])
        if line["tree"] is not None:
            held[line["device"]] = line
        elif before is not None and before["end"] < line["begin"]:
            since = named.get(_deployment(before), 0)
            orders = cleared[line["device"]]
            if not any(order["generation"] > since and order["at"] < line["end"] for order in orders):
                yield Found(f"{line['device']} lost its configuration without an order", (before, line))


def _found(history: History) -> Mapping[str, Sequence[Line]]:
    """Where each deployment was found whole, in the order of moments."""
    found: dict[str, list[Line]] = collections.defaultdict(list)
    for line in history.of("disk"):
        if line["tree"] is not None:
            made = history.creates.get(_deployment(line))
            if made is not None and history.digest(made) == line["digest"]:
                found[_deployment(line)].append(line)
    return {key: sorted(lines, key=lambda line: line["begin"]) for key, lines in found.items()}


def _deployment(line: Line) -> str:
    """Of which deployment a tree is: its name, up to a dot."""
    return line["tree"].partition(".")[0]


def _with(line: Line, other: Line | None) -> tuple[Line, ...]:
    return (line,) if other is None else (line, other)
