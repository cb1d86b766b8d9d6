"""What to change in a text so that one value is another, a key is new, or an entry is gone, and all else stays.

The layout follows what is there: block style below block style, brackets within brackets, one entry a line where the
others stand so, and the indentation of the neighbours. `patching` checks afterwards what the outcome means.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple, cast

from shallop_cloud.configs import writing
from shallop_cloud.configs.documents import Format
from shallop_cloud.configs.spans import Entry, Kind, Node

_GAP = re.compile(r"(?:[ \t]*(?:#[^\n]*)?\r?\n)*[ \t]*")
"""White space, line ends and comments, up to what comes next."""
_PROPERTIES = re.compile(r"(?:[&!]\S*\s+)*")
"""Anchor and tag before a collection."""
_COMMENT = re.compile(r"(?:[ \t]+#[^\r\n]*)?")
"""A comment on the last line of a block collection, which goes with it."""
_REST = re.compile(r"[ \t]*(,?)[ \t]*(?:#[^\r\n]*)?(?=\r?\n)")
"""What may follow the last entry on its line if the closing bracket stands on a line of its own."""


class Edit(NamedTuple):
    """``text[start:end]`` becomes ``new``."""

    start: int
    end: int
    new: str


class Layout:
    """The text of one document, in the format that it is written in.

    Methods raise `writing.Unwritable` for a value that the format cannot hold.
    """

    def __init__(self, text: str, format: Format) -> None:  # noqa: A002
        self._text = text
        self._format = format
        self._newline = "\r\n" if "\r\n" in text else "\n"

    def replacing(self, node: Node, value: Any, parent: Node | None = None, entry: Entry | None = None) -> list[Edit]:
        """The edits that put ``value`` in the place of a node: that of ``entry`` in ``parent``, or the root."""
        if node.flow or not node.entries:
            return [self._replacing_inline(node, value, parent)]
        begin, end = self._begin(node), self._behind(_COMMENT, node.end)
        starts_line = self._starts_line(begin)
        if writing.is_block(value):
            indent = self._column(begin)
            if parent is not None and entry is not None and not isinstance(value, list):
                indent = max(indent, self._column(self._head(parent, entry)) + 2)
            lines = writing.block(value, indent)
            margin = " " * indent if starts_line else ""
            start = self._line_start(begin) if starts_line else begin
            return [Edit(start, end, margin + self._newline.join(lines))]
        new = writing.inline(value, self._format)
        if not starts_line or parent is None or entry is None:
            return [Edit(begin, end, new)]
        mark = self._mark_end(parent, entry)
        return [Edit(mark, mark, f" {new}"), Edit(self._line_end(self._line_start(begin) - 1), end, "")]

    def adding(self, mapping: Node, key: str, value: Any) -> list[Edit]:
        """The edits that put a new key at the end of a mapping."""
        spelled = writing.key(key, self._format)
        if not mapping.flow and mapping.entries:
            indent = self._column(self._begin(mapping))
            return [self._line_below(mapping, writing.entry(spelled, value, indent))]
        return self._within_brackets(mapping, value, f"{spelled}: ")

    def appending(self, sequence: Node, value: Any) -> list[Edit]:
        """The edits that put a new item at the end of a sequence."""
        if not sequence.flow and sequence.entries:
            indent = self._column(self._begin(sequence))
            first, *rest = writing.block(value, indent + 2)
            return [self._line_below(sequence, [f"{' ' * indent}- {first}", *rest])]
        return self._within_brackets(sequence, value, "")

    def removing(self, parent: Node, index: int) -> list[Edit]:
        """The edits that take out one of several entries."""
        return self._removing_flow(parent, index) if parent.flow else [self._removing_block(parent, index)]

    # Replacing

    def _replacing_inline(self, node: Node, value: Any, parent: Node | None) -> Edit:
        end = node.start + len(self._text[node.start : node.end].rstrip())
        glued = node.start == node.end and self._text[node.start - 1 : node.start] in (":", "-")
        return Edit(node.start, end, (" " if glued else "") + self._inline(value, node.start, parent or node))

    def _inline(self, value: Any, at: int, around: Node) -> str:
        """With brackets; in JSON on several lines if what stands around it does."""
        if self._format is not Format.JSON or "\n" not in self._text[around.start : around.end]:
            return writing.inline(value, self._format)
        indent = len(self._indentation(at))
        unit = indent - len(self._indentation(around.start))
        return self._newline.join(_json_lines(value, indent, unit if unit > 0 else 2))

    # Adding

    def _line_below(self, node: Node, lines: list[str]) -> Edit:
        new = self._newline.join(lines)
        if self._text[node.end - 1] == "\n":  # a block scalar that keeps the blank lines below it
            return Edit(node.end, node.end, new + self._newline)
        end = self._text.find("\n", node.end)
        if end == -1:
            return Edit(len(self._text), len(self._text), self._newline + new)
        return Edit(end + 1, end + 1, new + self._newline)

    def _within_brackets(self, node: Node, value: Any, key: str) -> list[Edit]:
        if not node.entries:
            inside = self._text.index("{" if node.kind is Kind.MAPPING else "[", node.start) + 1
            return [Edit(inside, inside, key + self._inline(value, inside, node))]
        last = node.entries[-1]
        rest = _REST.match(self._text, last.value.end)
        new = key + self._inline(value, last.start, node)
        if rest is None or not self._starts_line(last.start):
            return [Edit(last.value.end, last.value.end, f", {new}")]
        line = self._newline + self._indentation(last.start) + new
        if rest[1]:
            return [Edit(rest.end(), rest.end(), f"{line},")]
        return [Edit(last.value.end, last.value.end, ","), Edit(rest.end(), rest.end(), line)]

    # Removing

    def _removing_block(self, parent: Node, index: int) -> Edit:
        entry = parent.entries[index]
        start, end = self._head(parent, entry), entry.value.end
        if not self._starts_line(start):
            later = parent.entries[index + 1 : index + 2]
            return Edit(start, self._head(parent, later[0]) if later else end, "")
        if self._text[end - 1] != "\n":
            newline = self._text.find("\n", end)
            if newline == -1:  # the last line, which has no end: what is then last shall have none either
                return Edit(self._line_end(self._line_start(start) - 1), len(self._text), "")
            end = newline + 1
        return Edit(self._line_start(start), end, "")

    def _removing_flow(self, parent: Node, index: int) -> list[Edit]:
        entry = parent.entries[index]
        if index + 1 < len(parent.entries):
            return [Edit(entry.start, parent.entries[index + 1].start, "")]
        before, end = parent.entries[index - 1].value.end, entry.value.end
        rest = _REST.match(self._text, end)
        if rest is None or not self._starts_line(entry.start):
            return [Edit(before, end, "")]
        lines = Edit(self._line_end(self._line_start(entry.start) - 1), rest.end(), "")
        comma = _GAP.match(self._text, before)
        assert comma is not None, "the pattern matches the empty text"
        return [lines] if rest[1] else [Edit(comma.end(), comma.end() + 1, ""), lines]

    # Places

    def _head(self, parent: Node, entry: Entry) -> int:
        """Where an entry begins: at its key, or in block style at the item's dash."""
        if parent.flow or parent.kind is Kind.MAPPING:
            return entry.start
        index = next(index for index, each in enumerate(parent.entries) if each is entry)
        return self._behind(_GAP, parent.entries[index - 1].value.end) if index else self._begin(parent)

    def _begin(self, node: Node) -> int:
        """Where the first entry of a block collection begins."""
        begin = self._behind(_GAP, self._behind(_PROPERTIES, node.start))
        # Properties at the start may be those of the first key; a first key may have a '?' before it.
        return min(begin, node.entries[0].start) if node.kind is Kind.MAPPING else begin

    def _behind(self, pattern: re.Pattern[str], at: int) -> int:
        found = pattern.match(self._text, at)
        assert found is not None, "the patterns match the empty text"
        return found.end()

    def _mark_end(self, parent: Node, entry: Entry) -> int:
        """The place behind an entry's colon or dash."""
        if parent.kind is Kind.MAPPING:
            return self._text.index(":", entry.key_end) + 1
        return self._head(parent, entry) + 1

    def _line_start(self, at: int) -> int:
        return self._text.rfind("\n", 0, at) + 1

    def _line_end(self, newline: int) -> int:
        """The end of the line that ends with the line feed at ``newline``, before a carriage return."""
        return newline - 1 if self._text[newline - 1 : newline] == "\r" else newline

    def _column(self, at: int) -> int:
        return at - self._line_start(at)

    def _starts_line(self, at: int) -> bool:
        return not self._text[self._line_start(at) : at].strip()

    def _indentation(self, at: int) -> str:
        start = self._line_start(at)
        line = self._text[start : at + 1]
        return line[: len(line) - len(line.lstrip())]


def _json_lines(value: Any, indent: int, unit: int) -> list[str]:
    """JSON with one entry a line; lists of scalars stay on one line. The first line has no indentation."""
    if not writing.is_block(value):
        return [writing.inline(value, Format.JSON)]
    inner = indent + unit
    opening, closing = ("{", "}") if isinstance(value, dict) else ("[", "]")
    entries: list[list[str]] = []
    if isinstance(value, dict):
        for name, each in cast("dict[Any, Any]", value).items():
            first, *rest = _json_lines(each, inner, unit)
            entries.append([f"{writing.key(name, Format.JSON)}: {first}", *rest])
    else:
        entries = [_json_lines(each, inner, unit) for each in value]
    lines = [opening]
    for index, (first, *rest) in enumerate(entries):
        written = [f"{' ' * inner}{first}", *rest]
        comma = "," if index + 1 < len(entries) else ""
        lines += [*written[:-1], written[-1] + comma]
    return [*lines, f"{' ' * indent}{closing}"]
