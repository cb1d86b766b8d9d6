"""YAML as robots should read it: the core schema of YAML 1.2 (section 10.3.2), strictly, with places.

PyYAML scans and parses; what its events mean is decided here, because its own loaders follow YAML 1.1 (``on`` is
true, ``010`` is 8, ``12:30`` is 750) and let the last of two equal keys win. Here:

- booleans are ``true`` and ``false`` (also ``True``, ``TRUE`` …); ``on``, ``off``, ``yes``, ``no``, ``y``, ``n`` are
  text; ``010`` is ten, ``0o10`` eight, ``0x1F`` thirty-one; ``1e3`` is a float; ``.inf`` and ``.nan`` are floats;
- a key may stand only once in a mapping, and is text (``1:``, ``true:`` or ``~:`` must be quoted);
- aliases and merge keys (``<<``) work, within a bound on what they expand to;
- there is one document, of bounded depth, and no tag but the core schema's own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple, NoReturn, cast

import yaml

from shallop_cloud.configs import findings, values

MAX_DEPTH = 64
"""How deep lists and mappings may be nested, aliases expanded."""
MAX_NODES = 100_000
"""How many values and keys a document may hold, aliases expanded: 289 bytes can expand to 172 MB."""
MAX_NUMBER = 400
"""How many characters a number may have. The largest float has 309 digits; Python refuses to print beyond 4,300."""

LOADER: type[Any] = yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader
_CORE = "tag:yaml.org,2002:"
_NOT_YAML = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_INTEGER = re.compile(r"[-+]?[0-9]+\Z")
_BASED = re.compile(r"0o[0-7]+\Z|0x[0-9a-fA-F]+\Z")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?\Z")
_INFINITE = re.compile(r"[-+]?\.(inf|Inf|INF)\Z")
_WORDS: dict[str, Any] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), float("nan")),
}


def load(text: str, *, any_keys: bool = False) -> tuple[Any, findings.Position]:
    """The value of a YAML text, and where it begins. A text without a document is null.

    With ``any_keys``, keys that are not text (numbers, null …) are tolerated and read as they are spelled: for
    files whose meaning is not ours to judge.

    Raises:
        Refused: with one finding that says what is wrong and where.
    """
    text = text.removeprefix("\ufeff")
    if strange := _NOT_YAML.search(text):
        _refuse(
            findings.position_in(text, strange.start()), f"the character U+{ord(strange[0]):04X} is not allowed in YAML"
        )
    try:
        events = cast("Iterator[Any]", yaml.parse(text, Loader=LOADER))  # pyright: ignore[reportUnknownMemberType]
        return _Composer(events, any_keys).document()
    except yaml.MarkedYAMLError as error:
        raise findings.Refused([_syntax_error(text, error)]) from None


def _syntax_error(text: str, error: yaml.MarkedYAMLError) -> findings.Finding:
    mark = error.problem_mark or error.context_mark
    place = findings.Position(mark.line + 1, mark.column + 1) if mark else findings.START
    lines = text.splitlines()
    line = lines[place.line - 1] if place.line <= len(lines) else ""
    if "\t" in line[: place.column] and not line[: place.column - 1].strip():
        return findings.Finding("YAML does not allow tabs for indentation: use spaces", "", *place)
    message = error.problem or "not valid YAML"
    return findings.Finding(f"{message} {error.context}" if error.context else message, "", *place)


def _refuse(place: findings.Position, message: str) -> NoReturn:
    raise findings.Refused([findings.Finding(message, "", *place)])


def _start(event: Any) -> findings.Position:
    return findings.Position(event.start_mark.line + 1, event.start_mark.column + 1)


class _Node(NamedTuple):
    value: Any
    height: int
    """Levels of nesting, a scalar's being 0."""
    size: int
    """Values and keys, aliases expanded."""


class _Composer:
    """Turns the events of one document into values. Events come from PyYAML, whose classes carry no types."""

    def __init__(self, events: Iterator[Any], any_keys: bool) -> None:
        self._events = events
        self._any_keys = any_keys
        self._anchors: dict[str, _Node | None] = {}
        self._size = 0

    def document(self) -> tuple[Any, findings.Position]:
        next(self._events)  # the stream's start
        if isinstance(next(self._events), yaml.StreamEndEvent):
            return None, findings.START
        first = next(self._events)
        value = self._node(first, 1).value
        next(self._events)  # the document's end
        if not isinstance(after := next(self._events), yaml.StreamEndEvent):
            _refuse(_start(after), "a second document begins here: a config file holds exactly one")
        return value, _start(first)

    def _node(self, event: Any, depth: int) -> _Node:
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event, depth)
        if event.anchor is not None:
            self._anchors[event.anchor] = None
        before = self._size
        self._count(1, event)
        if isinstance(event, yaml.ScalarEvent):
            value, height = _scalar(event), 0
        else:
            if depth > MAX_DEPTH:
                _refuse(_start(event), f"nested deeper than {MAX_DEPTH} levels")
            build = self._mapping if isinstance(event, yaml.MappingStartEvent) else self._sequence
            value, height = build(event, depth)
        node = _Node(value, height, self._size - before)
        if event.anchor is not None:
            self._anchors[event.anchor] = node
        return node

    def _alias(self, event: Any, depth: int) -> _Node:
        if event.anchor not in self._anchors:
            _refuse(_start(event), f"alias *{event.anchor} refers to nothing: no anchor &{event.anchor} before it")
        node = self._anchors[event.anchor]
        if node is None:
            _refuse(_start(event), f"alias *{event.anchor} contains itself")
        if depth + node.height - 1 > MAX_DEPTH:
            _refuse(_start(event), f"nested deeper than {MAX_DEPTH} levels through alias *{event.anchor}")
        self._count(node.size, event)
        return node

    def _count(self, more: int, event: Any) -> None:
        self._size += more
        if self._size > MAX_NODES:
            _refuse(_start(event), f"more than {MAX_NODES} values, aliases expanded")

    def _sequence(self, start: Any, depth: int) -> tuple[values.Row, int]:
        _check_collection_tag(start, "seq")
        row, height = values.Row(), 0
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            node = self._node(event, depth + 1)
            row.put(node.value, _start(event))
            height = max(height, node.height)
        return row, height + 1

    def _mapping(self, start: Any, depth: int) -> tuple[values.Table, int]:
        _check_collection_tag(start, "map")
        table, height = values.Table(), 0
        merged: list[values.Table] = []
        merge_mark: findings.Position | None = None
        while not isinstance(key_event := next(self._events), yaml.MappingEndEvent):
            key_mark = _start(key_event)
            merging = isinstance(key_event, yaml.ScalarEvent) and key_event.value == "<<" and key_event.implicit[0]
            key = "" if merging else self._key(key_event, depth)
            first_mark = merge_mark if merging else table.marks.get(key)
            if first_mark is not None:
                where = f"{first_mark.line}:{first_mark.column}"
                _refuse(key_mark, f"key {values.show('<<' if merging else key)} occurs twice: first at {where}")
            event = next(self._events)
            node = self._node(event, depth + 1)
            height = max(height, node.height)
            if merging:
                merge_mark = key_mark
                merged = _merge_sources(node.value, _start(event))
            else:
                table.put(key, node.value, key_mark)
        for source in merged:
            for key, value in source.items():
                if key not in table:
                    table.put(key, value, source.marks[key])
        return table, height + 1

    def _key(self, event: Any, depth: int) -> str:
        if not isinstance(event, (yaml.ScalarEvent, yaml.AliasEvent)):
            _refuse(_start(event), "mapping keys must be text, not lists or mappings")
        key = self._node(event, depth).value
        if isinstance(key, str):
            return str(key)
        if self._any_keys and isinstance(event, yaml.ScalarEvent):
            return str(event.value)
        spelled = values.show(key) if isinstance(event, yaml.AliasEvent) else event.value
        return _refuse(_start(event), f'mapping keys must be text: write "{spelled}" with quotes')


def _merge_sources(value: Any, place: findings.Position) -> list[values.Table]:
    if isinstance(value, values.Table):
        return [value]
    if not isinstance(value, values.Row) or not all(isinstance(each, values.Table) for each in value):
        _refuse(place, "a merge key '<<' takes a mapping or a list of mappings")
    return value


def _check_collection_tag(event: Any, kind: str) -> None:
    if event.tag not in (None, "!", _CORE + kind):
        _refuse(_start(event), _unknown_tag(event.tag))


def _unknown_tag(tag: str) -> str:
    spelled = tag.replace(_CORE, "!!", 1)
    return f"tag {values.show(spelled)} is not allowed here: only the core tags of YAML, each on its own kind of value"


def _scalar(event: Any) -> Any:
    text: str = event.value
    if event.tag in ("!", _CORE + "str") or (event.implicit[1] and not event.implicit[0]):
        return values.text(text)
    if event.implicit[0]:
        return _plain(text, event)
    kind = event.tag.removeprefix(_CORE) if event.tag.startswith(_CORE) else ""
    if kind not in _TAGGED:
        _refuse(_start(event), _unknown_tag(event.tag))
    value = _plain(text, event)
    if kind == "float" and type(value) is int:
        value = float(value) if abs(value) < _FLOAT_END else float("inf")
    if type(value) is not _TAGGED[kind]:
        _refuse(_start(event), f"{values.show(text)} is not a !!{kind}")
    return value


_TAGGED: dict[str, type] = {"int": int, "float": float, "bool": bool, "null": type(None)}
_FLOAT_END = 2**1024


def _plain(text: str, event: Any) -> Any:
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in "+-.0123456789":
        return values.text(text)
    integer, based = _INTEGER.match(text), _BASED.match(text)
    if not (integer or based or _FLOAT.match(text)):
        return float(text.replace(".", "")) if _INFINITE.match(text) else values.text(text)
    if len(text) > MAX_NUMBER:
        _refuse(_start(event), f"a number of {len(text)} characters is too long: at most {MAX_NUMBER}")
    if based:
        return int(text, 0)
    if integer:
        return int(text)
    number = float(text)
    if number in (float("inf"), float("-inf")):
        _refuse(_start(event), f"{text} is beyond the range of a float")
    return number
