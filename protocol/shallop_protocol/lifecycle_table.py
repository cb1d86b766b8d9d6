"""The table of statuses as people read it. ``python -m shallop_protocol.lifecycle_table`` prints it."""

from __future__ import annotations

import sys

from shallop_protocol.statuses import CELLS, Possible, Statuses

_HEAD = ("target", "activity", "error", "shown as", "what it means, or why it cannot be", "may become")


def as_markdown() -> str:
    """All 54 combinations as a table in Markdown; those that cannot be are set in italics."""
    lines = [_line(*_HEAD), _line(*("---" for _ in _HEAD))]
    for statuses, cell in CELLS.items():
        target, activity, error = (status.value for status in statuses)
        if isinstance(cell, Possible):
            following = [then for then in CELLS if then in cell.next]
            become = "<br>".join(_short(then) for then in following) or "the end"
            lines.append(_line(target, activity, error, f"**{statuses.merged}**", cell.meaning, become))
        else:
            lines.append(_line(target, activity, error, "", f"*cannot be: {cell.why}*", ""))
    return "".join(lines)


def _line(*columns: str) -> str:
    return f"| {' | '.join(columns)} |\n"


def _short(statuses: Statuses) -> str:
    return f"`{statuses}`"


if __name__ == "__main__":
    sys.stdout.write(as_markdown())
