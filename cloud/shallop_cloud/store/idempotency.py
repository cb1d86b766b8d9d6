"""What was answered to requests that may be sent again: each answer is kept in the transaction of what it tells of."""

from __future__ import annotations

import dataclasses
import datetime
import hashlib

import sqlalchemy as sa

from shallop_cloud.store import tables

KEPT_FOR = datetime.timedelta(hours=24)
PURGED = 100
"""Of the answers that are too old, so many at most go with each new one."""


@dataclasses.dataclass(frozen=True, slots=True)
class Key:
    """What a request goes by: a key of its sender's choice, which belongs to the token."""

    token: str
    key: str


@dataclasses.dataclass(frozen=True, slots=True)
class Answer:
    """What was answered.

    Attributes:
        fingerprint: of the request.
        body: as it is kept; who asked can read it.
    """

    fingerprint: str
    status: int
    body: bytes


def lock(connection: sa.Connection, key: Key) -> None:
    """Holds a key until the transaction ends. On SQLite, who writes holds everything."""
    if connection.dialect.name == "postgresql":
        number = hashlib.sha256(f"{key.token} {key.key}".encode()).digest()[:8]
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(int.from_bytes(number, signed=True))))


def find(connection: sa.Connection, key: Key, at: datetime.datetime) -> Answer | None:
    """What was answered to this key in the last 24 hours."""
    column = tables.idempotency_keys.c
    query = sa.select(column.fingerprint, column.status, column.body)
    row = connection.execute(query.where(*_is(key), column.created_at > at - KEPT_FOR)).one_or_none()
    return None if row is None else Answer(row.fingerprint, row.status, row.body)


def keep(connection: sa.Connection, key: Key, answer: Answer, at: datetime.datetime) -> None:
    """Keeps an answer, in place of one that is too old, and purges others that are."""
    column = tables.idempotency_keys.c
    old = sa.select(column.token_id, column.key).where(column.created_at <= at - KEPT_FOR).order_by(column.created_at)
    some = old.limit(PURGED).with_for_update(skip_locked=True)
    connection.execute(tables.idempotency_keys.delete().where(sa.tuple_(column.token_id, column.key).in_(some)))
    connection.execute(tables.idempotency_keys.delete().where(*_is(key)))
    values = {"token_id": key.token, "key": key.key, **dataclasses.asdict(answer), "created_at": at}
    connection.execute(tables.idempotency_keys.insert().values(**values))


def _is(key: Key) -> tuple[sa.ColumnElement[bool], ...]:
    column = tables.idempotency_keys.c
    return column.token_id == key.token, column.key == key.key
