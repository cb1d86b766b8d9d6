"""Whether the schemas that apply to one value through each other come to an end.

``{"$ref": "#"}`` applies itself to the same value for ever. A tree, whose nodes refer to the tree's schema from
within ``properties`` or ``items``, does not: each round takes a part of the value.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, cast

from shallop_cloud.configs import values

MAX_CHAIN = 64
"""How many schemas may apply to one value through each other."""

_ONE = ("$ref", "not", "if", "then", "else")
_SEVERAL = ("allOf", "anyOf", "oneOf")


class ChainError(Exception):
    """A chain that does not end, or not soon. ``schema`` is the linked schema to point at."""

    def __init__(self, schema: values.Table, message: str) -> None:
        self.schema = schema
        super().__init__(message)


def check(schemas: Iterable[Any]) -> None:
    """Pass if all chains within a linked schema are short.

    Raises:
        ChainError: a schema applies itself to the same value, or over 64 apply through each other.
    """
    heights: dict[int, int] = {}
    for schema in schemas:
        if isinstance(schema, values.Table):
            _height(schema, (), heights)


def _height(schema: values.Table, above: tuple[int, ...], heights: dict[int, int]) -> int:
    if id(schema) in above:
        raise ChainError(schema, "the schema refers to itself without end: it applies itself to the same value")
    if id(schema) not in heights and len(above) < MAX_CHAIN:
        below = (_height(each, (*above, id(schema)), heights) for each in _in_place(schema))
        heights[id(schema)] = 1 + max(below, default=0)
    if len(above) + heights.get(id(schema), MAX_CHAIN) > MAX_CHAIN:
        raise ChainError(schema, f"more than {MAX_CHAIN} schemas apply to one value here, through each other")
    return heights[id(schema)]


def _in_place(schema: values.Table) -> Iterator[values.Table]:
    children = [schema[keyword] for keyword in _ONE if keyword in schema]
    for keyword in _SEVERAL:
        children += cast("list[Any]", schema.get(keyword, []))
    children += cast("dict[str, Any]", schema.get("dependentSchemas", {})).values()
    return (child for child in children if isinstance(child, values.Table))
