"""What the harness looks for."""

from __future__ import annotations


class Violation(Exception):
    """An invariant does not hold. ``rule`` is its number."""

    def __init__(self, rule: str, words: str) -> None:
        super().__init__(f"{rule}: {words}")
        self.rule = rule
