"""What happened: one row for each accepted change, written in the transaction of the change.

Rows are only ever added, which the database enforces, and each is sealed with a hash over itself and the one before it:
whoever changes, removes or puts in a row behind the database's back has to change every hash after it.
"""

from __future__ import annotations

import dataclasses
import datetime
import functools
import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from shallop_cloud.store import prepared, tables


def row(
    *,
    at: datetime.datetime,
    actor: str,
    action: str,
    device_id: str | None = None,
    deployment_id: str | None = None,
    release_id: str | None = None,
    device_time: datetime.datetime | None = None,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """One row, with every column, so that rows of all kinds go in by one statement."""
    return {
        "at": at,
        "actor": actor,
        "action": action,
        "device_id": device_id,
        "deployment_id": deployment_id,
        "release_id": release_id,
        "device_time": device_time,
        "before": before,
        "after": after,
    }


def append(connection: sa.Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    """Adds rows, in order, to the end of the chain. Once in a transaction, and last in it: who appends on PostgreSQL
    holds the end of the chain until the commit.
    """
    if not rows:
        return
    entries, last = connection.execute(_HEAD).one()
    texts = _Texts()
    sealed: list[dict[str, Any]] = []
    for each in rows:
        before, after = texts.of(each["before"]), texts.of(each["after"])
        last = seal(last, each, before, after)
        written = {"before": _written(before), "after": _written(after), "hash": last}
        sealed.append({**each, **written})
    _INSERT.execute(connection, sealed)
    connection.execute(_MOVE_HEAD, {"entries": entries + len(rows), "last": last})


_HEAD = sa.select(tables.history_head.c.entries, tables.history_head.c.hash).with_for_update()
_MOVE_HEAD = tables.history_head.update().values(entries=sa.bindparam("entries"), hash=sa.bindparam("last"))
_INSERT = prepared.insert(tables.history, [column.name for column in tables.history.c if column.name != "id"])

FIRST = "0" * 64
"""What stands for the hash before the first row."""


def seal(last: str, row: Mapping[str, Any] | sa.RowMapping, before: str | None, after: str | None) -> str:
    """The hash of a row: SHA-256, in hex, of a JSON array in ASCII without spaces.

    The array has the hash of the row before it, then time, actor, action, the ids of device, deployment and release,
    the device's time, and the texts of ``before`` and ``after`` as they are stored. Times are in UTC with six digits
    for the fraction, as ``2026-03-01T12:00:00.000000Z``.
    """
    fields = [
        last,
        _time(row["at"]),
        row["actor"],
        row["action"],
        row["device_id"],
        row["deployment_id"],
        row["release_id"],
        _time(row["device_time"]),
        before,
        after,
    ]
    return hashlib.sha256(_COMPACT.encode(fields).encode()).hexdigest()


_COMPACT = json.JSONEncoder(separators=(",", ":"))


@functools.lru_cache(maxsize=1024)
def _time(moment: datetime.datetime | None) -> str | None:
    if moment is None:
        return None
    return moment.astimezone(datetime.UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


class _Texts:
    """JSON of values; rows that hold the same object share its text."""

    def __init__(self) -> None:
        self._known: dict[int, str] = {}

    def of(self, value: Mapping[str, Any] | None) -> str | None:
        """Its text; the rows hold their values, so no identity is used twice meanwhile."""
        if value is None:
            return None
        key = id(value)
        if key not in self._known:
            self._known[key] = _COMPACT.encode(value)
        return self._known[key]


def _written(text: str | None) -> prepared.Written | None:
    return None if text is None else prepared.Written(text)


@dataclasses.dataclass(frozen=True, slots=True)
class Verdict:
    """What a look at the whole chain found.

    Attributes:
        entries: how many rows hold together, from the first on.
        head: the hash of the last of them. Who wrote it down can tell later whether the end was cut off.
        broken_at: the id of the first row that does not follow from the one before it; None if there is none.
        reason: what is wrong, in words for a person.
    """

    entries: int
    head: str
    broken_at: int | None = None
    reason: str = ""

    @property
    def whole(self) -> bool:
        """Whether nothing was changed, removed or put in between."""
        return not self.reason


def verify(connection: sa.Connection, expected_head: str | None = None) -> Verdict:
    """Computes the chain anew.

    Args:
        expected_head: a hash that was the head once; it must still be one of the chain's.
    """
    column = tables.history.c
    query = sa.select(*(column[name] for name in _SEALED), *_TEXTS, column.hash).order_by(column.id)
    last, entries, seen = FIRST, 0, expected_head in (None, FIRST)
    with connection.execution_options(yield_per=1_000).execute(query) as rows:
        for row in rows.mappings():
            if seal(last, row, row["before_text"], row["after_text"]) != row["hash"]:
                words = f"entry {row['id']} is not what was recorded, or entries before it are missing"
                return Verdict(entries, last, row["id"], words)
            last = row["hash"]
            entries += 1
            seen = seen or last == expected_head
    head = connection.execute(sa.select(tables.history_head)).mappings().one()
    if (head["entries"], head["hash"]) != (entries, last):
        return Verdict(entries, last, None, f"{head['entries']} entries were recorded, and {entries} are there")
    if not seen:
        return Verdict(entries, last, None, "the expected head is not in this history: its end was replaced or cut off")
    return Verdict(entries, last)


_SEALED = ("id", "at", "actor", "action", "device_id", "deployment_id", "release_id", "device_time")
_TEXTS = [sa.cast(tables.history.c[name], sa.Text).label(f"{name}_text") for name in ("before", "after")]


def newest(connection: sa.Connection) -> int:
    """The id of the newest row; 0 if there is none. Rows are committed in the order of their ids."""
    return connection.execute(sa.select(sa.func.coalesce(sa.func.max(tables.history.c.id), 0))).scalar_one()


def tells_of_devices(connection: sa.Connection, after: int) -> bool:
    """Whether a row behind ``after`` tells of an act on a device itself, such as its enrolment."""
    column = tables.history.c
    acts = column.action.startswith("device_", autoescape=True)
    return connection.execute(sa.select(column.id).where(column.id > after, acts).limit(1)).first() is not None


TOKEN_REVOKED = "token_revoked"  # noqa: S105  an action
"""Whose ``after`` has the ``id`` of the token."""


def query(
    *,
    device: str | None = None,
    deployment: str | None = None,
    actor: str | None = None,
    action: str | None = None,
    since: datetime.datetime | None = None,
) -> sa.Select[Any]:
    """The rows about one device or deployment, by one actor, of one action, since some time: those of all that is
    given.
    """
    column = tables.history.c
    given = [
        (column.device_id, device),
        (column.deployment_id, deployment),
        (column.actor, actor),
        (column.action, action),
    ]
    select = sa.select(tables.history).where(*(each == value for each, value in given if value is not None))
    return select if since is None else select.where(column.at >= since)
