"""What rollbacks bring back, what devices out of service get, and whether the record is whole."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from torture import replay
from torture.history import History
from torture.violation import Found


def rolled_back(history: History) -> Iterator[Found]:
    """A rollback has the content of the newest that was in force, and did not fail, before what was current."""
    for final in history.finals.values():
        rows = {row["id"]: row for row in final["rows"]}
        state, ordered, failed = replay.State(), list[str](), set[str]()
        for group in replay.groups(final):
            for key in group.made:
                row = rows.get(key)
                if row is None or row["restores"] is None:
                    continue
                before = _before(_origin(rows, state.current), ordered)
                sound = [each for each in before if each in state.confirmed and each not in failed]
                newest = sound[-1] if sound else None
                if row["restores"] != newest:
                    words = f"{key} restores {row['restores']}; in force before {state.current} was {newest}"
                    yield Found(words, (final,))
                elif row["digest"] != rows[newest]["digest"]:
                    yield Found(f"{key} restores {newest}, and has another content", (final,))
            ordered += group.ordered
            failed |= {each["deployment"] for each in group.entries if each["after"]["error"] == "failed"}
            state = state.after(group)


def patched(history: History) -> Iterator[Found]:
    """What was made from another deployment says from which."""
    for each in history.operations:
        if each.act == "patch" and each.outcome == "ok" and each.device in history.finals:
            final, origin = history.finals[each.device], each.lines[0]["key"]
            for row in final["rows"]:
                if row["id"] == each.key and row["patched_from"] != origin:
                    words = f"{each.key} was made from {origin}, and is listed as made from {row['patched_from']}"
                    yield Found(words, (*each.lines, final))


def out_of_service(history: History) -> Iterator[Found]:
    """From when a device is known to be archived until somebody asks for its return, it gets nothing new."""
    for retired in history.operations:
        if retired.act != "retire" or retired.outcome != "ok":
            continue
        mine = [each for each in history.operations if each.device == retired.device]
        returns = [each for each in mine if each.act == "return" and each.end >= retired.begin]
        until = min((each.begin for each in returns if each.outcome != "fail"), default=math.inf)
        for each in mine:
            new = each.outcome == "ok" and (each.makes or each.act == "deploy")
            if new and retired.end < each.begin and each.end < until:
                words = f"{each.act} of {each.key} was acknowledged, and {each.device} was out of service"
                yield Found(words, (*retired.lines, *each.lines))


def chained(history: History) -> Iterator[Found]:
    """The whole record was computed anew at the end, and nothing was changed, removed or put in."""
    verdicts = history.of("verified")
    if not verdicts:
        yield Found("nobody looked whether the record is whole", tuple(history.of("quiet")))
    for line in verdicts:
        if not line["whole"]:
            yield Found(f"the record is not whole: {line['reason']}", (line,))


def _origin(rows: Mapping[str, Mapping[str, Any]], deployment: str | None) -> str | None:
    while deployment in rows and rows[deployment]["restores"] is not None:
        deployment = rows[deployment]["restores"]
    return deployment


def _before(origin: str | None, ordered: list[str]) -> list[str]:
    return ordered[: ordered.index(origin)] if origin in ordered else ordered
