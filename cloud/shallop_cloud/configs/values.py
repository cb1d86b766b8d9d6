"""Parsed values that know where they were written.

A document's objects and lists are a ``dict`` and a ``list`` with marks beside the entries, so that a place can be
found for any path, aliases included, without a second tree. Their ``repr`` is short, because the validator writes it
into every error: a message about a value of a megabyte must not cost a megabyte.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

from shallop_cloud.configs import findings

SHOWN = 80
"""How many characters of a value a message shows."""


class Table(dict[str, Any]):
    """An object. ``marks`` says where each entry's key begins."""

    __slots__ = ("marks",)

    def __init__(self) -> None:
        super().__init__()
        self.marks: dict[str, findings.Position] = {}

    def put(self, key: str, value: Any, mark: findings.Position) -> None:
        """Add an entry together with its place."""
        self[key] = value
        self.marks[key] = mark

    def __repr__(self) -> str:
        return show(self)


class Row(list[Any]):
    """A list. ``marks`` says where each item begins."""

    __slots__ = ("marks",)

    def __init__(self) -> None:
        super().__init__()
        self.marks: list[findings.Position] = []

    def put(self, value: Any, mark: findings.Position) -> None:
        """Add an item together with its place."""
        self.append(value)
        self.marks.append(mark)

    def __repr__(self) -> str:
        return show(self)


class LongText(str):
    """A text too long to be shown whole."""

    __slots__ = ()

    def __repr__(self) -> str:
        return show(self)


def text(value: str) -> str:
    """``value``, in the form whose ``repr`` is short."""
    return LongText(value) if len(value) > SHOWN else value


def show(value: Any) -> str:
    """A value as a message quotes it: JSON's words, at most about 80 characters."""
    shown = ""
    for token in _tokens(value):
        shown += token
        if len(shown) > SHOWN:
            return shown[:SHOWN] + "…"
    return shown


def _tokens(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        table = cast("dict[str, Any]", value)
        yield "{"
        for index, (key, each) in enumerate(table.items()):
            yield f"{', ' if index else ''}{key[: SHOWN + 1]!r}: "
            yield from _tokens(each)
        yield "}"
    elif isinstance(value, list):
        yield "["
        for index, each in enumerate(cast("list[Any]", value)):
            yield ", " if index else ""
            yield from _tokens(each)
        yield "]"
    elif isinstance(value, str):
        yield repr(str(value[: SHOWN + 1]))
    else:
        yield _WORDS.get(id(value)) or repr(value)


_WORDS = {id(None): "null", id(True): "true", id(False): "false"}


def identity(value: Any) -> str:
    """A text that two values share exactly if JSON Schema calls them equal (1 and 1.0 are, 1 and true are not).

    It serves ``enum``, ``const`` and ``uniqueItems`` in linear time: texts go into a set, whose hashes nobody can
    steer, where numbers could be chosen to collide.
    """
    if isinstance(value, str):
        return repr(str(value))
    if isinstance(value, dict):
        table = cast("dict[str, Any]", value)
        return "{" + ",".join(sorted(f"{key!r}:{identity(each)}" for key, each in table.items())) + "}"
    if isinstance(value, list):
        return "[" + ",".join(identity(each) for each in cast("list[Any]", value)) + "]"
    if isinstance(value, float) and value.is_integer():
        return repr(int(value))
    return repr(value)


def weight(value: Any) -> int:
    """What it costs to look at all of ``value``: 1 for each value in it, and 1 for each 64 characters of text."""
    if isinstance(value, str):
        return 1 + (len(value) >> 6)
    if isinstance(value, dict):
        return 1 + sum((len(key) >> 6) + weight(each) for key, each in cast("dict[str, Any]", value).items())
    if isinstance(value, list):
        return 1 + sum(weight(each) for each in cast("list[Any]", value))
    return 1
