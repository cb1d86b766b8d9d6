"""Regular expressions as JSON Schema writes them (ECMA-262), read into a tree.

The tree serves two ends: to find patterns that a backtracking engine could be made to run away on, and to write the
pattern anew for an engine that cannot run away. So it holds what every engine agrees on, and refuses the rest:
look-around and back references need backtracking, and inline flags are no part of ECMA-262.
"""

from __future__ import annotations

import dataclasses
import re
from typing import NoReturn, Union

MAX_GROUPS = 20
"""How deep groups may be nested."""

BEYOND = 256
"""Stands for every character past Latin-1 in a set of characters."""
EVERY = frozenset(range(BEYOND + 1))


class PatternError(ValueError):
    """A pattern that is not accepted. The message is written for people."""


@dataclasses.dataclass(frozen=True, slots=True)
class Characters:
    """One character out of a set."""

    members: frozenset[int]
    source: str
    """How the engine spells the set."""


@dataclasses.dataclass(frozen=True, slots=True)
class Assertion:
    """A place rather than a character: ``^``, ``$``, ``\\b``, ``\\B``."""

    source: str


@dataclasses.dataclass(frozen=True, slots=True)
class Repeat:
    """``item`` at least ``low`` and at most ``high`` times; no bound if ``high`` is None."""

    item: Node
    low: int
    high: int | None


@dataclasses.dataclass(frozen=True, slots=True)
class Sequence:
    """One after the other."""

    items: tuple[Node, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Choice:
    """One of several."""

    branches: tuple[Node, ...]


Node = Union[Characters, Assertion, Repeat, Sequence, Choice]  # noqa: UP007  # named before its members exist


def parse(pattern: str) -> Node:
    """The tree of a pattern.

    Raises:
        PatternError: not a regular expression, or one with a part that only backtracking engines have.
    """
    return _Parser(pattern).whole()


def spell(node: Node) -> str:
    """The pattern of a tree, in the syntax of Rust's ``regex``."""
    match node:
        case Characters() | Assertion():
            return node.source
        case Repeat():
            bounds = f"{{{node.low},{'' if node.high is None else node.high}}}"
            return f"(?:{spell(node.item)}){bounds}"
        case Sequence():
            return "".join(spell(item) for item in node.items)
        case Choice():
            return f"(?:{'|'.join(spell(branch) for branch in node.branches)})"


_DIGITS = frozenset(range(0x30, 0x3A))
_LETTERS = frozenset(range(0x41, 0x5B)) | frozenset(range(0x61, 0x7B))
_WORD = _DIGITS | _LETTERS | {0x5F}
_SPACE = frozenset({*range(0x09, 0x0E), 0x20, 0xA0, BEYOND})
_CLASSES = {
    # ECMA-262's digits and word characters are ASCII; \x{FEFF} is a space to it and not to Unicode.
    "d": Characters(_DIGITS, "[0-9]"),
    "D": Characters(EVERY - _DIGITS, "[^0-9]"),
    "w": Characters(_WORD, "[0-9A-Za-z_]"),
    "W": Characters(EVERY - _WORD, "[^0-9A-Za-z_]"),
    "s": Characters(_SPACE, r"[\s\x{FEFF}]"),
    "S": Characters(EVERY - _SPACE | {BEYOND}, r"[^\s\x{FEFF}]"),
}
_CONTROLS = {"t": 0x09, "n": 0x0A, "v": 0x0B, "f": 0x0C, "r": 0x0D, "0": 0x00}
_BOUNDS = re.compile(r"\{([0-9]{1,6})(,([0-9]{1,6})?)?\}")
_CODE = re.compile(r"x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|u\{([0-9a-fA-F]{1,6})\}")
_CONTROL_LETTER = re.compile(r"c([A-Za-z])")
_PROPERTY = re.compile(r"[pP]\{[A-Za-z0-9_=]{1,60}\}")
_GROUP_NAME = re.compile(r"\?P?<[A-Za-z_$][A-Za-z0-9_$]*>")


class _Parser:
    def __init__(self, pattern: str) -> None:
        self._pattern = pattern
        self._at = 0
        self._groups = 0

    def whole(self) -> Node:
        node = self._choice()
        if self._at < len(self._pattern):
            self._refuse("')' without '('")
        return node

    def _refuse(self, message: str) -> NoReturn:
        raise PatternError(f"{message}, at character {self._at + 1} of the pattern")

    def _take(self, text: str) -> bool:
        found = self._pattern.startswith(text, self._at)
        if found:
            self._at += len(text)
        return found

    def _match(self, wanted: re.Pattern[str]) -> re.Match[str] | None:
        found = wanted.match(self._pattern, self._at)
        if found:
            self._at = found.end()
        return found

    def _next(self) -> str:
        if self._at >= len(self._pattern):
            self._refuse("the pattern ends too early")
        self._at += 1
        return self._pattern[self._at - 1]

    def _choice(self) -> Node:
        branches = [self._sequence()]
        while self._take("|"):
            branches.append(self._sequence())
        return branches[0] if len(branches) == 1 else Choice(tuple(branches))

    def _sequence(self) -> Node:
        items: list[Node] = []
        while self._at < len(self._pattern) and self._pattern[self._at] not in "|)":
            items.append(self._repeated())
        return items[0] if len(items) == 1 else Sequence(tuple(items))

    def _repeated(self) -> Node:
        item = self._item()
        bounds = self._bounds()
        if bounds is None:
            return item
        if isinstance(item, Assertion):
            self._refuse("nothing to repeat")
        self._take("?")  # a lazy repetition accepts the same texts
        if self._at < len(self._pattern) and self._pattern[self._at] in "*+?":
            self._refuse("nothing to repeat")
        return Repeat(item, *bounds)

    def _bounds(self) -> tuple[int, int | None] | None:
        for sign, bounds in (("*", (0, None)), ("+", (1, None)), ("?", (0, 1))):
            if self._take(sign):
                return bounds
        if (found := self._match(_BOUNDS)) is None:
            return None
        low = int(found[1])
        high = low if found[2] is None else None if found[3] is None else int(found[3])
        if high is not None and high < low:
            self._refuse("a repetition whose upper bound is below its lower bound")
        return low, high

    def _item(self) -> Node:
        character = self._next()
        match character:
            case "(":
                return self._group()
            case "[":
                return self._set()
            case "\\":
                return self._escape()
            case "^":
                return Assertion("^")
            case "$":
                return Assertion("$")
            case ".":
                return Characters(EVERY - {0x0A, 0x0D}, r"[^\n\r\x{2028}\x{2029}]")
            case "*" | "+" | "?":
                return self._refuse("nothing to repeat")
            case _:
                return _literal(ord(character))

    def _group(self) -> Node:
        if self._pattern.startswith(("?=", "?!", "?<=", "?<!"), self._at):
            self._refuse(
                "look-around is not supported, because it needs an engine that can run away: "
                'put a second pattern beside this one ("allOf"), or what is forbidden under "not"'
            )
        if not self._take("?:") and not self._match(_GROUP_NAME) and self._take("?"):
            self._refuse("flags and other extensions '(?…' are not part of JSON Schema's patterns")
        self._groups += 1
        if self._groups > MAX_GROUPS:
            self._refuse(f"groups nested deeper than {MAX_GROUPS}")
        node = self._choice()
        if not self._take(")"):
            self._refuse("'(' without ')'")
        self._groups -= 1
        return node

    def _escape(self) -> Node:
        if self._take("b"):
            return Assertion(r"(?-u:\b)")
        if self._take("B"):
            return Assertion(r"(?-u:\B)")
        return self._escaped_characters()

    def _escaped_characters(self) -> Characters:
        """What may follow a backslash in a set as well as outside."""
        if found := self._match(_CODE):
            return self._code(int(found[1] or found[2] or found[3], 16))
        if found := self._match(_CONTROL_LETTER):
            return _literal(ord(found[1]) % 32)
        if found := self._match(_PROPERTY):
            return Characters(EVERY, rf"\{found[0]}")
        character = self._next()
        if character in _CLASSES:
            return _CLASSES[character]
        if character in _CONTROLS:
            return _literal(_CONTROLS[character])
        if character in "123456789k":
            self._refuse("back references are not supported, because they need an engine that can run away")
        if character.isalnum():
            self._refuse(f"unknown escape '\\{character}'")
        return _literal(ord(character))

    def _code(self, code: int) -> Characters:
        if code > 0x10FFFF or 0xD800 <= code < 0xE000:
            self._refuse("an escape that stands for no character")
        return _literal(code)

    def _set(self) -> Node:
        negated = self._take("^")
        members: set[int] = set()
        source = ""
        while not self._take("]"):
            low = self._set_member()
            if self._pattern.startswith("-", self._at) and not self._pattern.startswith("-]", self._at):
                self._at += 1
                high = self._set_member()
                first, last = _only(low), _only(high)
                if first is None or last is None or first > last:
                    self._refuse("a range in '[…]' needs a single character on either side, the lower one first")
                low = Characters(_members(first, last), f"{low.source}-{high.source}")
            members |= low.members
            source += low.source
        if not source:
            return Characters(EVERY, r"[\s\S]") if negated else Characters(frozenset(), r"[^\s\S]")
        return Characters((EVERY - members) | {BEYOND} if negated else frozenset(members), f"[{'^' * negated}{source}]")

    def _set_member(self) -> Characters:
        character = self._next()
        if character != "\\":
            return _literal(ord(character))
        return _literal(0x08) if self._take("b") else self._escaped_characters()


def _literal(code: int) -> Characters:
    return Characters(_members(code, code), f"\\x{{{code:X}}}")


def _only(characters: Characters) -> int | None:
    """The code of a single character, None for a class of several."""
    return int(characters.source[3:-1], 16) if characters.source.startswith("\\x{") else None


def _members(first: int, last: int) -> frozenset[int]:
    return frozenset(range(first, min(last, BEYOND) + 1)) if first <= BEYOND else frozenset({BEYOND})
