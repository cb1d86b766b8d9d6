"""JSON pointers (RFC 6901) as people type them."""

from __future__ import annotations

import re

from shallop_cloud.configs import values
from shallop_cloud.configs.findings import Finding, Refused

APPEND = "-"
"""The step that means the place behind a list's last item."""

_WRONG_ESCAPE = re.compile("~(?![01])")


def steps(pointer: str) -> tuple[str, ...]:
    """The steps of a pointer; none for the empty pointer, which means the whole document.

    Raises:
        Refused: it begins with something else than ``/``, or has a ``~`` that is neither ``~0`` nor ``~1``.
    """
    if not pointer:
        return ()
    if not pointer.startswith("/"):
        shown = values.show(pointer)
        raise Refused([Finding(f"{shown} is no JSON pointer: begin with '/', as in /limits/max_speed")])
    if _WRONG_ESCAPE.search(pointer):
        shown = values.show(pointer)
        raise Refused([Finding(f"{shown} is no JSON pointer: write '~0' for '~' and '~1' for '/' within a key")])
    return tuple(step.replace("~1", "/").replace("~0", "~") for step in pointer.split("/")[1:])


def index(step: str, length: int) -> int | None:
    """The index of one of ``length`` items, None if the step is none. ``01`` is none, as in RFC 6901."""
    if not step.isascii() or not step.isdecimal() or (step[0] == "0" and step != "0") or len(step) > _MOST_DIGITS:
        return None
    return int(step) if int(step) < length else None


_MOST_DIGITS = 9
