"""How differences between files look to people: what changed, from what to what, and where to look."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from shallop_cloud.cli import tables, views, words
from shallop_cloud.cli.tables import Cell, state

if TYPE_CHECKING:
    from shallop_cloud.cli.client import Json

VALUE_CHARACTERS = 60
"""Of a value on a terminal; what is longer is seen in the file, whose line is given."""


def files(diffs: Iterable[Json], names: Mapping[str, str] | None = None) -> None:
    """Each file that is not the same, and what changed in it. ``names``: what to call files, by place, if not by path.

    What was removed is pointed to in the earlier version, all else in the later one.
    """
    unchanged = 0
    for each in diffs:
        if each["kind"] == "same":
            unchanged += 1
            continue
        tables.say()
        name = (names or {}).get(views.place(each))
        _file(each, name or str(each["path"]))
    if unchanged:
        tables.say()
        verb = "is" if unchanged == 1 else "are"
        tables.say(Cell(f"{words.counted(unchanged, 'other file')} {verb} the same", "dim"))


def summary(diffs: Iterable[Json]) -> str:
    """``1 file changed, 2 added``; ``no file differs``."""
    kinds = [each["kind"] for each in diffs]
    counts = [(kinds.count(kind), kind) for kind in ("changed", "added", "removed")]
    told = [(number, kind) for number, kind in counts if number]
    if not told:
        return "no file differs"
    (first, kind), *rest = told
    return ", ".join([f"{words.counted(first, 'file')} {kind}", *(f"{number} {kind}" for number, kind in rest)])


def _file(diff: Json, name: str) -> None:
    tables.say(Cell(name, "bold"), f"  ({views.place(diff)})  ", state(diff["kind"]))
    if diff["kind"] != "changed":
        known = diff["after"] or diff["before"]
        if known:
            tables.say(f"  its content: shallop config cat {words.short(known['instance'])}")
    elif diff["same_meaning"]:
        tables.say("  comments and layout only: every value is the same")
    elif diff["changes"]:
        for change in diff["changes"]:
            _change(change, name)
        if diff["omitted"]:
            tables.say(f"  and {words.counted(diff['omitted'], 'more change')}")
    else:
        _unified(diff["text"])


def _change(change: Json, name: str) -> None:
    kind = change["kind"]
    # What was removed has no place in the later version.
    side = "before" if kind == "removed" else "after"
    line, column = change[f"{side}_line"], change[f"{side}_column"]
    where = f"  ({name}:{line}:{column})" if line else ""
    match kind:
        case "added":
            told = [Cell(value(change["after"]), "green"), " added"]
        case "removed":
            told = [Cell(value(change["before"]), "red"), " removed"]
        case _:
            told = [Cell(value(change["before"]), "red"), " -> ", Cell(value(change["after"]), "green")]
    tables.say("  ", f"{change['pointer'] or 'the whole file'}: ", *told, Cell(where, "dim"))


def _unified(text: str) -> None:
    """The lines of a unified diff, without its header: the file's name has been said."""
    for line in text.splitlines():
        if not line.startswith(("--- ", "+++ ")):
            style = {"+": "green", "-": "red", "@": "cyan"}.get(line[:1], "")
            tables.say("  ", Cell(line, style))


def value(given: Any) -> str:
    """A value as one short line of JSON."""
    text = json.dumps(given, ensure_ascii=False)
    return text if tables.is_piped() or len(text) <= VALUE_CHARACTERS else f"{text[: VALUE_CHARACTERS - 1]}…"
