"""The one way in which a run ends badly."""

from __future__ import annotations


class Violation(BaseException):
    """An invariant does not hold. Not an Exception, so that no handler of the code under test swallows it.

    Attributes:
        invariant: its number, such as ``S2``.
        words: what was found, and where.
    """

    def __init__(self, invariant: str, words: str) -> None:
        super().__init__(f"{invariant}: {words}")
        self.invariant = invariant
        self.words = words
