"""Values as text: how a value is spelled that this program writes into a config file.

YAML is spelled so that every reader takes it alike, whether it follows YAML 1.2, YAML 1.1 or ROS 2's parser: texts
such as ``on``, ``no``, ``010``, ``1e3``, ``12:30`` and ``nan`` are quoted, and floats have a point.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any, cast

from shallop_cloud.configs.documents import Format

_BARE = re.compile(r"[A-Za-z_/][A-Za-z0-9_./-]*")
"""Texts that need no quotes, unless they are one of the words."""
_WORDS = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null", "nan", "inf", "infinity"})
_HIDDEN = re.compile("[\x7f-\xa0\u2028\u2029\ufeff\ufffe\uffff]")
"""What YAML does not allow in a text as it is, takes for the end of a line, or nobody can see."""


class Unwritable(ValueError):
    """A value that the format has no spelling for. The message says why."""


def inline(value: Any, format: Format) -> str:  # noqa: A002
    """A value on one line, collections with brackets.

    Raises:
        Unwritable: JSON has no NaN and no infinity, no format has half of a surrogate pair, or the value is of a type
            that documents do not have.
    """
    match value:
        case dict():
            table = cast("dict[Any, Any]", value)
            return "{" + ", ".join(f"{key(each, format)}: {inline(table[each], format)}" for each in table) + "}"
        case list():
            return "[" + ", ".join(inline(each, format) for each in cast("list[Any]", value)) + "]"
        case None | bool():
            return {None: "null", True: "true", False: "false"}[value]
        case int():
            return _integer(value)
        case float():
            return _float(value, format)
        case str():
            return _text(value, format)
        case _:
            raise Unwritable(f"a value of the type {type(value).__name__} cannot stand in a config file")


def key(value: Any, format: Format) -> str:  # noqa: A002
    """A mapping's key; raises as `inline` does."""
    if not isinstance(value, str):
        raise Unwritable("mapping keys must be text")
    return _text(value, format)


def block(value: Any, indent: int) -> list[str]:
    """A value as lines of YAML with their indentation, collections in block style; lists of scalars stay on one line.

    The first line has no indentation: it goes where the value begins. Raises as `inline` does.
    """
    margin = " " * indent
    lines: list[str] = []
    if not is_block(value):
        return [inline(value, Format.YAML)]
    if isinstance(value, dict):
        for name, each in cast("dict[Any, Any]", value).items():
            lines += entry(key(name, Format.YAML), each, indent)
    else:
        for each in value:
            first, *rest = block(each, indent + 2)
            lines += [f"{margin}- {first}", *rest]
    return [lines[0][indent:], *lines[1:]]


def entry(spelled: str, value: Any, indent: int) -> list[str]:
    """A key that is spelled already and its value, as lines of block style with their indentation."""
    margin = " " * indent
    if not is_block(value):
        return [f"{margin}{spelled}: {inline(value, Format.YAML)}"]
    first, *rest = block(value, indent + 2)
    return [f"{margin}{spelled}:", f"{margin}  {first}", *rest]


def is_block(value: Any) -> bool:
    """Whether `block` gives several lines or more than brackets could: a mapping, or a list that holds collections."""
    if isinstance(value, dict):
        return bool(cast("dict[Any, Any]", value))
    return isinstance(value, list) and any(isinstance(each, (dict, list)) for each in cast("list[Any]", value))


def _integer(value: int) -> str:
    if value.bit_length() > _MOST_BITS:
        raise Unwritable("the number is too long")
    return str(value)


_MOST_BITS = 4_096
"""More than any number has that a document may hold; Python refuses to print much longer ones."""


def _float(value: float, format: Format) -> str:  # noqa: A002
    if math.isfinite(value):
        mantissa, e, exponent = repr(value).partition("e")
        return f"{mantissa}{'' if '.' in mantissa else '.0'}{e}{exponent}"
    if format is Format.JSON:
        raise Unwritable("JSON has no NaN and no infinity: use a number or null")
    return ".nan" if math.isnan(value) else ".inf" if value > 0 else "-.inf"


def _text(value: str, format: Format) -> str:  # noqa: A002
    try:
        value.encode()
    except UnicodeEncodeError:
        raise Unwritable("a text with half of a surrogate pair is not valid Unicode") from None
    if format is Format.YAML and _BARE.fullmatch(value) and value.lower() not in _WORDS:
        return value
    quoted = json.dumps(str(value), ensure_ascii=False)
    return _HIDDEN.sub(lambda found: f"\\u{ord(found[0]):04x}", quoted)
