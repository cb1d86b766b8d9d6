"""Patterns that cannot make a process hang.

``^(a+)+$`` against 26 letters and a ``!`` takes seconds in a backtracking engine such as Python's ``re``, and twice
as long with each letter more. Two things stand against that:

- patterns are matched by Rust's ``regex`` (which comes with pydantic): time grows with the length of the text only;
- patterns that would run away elsewhere are refused when the schema is made, with the reason, since editors and
  the robot's own software may check the same schema with a backtracking engine.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Annotated

import pydantic
import pydantic_core

from shallop_cloud.configs import regex_syntax
from shallop_cloud.configs.regex_syntax import Assertion, Characters, Choice, Node, PatternError, Repeat, Sequence

MAX_LENGTH = 1_000
"""How many characters a pattern may have."""
MAX_SIZE = 2_000
"""How many single-character steps a pattern may have, counted repetitions written out."""

_PROPERTY_SIZE = 20
"""A class such as ``\\p{L}`` has hundreds of ranges."""
_MANY = 10
"""From how many times a bounded repetition counts as unbounded."""
_WHAT_TO_DO = "begin or end each round with a character that the rest cannot match, or bound the repetition"


@dataclasses.dataclass(frozen=True, slots=True)
class Pattern:
    """A compiled pattern."""

    source: str
    size: int
    """What it costs per character of text, at worst."""
    _engine: pydantic.TypeAdapter[str] = dataclasses.field(repr=False, compare=False)

    def matches(self, text: str) -> bool:
        """Whether the pattern matches somewhere in ``text``."""
        try:
            self._engine.validate_python(text, strict=True)
        except pydantic.ValidationError:
            return False
        return True


def compile(source: str) -> Pattern:  # noqa: A001  # called as patterns.compile, like re.compile
    """Compile a pattern of a JSON Schema (ECMA-262 syntax, ASCII ``\\d`` and ``\\w``, found anywhere in the text).

    Raises:
        PatternError: not a regular expression, with parts that only backtracking engines have, too large, or one
            that such an engine can be made to run away on.
    """
    if len(source) > MAX_LENGTH:
        raise PatternError(f"the pattern has {len(source)} characters: at most {MAX_LENGTH}")
    tree = regex_syntax.parse(source)
    size = _size(tree)
    if size > MAX_SIZE:
        raise PatternError(f"the pattern's repetitions written out are too large: {size} steps, at most {MAX_SIZE}")
    if reason := _runs_away(tree):
        raise PatternError(f"the pattern can take exponential time on a backtracking engine: {reason}; {_WHAT_TO_DO}")
    rule = pydantic.StringConstraints(pattern=regex_syntax.spell(tree))
    try:
        engine = pydantic.TypeAdapter(Annotated[str, rule], config=pydantic.ConfigDict(regex_engine="rust-regex"))
    except pydantic_core.SchemaError as error:
        raise PatternError(f"not a regular expression that can be used here: {_last_line(error)}") from None
    return Pattern(source, size, engine)


def _last_line(error: Exception) -> str:
    return str(error).strip().splitlines()[-1].removeprefix("error: ")


def _size(node: Node) -> int:
    match node:
        case Characters():
            return _PROPERTY_SIZE if "\\p" in node.source.lower() else 1
        case Assertion():
            return 0
        case Repeat():
            return 1 + _size(node.item) * max(node.low + 1 if node.high is None else node.high, 1)
        case Sequence():
            return sum(_size(item) for item in node.items)
        case Choice():
            return len(node.branches) + sum(_size(branch) for branch in node.branches)


def _runs_away(node: Node) -> str | None:
    """Why a text may be divided among the rounds of a repetition in exponentially many ways, or None."""
    match node:
        case Characters() | Assertion():
            return None
        case Repeat():
            inner = _rounds_blur(node.item) if _many(node) else None
            return inner or _runs_away(node.item)
        case Sequence():
            return _first(_runs_away(item) for item in node.items)
        case Choice():
            return _first(_runs_away(branch) for branch in node.branches)


def _first(reasons: Iterable[str | None]) -> str | None:
    return next((reason for reason in reasons if reason), None)


def _rounds_blur(body: Node) -> str | None:
    branches = body.branches if isinstance(body, Choice) else (body,)
    for branch in branches:
        items = branch.items if isinstance(branch, Sequence) else (branch,)
        for item in items:
            if _repeats_many(item) and not any(_separates(other, item) for other in items if other is not item):
                return "a repeated group repeats within itself"
    for index, one in enumerate(branches):
        if any(_overlap(one, other) for other in branches[index + 1 :]):
            return "a repeated group has alternatives that match the same text"
    return None


def _many(node: Repeat) -> bool:
    return node.high is None or node.high >= _MANY


def _repeats_many(node: Node) -> bool:
    match node:
        case Characters() | Assertion():
            return False
        case Repeat():
            return _many(node) or _repeats_many(node.item)
        case Sequence():
            return any(_repeats_many(item) for item in node.items)
        case Choice():
            return any(_repeats_many(branch) for branch in node.branches)


def _separates(node: Node, item: Node) -> bool:
    """Whether each round must pass ``node``, and ``item`` cannot match what it matches."""
    return not _can_be_empty(node) and not _members(node) & _members(item)


def _can_be_empty(node: Node) -> bool:
    match node:
        case Characters():
            return False
        case Assertion():
            return True
        case Repeat():
            return node.low == 0 or _can_be_empty(node.item)
        case Sequence():
            return all(_can_be_empty(item) for item in node.items)
        case Choice():
            return any(_can_be_empty(branch) for branch in node.branches)


def _members(node: Node) -> frozenset[int]:
    match node:
        case Characters():
            return node.members
        case Assertion():
            return frozenset()
        case Repeat():
            return _members(node.item)
        case Sequence():
            return frozenset[int]().union(*(_members(item) for item in node.items))
        case Choice():
            return frozenset[int]().union(*(_members(branch) for branch in node.branches))


def _overlap(one: Node, other: Node) -> bool:
    """Whether two alternatives can begin alike for as long as the shorter one goes."""
    pairs = zip(_steps(one), _steps(other), strict=False)
    return all(first & second for first, second in pairs)


def _steps(node: Node) -> list[frozenset[int]]:
    return [_members(item) for item in (node.items if isinstance(node, Sequence) else (node,)) if _members(item)]
