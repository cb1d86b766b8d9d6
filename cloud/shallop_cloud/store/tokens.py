"""Tokens of the API: only hashes are kept."""

from __future__ import annotations

import dataclasses
import datetime
import enum
import hashlib
from typing import Any

import sqlalchemy as sa

from shallop_cloud.store import tables


class Role(enum.StrEnum):
    """What the holder of a token may do; each may do what those before it may."""

    VIEWER = "viewer"
    """Look at everything but tokens."""
    OPERATOR = "operator"
    """Decide what the fleet runs: releases, deployments, labels."""
    ADMIN = "admin"
    """Decide who is in the fleet, and who may do what: devices, tokens."""


@dataclasses.dataclass(frozen=True, slots=True)
class Holder:
    """Who asks."""

    token: str
    name: str
    role: Role
    expires_at: datetime.datetime | None


def digest(token: str) -> str:
    """What is kept of a token."""
    return hashlib.sha256(token.encode()).hexdigest()


def holder(connection: sa.Connection, token: str, at: datetime.datetime) -> Holder | None:
    """Whose token this is; None if it is unknown, revoked, or expired at this time."""
    column = tables.api_tokens.c
    query = sa.select(column.id, column.name, column.role, column.expires_at)
    row = connection.execute(query.where(column.hash == digest(token), column.revoked_at.is_(None))).one_or_none()
    if row is None or (row.expires_at is not None and row.expires_at <= at):
        return None
    return Holder(row.id, row.name, Role(row.role), row.expires_at)


def has_admin(connection: sa.Connection) -> bool:
    """Whether there is a token of an admin that was not revoked."""
    column = tables.api_tokens.c
    query = sa.select(column.id).where(column.role == Role.ADMIN.value, column.revoked_at.is_(None)).limit(1)
    return connection.execute(query).first() is not None


@dataclasses.dataclass(frozen=True, slots=True)
class New:
    """A token to be recorded; of its secret, only the hash is."""

    id: str
    secret: str = dataclasses.field(repr=False)
    name: str
    role: Role
    created_at: datetime.datetime
    created_by: str
    expires_at: datetime.datetime | None = None


def insert(connection: sa.Connection, new: New) -> sa.RowMapping:
    """Records a token, and gives it as ``query`` does."""
    values = {field.name: getattr(new, field.name) for field in dataclasses.fields(new) if field.name != "secret"}
    values |= {"hash": digest(new.secret), "role": new.role.value}
    connection.execute(tables.api_tokens.insert().values(**values))
    return connection.execute(query().where(tables.api_tokens.c.id == new.id)).mappings().one()


def query() -> sa.Select[Any]:
    """All tokens, without their hashes."""
    return sa.select(*(column for column in tables.api_tokens.c if column.name != "hash"))


def find(connection: sa.Connection, key: str) -> sa.RowMapping | None:
    """A token by id or name; of those that had the name, the newest."""
    column = tables.api_tokens.c
    found = query().where(sa.or_(column.id == key, column.name == key))
    newest = found.order_by(column.revoked_at.is_not(None), column.created_at.desc(), column.id)
    return connection.execute(newest.limit(1)).mappings().one_or_none()


def valid(connection: sa.Connection, name: str, at: datetime.datetime) -> str | None:
    """The id of the token of this name that is accepted at this time."""
    column = tables.api_tokens.c
    return connection.execute(sa.select(column.id).where(column.name == name, *_valid(at))).scalar_one_or_none()


def admins(connection: sa.Connection, at: datetime.datetime) -> list[str]:
    """The ids of the admin tokens that are accepted at this time. They stay so until the transaction ends."""
    column = tables.api_tokens.c
    query = sa.select(column.id).where(column.role == Role.ADMIN.value, *_valid(at))
    return list(connection.execute(query.order_by(column.id).with_for_update()).scalars())


def revoke(
    connection: sa.Connection, at: datetime.datetime, *, key: str | None = None, name: str | None = None
) -> list[sa.RowMapping]:
    """Revokes the token with this id, or this name, if there is one that is not; gives those that it revoked."""
    column = tables.api_tokens.c
    meant = column.id == key if key is not None else column.name == name
    keys = list(connection.execute(sa.select(column.id).where(meant, column.revoked_at.is_(None))).scalars())
    connection.execute(tables.api_tokens.update().where(column.id.in_(keys)).values(revoked_at=at))
    return list(connection.execute(query().where(column.id.in_(keys))).mappings())


def _valid(at: datetime.datetime) -> tuple[sa.ColumnElement[bool], ...]:
    column = tables.api_tokens.c
    return column.revoked_at.is_(None), sa.or_(column.expires_at.is_(None), column.expires_at > at)


def ensure(connection: sa.Connection, key: str, name: str, token: str, at: datetime.datetime) -> None:
    """Makes this the admin token of ``name``, under the id ``key``, if it is new; an earlier one is revoked. One that
    was revoked stays so.
    """
    known = sa.select(tables.api_tokens.c.id).where(tables.api_tokens.c.hash == digest(token))
    if connection.execute(known).scalar_one_or_none() is None:
        revoke(connection, at, name=name)
        insert(connection, New(key, token, name, Role.ADMIN, at, "shallop"))
