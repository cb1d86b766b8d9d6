"""Where each value of a JSON or YAML text begins and ends: what is needed to change one and leave the rest as it is.

The texts are well-formed: `documents.parse` has read them before. Offsets count characters.
"""

from __future__ import annotations

import dataclasses
import enum
import json
import re
from collections.abc import Iterator
from typing import Any, cast

import yaml

from shallop_cloud.configs import yaml12
from shallop_cloud.configs.documents import Format


class Kind(enum.Enum):
    """What a node is."""

    SCALAR = enum.auto()
    MAPPING = enum.auto()
    SEQUENCE = enum.auto()
    ALIAS = enum.auto()


@dataclasses.dataclass(frozen=True, slots=True)
class Entry:
    """An item of a sequence, or a key of a mapping with its value."""

    key: str | None
    """None for an item, a merge key, and a key that is an alias."""
    start: int
    """Where the key begins, or the item's value."""
    key_end: int
    value: Node


@dataclasses.dataclass(frozen=True, slots=True)
class Node:
    """A value as it is written."""

    kind: Kind
    start: int
    """With its tag and anchor, if it has them."""
    end: int
    """Behind its last character that is neither white space nor comment."""
    flow: bool = False
    """Whether it is written with brackets; all of JSON is."""
    anchor: str | None = None
    """The name under which other places refer to this one. None if none does."""
    entries: tuple[Entry, ...] = ()

    def entry(self, key: str) -> Entry | None:
        """The entry of a mapping that stands in it under its own key."""
        return next((each for each in self.entries if each.key == key), None)


def read(text: str, format: Format) -> Node:  # noqa: A002
    """The nodes of a JSON or YAML text."""
    return _Json(text).read() if format is Format.JSON else _Yaml(text).read()


_SPACE = re.compile(r"[ \t\n\r]*")
_STRING = re.compile(r'"(?:[^"\\]+|\\.)*"')
_PLAIN = re.compile(r"[^\s,\]}]+")


class _Json:
    def __init__(self, text: str) -> None:
        self._text = text

    def read(self) -> Node:
        return self._value(self._skip(0))

    def _skip(self, at: int) -> int:
        found = _SPACE.match(self._text, at)
        assert found is not None, "the pattern matches the empty text"
        return found.end()

    def _string(self, at: int) -> tuple[str, int]:
        """The text that begins with the quotes at ``at``, and its end."""
        found = _STRING.match(self._text, at)
        assert found is not None, "a text stands here"
        return json.loads(found[0]), found.end()

    def _value(self, at: int) -> Node:
        match self._text[at]:
            case "{":
                return self._collection(at, Kind.MAPPING, "}")
            case "[":
                return self._collection(at, Kind.SEQUENCE, "]")
            case '"':
                return Node(Kind.SCALAR, at, self._string(at)[1], flow=True)
            case _:
                found = _PLAIN.match(self._text, at)
                assert found is not None, "a value stands here"
                return Node(Kind.SCALAR, at, found.end(), flow=True)

    def _collection(self, start: int, kind: Kind, closing: str) -> Node:
        entries: list[Entry] = []
        at = self._skip(start + 1)
        while self._text[at] != closing:
            key, key_start, key_end = None, at, at
            if kind is Kind.MAPPING:
                key, key_end = self._string(at)
                at = self._skip(self._skip(key_end) + 1)
            value = self._value(at)
            entries.append(Entry(key, key_start, key_end, value))
            at = self._skip(value.end)
            if self._text[at] == ",":
                at = self._skip(at + 1)
        return Node(kind, start, at + 1, flow=True, entries=tuple(entries))


class _Yaml:
    def __init__(self, text: str) -> None:
        self._text = text
        self._events = cast("Iterator[Any]", yaml.parse(text, Loader=yaml12.LOADER))  # pyright: ignore[reportUnknownMemberType]
        self._anchored = set[str]()

    def read(self) -> Node:
        events = list(self._events)
        self._anchored = {event.anchor for event in events if isinstance(event, yaml.AliasEvent)}
        self._events = iter(events)
        next(self._events)  # the stream's start
        if isinstance(next(self._events), yaml.StreamEndEvent):
            return Node(Kind.SCALAR, len(self._text), len(self._text))
        return self._node(next(self._events))

    def _node(self, event: Any) -> Node:
        start: int = event.start_mark.index
        if isinstance(event, yaml.AliasEvent):
            return Node(Kind.ALIAS, start, event.end_mark.index, anchor=event.anchor)
        anchor = event.anchor if event.anchor in self._anchored else None
        if isinstance(event, yaml.ScalarEvent):
            return Node(Kind.SCALAR, start, self._end_of_scalar(event), anchor=anchor)
        kind = Kind.MAPPING if isinstance(event, yaml.MappingStartEvent) else Kind.SEQUENCE
        entries: list[Entry] = []
        while not isinstance(first := next(self._events), (yaml.MappingEndEvent, yaml.SequenceEndEvent)):
            entries.append(self._entry(first, kind))
        end: int = first.end_mark.index if event.flow_style else entries[-1].value.end
        return Node(kind, start, end, event.flow_style, anchor, tuple(entries))

    def _entry(self, first: Any, kind: Kind) -> Entry:
        start = first.start_mark.index
        if kind is Kind.SEQUENCE:
            return Entry(None, start, start, self._node(first))
        merges = isinstance(first, yaml.ScalarEvent) and first.value == "<<" and first.implicit[0]
        key = first.value if isinstance(first, yaml.ScalarEvent) and not merges else None
        return Entry(key, start, first.end_mark.index, self._node(next(self._events)))

    def _end_of_scalar(self, event: Any) -> int:
        """The end of a block scalar's text, without the blank lines below it unless they belong to it (``|+``)."""
        start, end = event.start_mark.index, event.end_mark.index
        if event.style not in ("|", ">") or "+" in self._text[start:end].partition("\n")[0].partition("#")[0]:
            return end
        return start + len(self._text[start:end].rstrip())
