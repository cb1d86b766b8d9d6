"""What can be done to a value of a document, and what the document's value is then."""

from __future__ import annotations

import dataclasses
from typing import Any, cast

from shallop_cloud.configs.findings import Finding, Path, Refused

MAX_DEPTH = 64
"""How deep a new value may be nested."""


@dataclasses.dataclass(frozen=True, slots=True)
class Set:
    """The value at ``pointer`` is to be ``value``: replaced, a new last key of its mapping, or with ``/-`` a new last
    item of its list.
    """

    pointer: str
    value: Any


@dataclasses.dataclass(frozen=True, slots=True)
class Remove:
    """The value at ``pointer`` is to be gone, with its key. Comments on lines of their own stay."""

    pointer: str


Operation = Set | Remove


def check(operation: Operation) -> int:
    """How much the operation's value weighs: 1 for each value in it, and 1 for each 64 characters of text.

    Raises:
        Refused: it is nested too deep.
    """
    return _weight(operation, operation.value, 0) if isinstance(operation, Set) else 0


def outcome(value: Any, path: Path, operation: Operation) -> Any:
    """The value of a document after an operation at ``path``, which is there. What does not change is shared."""
    if not path:
        assert isinstance(operation, Set), "the whole document is never removed"
        return operation.value
    step, rest = path[0], path[1:]
    if isinstance(value, dict):
        changed: Any = dict(cast("dict[str, Any]", value))
    else:
        changed = list(cast("list[Any]", value))
    if rest:
        changed[step] = outcome(value[step], rest, operation)
    elif isinstance(operation, Remove):
        del changed[step]
    elif step == len(changed) and not isinstance(value, dict):
        changed.append(operation.value)
    else:
        changed[step] = operation.value
    return changed


def _weight(operation: Set, value: Any, above: int) -> int:
    if isinstance(value, str):
        return 1 + len(value) // 64
    if not isinstance(value, (dict, list)):
        return 1
    if above == MAX_DEPTH:
        raise Refused([Finding(f"the value is nested deeper than {MAX_DEPTH} levels", operation.pointer)])
    if isinstance(value, list):
        return 1 + sum(_weight(operation, each, above + 1) for each in cast("list[Any]", value))
    table = cast("dict[Any, Any]", value)
    return 1 + sum(_weight(operation, part, above + 1) for entry in table.items() for part in entry)
