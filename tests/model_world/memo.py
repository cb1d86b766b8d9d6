"""Answers of pure functions, asked once.

The cores are pure, and a small world asks them the same few thousand questions millions of times. Values made by a
remembered function are unique: two equal ones are the same object, so that they are compared and hashed as fast as
numbers are.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

_REMEMBERED: list[functools._lru_cache_wrapper] = []


def remembered(function: Callable[P, T]) -> Callable[P, T]:
    """The function, which from now on is called once for the same arguments. What it raises is not remembered."""
    cached = functools.cache(function)
    _REMEMBERED.append(cached)
    functools.update_wrapper(cached, function)
    return cached


def forget() -> None:
    """Forgets all answers: the cores may be others from now on. Values made before are not to be used any more."""
    for cached in _REMEMBERED:
        cached.cache_clear()
