"""What operators did: acknowledged, refused, or without an answer; held against what is there and recorded at the end.

The cloud records every change of a device in one order, in groups that were made at once. That order is taken as a
claim: it must hold exactly the acknowledged acts and some of those without an answer, must not contradict the moments
at which operators asked and were answered, and replaying it must give what they expected to be current.
"""

from __future__ import annotations

import collections
from collections.abc import Iterator, Mapping, Sequence

from torture import replay
from torture.history import ANY, History, Line, Operation
from torture.violation import Found

_RANK = {"staged": 0, "deployed": 1, "archived": 2}


def acknowledged(history: History) -> Iterator[Found]:
    """Every acknowledged deployment is listed at the end, as it was made."""
    listed = {device: {row["id"]: row for row in final["rows"]} for device, final in history.finals.items()}
    for each in history.operations:
        if each.device not in listed or each.outcome != "ok" or each.key is None:
            continue
        row, final = listed[each.device].get(str(each.key)), history.finals[each.device]
        if row is None:
            yield Found(f"{each.act} of {each.key} was acknowledged, and it is not listed", (*each.lines, final))
        elif each.makes and (row["n"], row["digest"]) != (each.n, history.digest(each)):
            yield Found(f"{each.key} is listed with other content than was acknowledged", (*each.lines, final))


def refused(history: History) -> Iterator[Found]:
    """What is listed was asked for, once, and not refused; and no answer says that the server is defective."""
    by_number = {each.n: each for each in history.operations if each.makes}
    for final in history.finals.values():
        counts = collections.Counter(row["n"] for row in final["rows"])
        for row in final["rows"]:
            made = by_number.get(row["n"])
            if made is None or (made.device, history.digest(made)) != (final["device"], row["digest"]):
                yield Found(f"{row['id']} is listed, and nobody asked for it", (final,))
            elif made.outcome == "fail":
                yield Found(f"{row['id']} is listed, and it was refused", (*made.lines, final))
            elif counts[row["n"]] > 1:
                yield Found(f"{row['id']} was made more than once", (*made.lines, final))
    for each in history.operations:
        if each.status >= 500:
            yield Found(f"the answer to {each.act} was {each.status}", each.lines)


def in_order(history: History) -> Iterator[Found]:
    """The recorded order holds the acknowledged acts, does not repeat them, and does not contradict their moments."""
    for device, final in history.finals.items():
        recorded = _recorded(replay.groups(final))
        acts = [each for each in history.operations if each.device == device]
        yield from _counted(acts, recorded, final)
        placed = [
            (place, each)
            for each in acts
            if each.outcome == "ok"
            and each.act != "restage"  # which can be done more than once, so it has no one place
            for place in recorded.get((each.kind, each.key), ())
        ]
        latest: Operation | None = None
        for _, each in sorted(placed, key=lambda pair: pair[0]):
            if latest is not None and each.end < latest.begin:
                words = (
                    f"{each.act} of {each.key} was over before {latest.act} of {latest.key} began; recorded after it"
                )
                yield Found(words, (*each.lines, *latest.lines))
            if latest is None or each.begin > latest.begin:
                latest = each


def expected(history: History) -> Iterator[Found]:
    """Replaying what is recorded gives, before each act, what its operator expected; at most two are wanted at once."""
    for device, final in history.finals.items():
        asked = {
            (each.kind, each.key): each
            for each in history.operations
            if each.device == device and each.outcome == "ok" and each.kind in ("create", "deploy")
        }
        state, groups = replay.State(), replay.groups(final)
        asked |= _restaged_once(history, device, groups)
        for group in groups:
            done = [(name, key) for name in ("create", "deploy", "restage") for key in _happened(name, group)]
            for act in (asked.get(each) for each in done):
                if act is not None and act.expected not in (ANY, state.current):
                    words = f"{act.act} of {act.key} expected {act.expected} to be current, and {state.current} was"
                    yield Found(words, (*act.lines, final))
            state = state.after(group)
            if len(state.wanted) > 2:
                yield Found(f"{', '.join(sorted(state.wanted))} were wanted at once", (final,))
        if state.current != final["document"]["current"]:
            words = f"by what is recorded {state.current} is current, and it is {final['document']['current']}"
            yield Found(words, (final,))


def seen(history: History) -> Iterator[Found]:
    """Whoever reads after an act was acknowledged sees its effect."""
    acts: dict[str, list[tuple[int, Operation]]] = collections.defaultdict(list)
    for each in history.operations:
        if each.outcome == "ok" and each.key is not None:
            ordered = each.act == "deploy" or (each.makes and not each.staged)
            rank = 2 if each.act == "archive" else int(ordered)
            acts[each.key].append((rank, each))
    for line in history.of("api"):
        for key, row in line["rows"].items():
            for rank, act in acts[key]:
                if act.end < line["begin"] and _RANK[row["target"]] < rank:
                    yield Found(f"{act.act} of {key} was acknowledged, and was read as {row['target']} after it", (
                        *act.lines, line))  # fmt: skip


def _restaged_once(
    history: History, device: str, groups: Sequence[replay.Group]
) -> Mapping[tuple[str, str | None], Operation]:
    """The acts of restaging of which it is known where they stand in the record."""
    recorded = collections.Counter(key for group in groups for key in group.restaged)
    acts: dict[str | None, list[Operation]] = collections.defaultdict(list)
    for each in history.operations:
        if each.device == device and each.act == "restage" and each.outcome != "fail":
            acts[each.key].append(each)
    return {
        ("restage", key): found[0]
        for key, found in acts.items()
        if len(found) == 1 and found[0].outcome == "ok" and recorded[str(key)] == 1
    }


def _happened(act: str, group: replay.Group) -> list[str]:
    """The deployments to which a group does what such an act does."""
    if act == "create":
        return group.made
    if act == "deploy":
        return [each for each in group.ordered if each not in group.made]
    if act == "restage":
        return group.restaged
    others = group.ordered or group.made or group.retires or group.entries[0]["actor"] == "device"
    return [] if others else group.archived


def _recorded(groups: Sequence[replay.Group]) -> Mapping[tuple[str, str | None], Sequence[int]]:
    """Where the record has each act: the places of the groups that do what it does."""
    found: dict[tuple[str, str | None], list[int]] = collections.defaultdict(list)
    for place, group in enumerate(groups):
        for act in ("create", "deploy", "archive", "restage"):
            for key in _happened(act, group):
                found[act, key].append(place)
    return found


def _counted(
    acts: Sequence[Operation], recorded: Mapping[tuple[str, str | None], Sequence[int]], final: Line
) -> Iterator[Found]:
    asked: dict[tuple[str, str | None], list[Operation]] = collections.defaultdict(list)
    for each in acts:
        if each.key is not None or each.makes:
            asked[each.kind, each.key].append(each)
    for act, key in {*recorded, *asked}:
        outcomes = collections.Counter(each.outcome for each in asked[act, key])
        least, found = outcomes["ok"], len(recorded.get((act, key), ()))
        most = max(1, least) if act == "create" else least + outcomes["info"]
        if not least <= found <= most:
            lines = tuple(line for each in asked[act, key] for line in each.lines)
            words = f"{act} of {key} is recorded {found} times, was acknowledged {least} times, and asked {most} times"
            yield Found(words, (*lines, final))
