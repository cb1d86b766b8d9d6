"""What a rule gives."""

from __future__ import annotations

from typing import NamedTuple

from torture.history import Line


class Found(NamedTuple):
    """What is wrong, and the lines that say so."""

    words: str
    lines: tuple[Line, ...]
