"""JSON as this protocol takes it: no duplicate keys, no NaN or Infinity, bounded in size and depth.

RFC 8259 leaves duplicate keys to the reader (section 4) and does not have NaN at all (section 6); two readers
that disagree on what a signed message says are a hole, so both are refused.
"""

from __future__ import annotations

import json
import math
from typing import Any, NoReturn

from shallop_protocol import errors

MAX_DEPTH = 32


def loads(data: bytes, limit: int) -> Any:  # Any: the caller's model says what it must be
    """The value that UTF-8 JSON says.

    Args:
        data: the bytes of one JSON text.
        limit: most bytes to look at.

    Raises:
        errors.TooLarge: more than ``limit`` bytes, or nested deeper than 32.
        errors.Malformed: not UTF-8, not JSON, a key twice in one object, NaN, Infinity, or a number beyond a double.
    """
    if len(data) > limit:
        raise errors.TooLarge(f"{len(data)} bytes, at most {limit} are taken")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise errors.Malformed(f"not UTF-8: byte {error.start}") from None
    _check_depth(text)
    try:
        return _DECODER.decode(text)
    except json.JSONDecodeError as error:
        raise errors.Malformed(f"not JSON: {error.msg} at character {error.pos}") from None
    except errors.Malformed:
        raise
    except ValueError:  # CPython refuses integers of more than 4,300 digits
        raise errors.Malformed("not JSON that this protocol takes: an integer is too long") from None


def dumps(value: object) -> bytes:
    """Compact UTF-8 JSON in the order of the value's own keys."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    value = dict(pairs)
    if len(value) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))
        raise errors.Malformed(f"key {twice[:64]!r} stands twice in one object")
    return value


def _constant(name: str) -> NoReturn:
    raise errors.Malformed(f"{name} is not a JSON number")


def _float(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise errors.Malformed(f"number {text[:32]} is beyond what a double holds")
    return value


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_constant, parse_float=_float)


def _check_depth(text: str) -> None:
    """Counts brackets outside strings: json.loads would recurse once for each."""
    if text.count("[") + text.count("{") <= MAX_DEPTH:
        return
    depth = 0
    pieces = text.replace("\\\\", "").replace('\\"', "").split('"')
    for piece in pieces[::2]:
        for character in piece:
            if character in "[{":
                depth += 1
                if depth > MAX_DEPTH:
                    raise errors.TooLarge(f"nested deeper than {MAX_DEPTH}")
            elif character in "]}":
                depth -= 1
