"""What is wrong with a document, and where: one line per finding, in the form that editors can jump to."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Iterable, Sequence
from typing import NamedTuple

Path = tuple[str | int, ...]
"""The way from a document's root to one of its values: keys and indexes."""


class Position(NamedTuple):
    """A place in a text. Line and column count from 1; a column is one character."""

    line: int
    column: int


START = Position(1, 1)


@dataclasses.dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong, with the place to look at.

    ``str()`` gives ``file:line:column /pointer: message``, and leaves out what is empty.
    """

    message: str
    pointer: str = ""
    """RFC 6901 JSON pointer of the value; empty for the document as a whole."""
    line: int = 1
    column: int = 1
    file: str = ""
    """The file's name, where more than one could be meant; else empty, and the caller knows the name."""

    def __str__(self) -> str:
        name = f"{self.file}:" if self.file else ""
        pointer = f" {self.pointer}" if self.pointer else ""
        return f"{name}{self.line}:{self.column}{pointer}: {self.message}"

    def in_file(self, file: str) -> Finding:
        """The same finding, said of ``file``."""
        return dataclasses.replace(self, file=file)


class Refused(ValueError):
    """A document, schema or release that is not accepted. ``findings`` says why, at least once."""

    def __init__(self, findings: Iterable[Finding]) -> None:
        self.findings = tuple(findings)
        super().__init__("\n".join(str(finding) for finding in self.findings))


def pointer_of(path: Sequence[str | int]) -> str:
    """The JSON pointer (RFC 6901) of a path."""
    return "".join(f"/{str(part).replace('~', '~0').replace('/', '~1')}" for part in path)


def position_in(text: str, index: int) -> Position:
    """Line and column of the character at ``index``."""
    line_start = text.rfind("\n", 0, index) + 1
    return Position(text.count("\n", 0, index) + 1, index - line_start + 1)


def meant(word: str, known: Iterable[str]) -> str:
    """`` (did you mean 'x'?)`` if a known word is close to ``word``, else nothing."""
    if len(word) > _LONGEST_WORD:
        return ""
    candidates = [each for _, each in zip(range(_MOST_WORDS), known, strict=False) if len(each) <= _LONGEST_WORD]
    close = difflib.get_close_matches(word, candidates, n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""


_LONGEST_WORD = 64
_MOST_WORDS = 200
