"""How it must be when operators want nothing more and all faults are over."""

from __future__ import annotations

from collections.abc import Iterator

from torture.history import History
from torture.violation import Found

_WAITING = ("staged", "drifted", "archived")


def agreement(history: History) -> Iterator[Found]:
    """Within the bound, cloud, wire and disk say the same of every robot, and nothing of what was before is left."""
    for line in history.of("settled"):
        if line["within"] is None:
            yield Found(f"it did not settle: {line['why']}", (line,))
    for device in history.devices:
        if device not in history.finals:
            yield Found(f"nothing is known of {device} at the end", ())
    for device, final in history.finals.items():
        document, rows = final["document"], {row["id"]: row for row in final["rows"]}
        current = document["current"]
        if not document["in_sync"] or document["fallback"] is not None:
            yield Found(f"{device} is not in sync, or still has a fallback", (final,))
        for key, row in rows.items():
            wanted = "deployed" if key == current else None
            if row["status"] != wanted and (wanted or row["activity"] not in _WAITING):
                yield Found(f"{key} is {row['status']} at the end", (final,))
        if [tree.partition(".")[0] for tree in final["trees"]] != ([current] if current else []):
            yield Found(f"{device} holds {final['trees']}, and {current} is wanted", (final,))
        held = final["digest"]
        if held != (rows[current]["digest"] if current in rows else None):
            yield Found(f"{device} shows other files than those of {current}", (final,))


def alive(history: History) -> Iterator[Found]:
    """No process ends by itself, but for an agent whose disk is full: it cannot even begin."""
    for line in history.of("exit"):
        if line["after"] != "disk-full" or line["who"] in ("cloud", "broker"):
            yield Found(f"{line['who']} ended by itself", (line,))


def quiet(history: History) -> Iterator[Found]:
    """Nobody says anything when nobody wants anything."""
    for line in history.of("quiet"):
        if line["messages"]:
            yield Found(f"{line['messages']} messages passed when all was done", (line,))
