"""JSON (RFC 8259), strictly, with the place of every entry.

The verdict and the values are those of Python's ``json``, less what no two programs read alike: a key that occurs
twice, ``NaN`` and ``Infinity``, numbers beyond a float's range, lone surrogates, and a byte order mark.
"""

from __future__ import annotations

import bisect
import json
import re
from typing import Any, NoReturn

from shallop_cloud.configs import findings, values

MAX_DEPTH = 64
"""How deep arrays and objects may be nested."""
MAX_NODES = 100_000
"""How many values a document may hold."""
MAX_NUMBER = 400
"""How many characters a number may have, as in YAML."""

_SPACES = frozenset(" \t\n\r")
_SPACE = re.compile(r"[ \t\n\r]*")
_STRING = re.compile(r'"(?:[^"\\\x00-\x1f]+|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*')
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?")
_WORD = re.compile(r"-?[A-Za-z]+")
_SURROGATE = re.compile("[\ud800-\udfff]")
_WORDS: dict[str, Any] = {"null": None, "true": True, "false": False}


def load(text: str) -> tuple[Any, findings.Position]:
    """The value of a JSON text, and where it begins.

    Raises:
        Refused: with one finding that says what is wrong and where.
    """
    return _Reader(text).document()


class _Reader:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._nodes = 0
        self._line_starts = [0, *(found.end() for found in re.finditer("\n", text))]

    def document(self) -> tuple[Any, findings.Position]:
        if self._text.startswith("\ufeff"):
            self._refuse("JSON does not begin with a byte order mark: save the file as UTF-8 without BOM")
        if not self._next():
            self._refuse("the document is empty: JSON needs a value")
        place = self._place()
        value = self._value(1)
        if self._next():
            self._refuse("text after the end of the JSON value")
        return value, place

    def _place(self) -> findings.Position:
        line = bisect.bisect_right(self._line_starts, self._at)
        return findings.Position(line, self._at - self._line_starts[line - 1] + 1)

    def _refuse(self, message: str) -> NoReturn:
        raise findings.Refused([findings.Finding(message, "", *self._place())])

    def _next(self) -> str:
        """The next character that is not white space, or nothing at the end."""
        character = self._text[self._at : self._at + 1]
        if character in _SPACES:
            self._at = self._after_space()
            character = self._text[self._at : self._at + 1]
        return character

    def _after_space(self) -> int:
        space = _SPACE.match(self._text, self._at)
        assert space is not None, "the pattern matches the empty text"
        return space.end()

    def _value(self, depth: int) -> Any:
        character = self._next()
        self._nodes += 1
        if self._nodes > MAX_NODES:
            self._refuse(f"more than {MAX_NODES} values")
        if character in ("{", "["):
            if depth > MAX_DEPTH:
                self._refuse(f"nested deeper than {MAX_DEPTH} levels")
            return self._object(depth) if character == "{" else self._array(depth)
        if character == '"':
            return values.text(self._string())
        return self._number() if character in "-0123456789" and character else self._word()

    def _object(self, depth: int) -> values.Table:
        table = values.Table()
        self._at += 1
        if self._next() == "}":
            self._at += 1
            return table
        while True:
            if self._next() != '"':
                self._refuse("a key in double quotes is expected here")
            mark = self._place()
            start, key = self._at, self._string()
            if (first := table.marks.get(key)) is not None:
                self._at = start
                self._refuse(f"key {values.show(key)} occurs twice: first at {first.line}:{first.column}")
            if self._next() != ":":
                self._refuse("':' is expected after a key")
            self._at += 1
            table.put(key, self._value(depth + 1), mark)
            if self._ends("}"):
                return table

    def _array(self, depth: int) -> values.Row:
        row = values.Row()
        self._at += 1
        if self._next() == "]":
            self._at += 1
            return row
        while True:
            self._next()
            mark = self._place()
            row.put(self._value(depth + 1), mark)
            if self._ends("]"):
                return row

    def _ends(self, closing: str) -> bool:
        """Step over the comma between two entries, or over the end."""
        character = self._next()
        if character not in (",", closing):
            self._refuse(f"',' or '{closing}' is expected here")
        self._at += 1
        if character == "," and self._next() == closing:
            self._refuse(f"JSON has no comma before '{closing}'")
        return character == closing

    def _string(self) -> str:
        found = _STRING.match(self._text, self._at)
        assert found is not None, "called at a double quote"
        after = self._text[found.end() : found.end() + 1]
        if after != '"':
            self._at = found.end()
            if after == "\\":
                self._refuse("unknown escape in a text")
            self._refuse("a control character in a text must be escaped" if after else "the text does not end")
        string: str = json.loads(f'{found[0]}"') if "\\" in found[0] else found[0][1:]
        if _SURROGATE.search(string):
            self._refuse("a text with half of a surrogate pair is not valid Unicode")
        self._at = found.end() + 1
        return string

    def _number(self) -> int | float:
        found = _NUMBER.match(self._text, self._at)
        if found is None:
            return self._word()
        if len(found[0]) > MAX_NUMBER:
            self._refuse(f"a number of {len(found[0])} characters is too long: at most {MAX_NUMBER}")
        if found[1] is None and found[2] is None:
            number = int(found[0])
        elif (number := float(found[0])) in (float("inf"), float("-inf")):
            self._refuse(f"{found[0]} is beyond the range of a float")
        self._at = found.end()
        return number

    def _word(self) -> Any:
        found = _WORD.match(self._text, self._at)
        if found is None:
            self._refuse("a JSON value is expected here")
        if found[0] in _WORDS:
            self._at = found.end()
            return _WORDS[found[0]]
        if found[0] in ("NaN", "Infinity", "-Infinity"):
            self._refuse(f"JSON has no {found[0]}: use a number or null")
        return self._refuse(f"{values.show(found[0])} is not a JSON value: texts need double quotes")
