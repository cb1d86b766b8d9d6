"""Tokens of the API: only hashes are kept."""

from __future__ import annotations

import datetime
import hashlib

import sqlalchemy as sa

from shallop_cloud.store import tables


def digest(token: str) -> str:
    """What is kept of a token."""
    return hashlib.sha256(token.encode()).hexdigest()


def holder(connection: sa.Connection, token: str) -> str | None:
    """Whose token this is."""
    column = tables.api_tokens.c
    return connection.execute(sa.select(column.name).where(column.hash == digest(token))).scalar()


def ensure(connection: sa.Connection, name: str, token: str, at: datetime.datetime) -> None:
    """Makes this the token of ``name``."""
    column = tables.api_tokens.c
    connection.execute(tables.api_tokens.delete().where(column.name == name, column.hash != digest(token)))
    if holder(connection, token) is None:
        connection.execute(tables.api_tokens.insert().values(hash=digest(token), name=name, created_at=at))
