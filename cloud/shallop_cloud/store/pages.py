"""Pages of a list by keyset: a cursor names the last row seen, so that pages neither skip nor repeat under writes."""

from __future__ import annotations

import base64
import binascii
import dataclasses
import datetime
import heapq
import json
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from shallop_cloud import errors


@dataclasses.dataclass(frozen=True, slots=True)
class Page:
    """Rows of a list, and the cursor that the next page begins behind; None at the end."""

    rows: Sequence[sa.RowMapping]
    next_cursor: str | None


def read(
    connection: sa.Connection,
    query: sa.Select[Any],
    order: Sequence[sa.Column[Any]],
    *,
    newest_first: bool,
    limit: int,
    cursor: str | None,
) -> Page:
    """One page of a query, ordered by columns that are unique together.

    Raises:
        errors.Problem: the cursor is not one that this list gave.
    """
    return read_all(connection, [query], order, newest_first=newest_first, limit=limit, cursor=cursor)


def read_all(
    connection: sa.Connection,
    queries: Sequence[sa.Select[Any]],
    order: Sequence[sa.Column[Any]],
    *,
    newest_first: bool,
    limit: int,
    cursor: str | None,
) -> Page:
    """One page of what several queries give together, no row twice; each by itself can be read in order from an index.

    Raises:
        errors.Problem: the cursor is not one that this list gave.
    """
    found: list[Sequence[sa.RowMapping]] = []
    for query in queries:
        if cursor is not None:
            query = query.where(_behind(_decode(cursor, order), order, newest_first))
        query = query.order_by(*(column.desc() if newest_first else column.asc() for column in order))
        found.append(connection.execute(query.limit(limit + 1)).mappings().all())
    merged = heapq.merge(*found, key=lambda row: [row[column.name] for column in order], reverse=newest_first)
    rows = [row for _, row in zip(range(limit + 1), merged, strict=False)]
    if len(rows) <= limit:
        return Page(rows, None)
    rows = rows[:limit]
    return Page(rows, _encode([rows[-1][column.name] for column in order]))


def _behind(values: Sequence[Any], order: Sequence[sa.Column[Any]], newest_first: bool) -> sa.ColumnElement[bool]:
    place, here = sa.tuple_(*order), sa.tuple_(*(sa.literal(v, c.type) for v, c in zip(values, order, strict=True)))
    return place < here if newest_first else place > here


def _encode(values: Sequence[Any]) -> str:
    texts = [value.isoformat() if isinstance(value, datetime.datetime) else value for value in values]
    return base64.urlsafe_b64encode(json.dumps(texts).encode()).decode().rstrip("=")


def _decode(cursor: str, order: Sequence[sa.Column[Any]]) -> list[Any]:
    wrong = errors.Problem(400, "cursor_invalid", "this cursor was not given by this list; start without one")
    try:
        values = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        decoded: list[Any] = []
        for value, column in zip(values, order, strict=True):
            kind = column.type.python_type
            decoded.append(datetime.datetime.fromisoformat(value) if kind is datetime.datetime else value)
            if type(decoded[-1]) is not kind or not _is_storable(decoded[-1]):
                raise wrong
    except (binascii.Error, ValueError, TypeError, RecursionError):
        raise wrong from None
    return decoded


def _is_storable(value: Any) -> bool:
    """Whether databases can compare with it: not with a number of more than 64 bits, a time that is none in UTC, or
    a text that is not UTF-8 or has a NUL.
    """
    match value:
        case int():
            return abs(value) < 2**63
        case datetime.datetime():
            return value.tzinfo is not None and 1 < value.year < 9999
        case _:
            return not isinstance(value, str) or value.isprintable()
