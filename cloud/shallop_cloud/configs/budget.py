"""How much work a judgement may do: counted in steps rather than seconds, so that the verdict is always the same.

Keywords are evaluated as generators within generators, deep inside jsonschema, which has no place for a running
count; so the count is a context variable.
"""

from __future__ import annotations

import contextlib
import contextvars
import dataclasses
from collections.abc import Generator

STEP = 10
"""What the evaluation of one keyword costs. Looking at one entry of a list or object costs 1."""


class TooMuchWorkError(Exception):
    """The budget is used up."""


@dataclasses.dataclass(slots=True)
class Budget:
    """What may still be spent."""

    left: int


@contextlib.contextmanager
def share(purse: Budget, most: int) -> Generator[Budget]:
    """A budget of at most ``most`` out of a purse that others share; what is left of it goes back."""
    given = max(0, min(most, purse.left))
    own = Budget(given)
    try:
        yield own
    finally:
        purse.left -= given - max(0, own.left)


_budget: contextvars.ContextVar[Budget] = contextvars.ContextVar("shallop_validation_budget")


@contextlib.contextmanager
def paid_from(budget: Budget) -> Generator[None]:
    """Within this context, `spend` takes from ``budget``."""
    token = _budget.set(budget)
    try:
        yield
    finally:
        _budget.reset(token)


def spend(amount: int) -> None:
    """Pay for work about to be done.

    Raises:
        TooMuchWorkError: less than that was left.
    """
    purse = _budget.get()
    purse.left -= amount
    if purse.left < 0:
        raise TooMuchWorkError
