"""Tokens: who may ask the API for what. A token's secret is shown once, to who made it, and kept nowhere."""

from __future__ import annotations

import dataclasses
import datetime
import re
import secrets
from typing import Any

import sqlalchemy as sa
import sqlalchemy.exc
from shallop_protocol import ids

from shallop_cloud import errors
from shallop_cloud.configs.findings import Finding
from shallop_cloud.services import lookup
from shallop_cloud.services.shore import Shore
from shallop_cloud.store import history, pages, tables, tokens
from shallop_cloud.store.database import Database
from shallop_cloud.store.tokens import Role

RANDOM_BYTES = 24
RECOVERED = "recovered"
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._@-]{0,126}[A-Za-z0-9])?\Z")


@dataclasses.dataclass(frozen=True, slots=True)
class Created:
    """A new token, with the secret that is shown this once."""

    row: sa.RowMapping
    secret: str = dataclasses.field(repr=False)


def create(shore: Shore, name: str, role: Role, expires_at: datetime.datetime | None, actor: str) -> Created:
    """Makes a token. A name that only an expired one has is free again.

    Raises:
        errors.Invalid: ``name_invalid`` or ``expiry_invalid``.
        errors.Conflict: ``token_exists``.
    """
    at = shore.now()
    _check(name, expires_at, at)
    try:
        with shore.database.write() as connection:
            other = tokens.valid(connection, name, at)
            if other is not None:
                words = f"there is a token named {name!r} already, {other}; choose another name, or revoke that one"
                raise errors.Conflict("token_exists", words)
            return _create(connection, name, role, expires_at, actor, at)
    except sqlalchemy.exc.IntegrityError:
        raise errors.Conflict("token_exists", f"another token took the name {name!r} meanwhile") from None


def recover(database: Database) -> Created:
    """Makes an admin token without asking for one, for whoever has the database and has lost all tokens.

    It replaces the one that was made so before.
    """
    at = datetime.datetime.now(datetime.UTC)
    with database.write() as connection:
        return _create(connection, RECOVERED, Role.ADMIN, None, "recovery", at)


def _create(
    connection: sa.Connection,
    name: str,
    role: Role,
    expires_at: datetime.datetime | None,
    actor: str,
    at: datetime.datetime,
) -> Created:
    secret = f"shallop-{role}-{secrets.token_urlsafe(RANDOM_BYTES)}"
    key = ids.make(ids.Prefix.TOKEN, secrets.token_bytes(ids.RANDOM_BYTES))
    entries = [_entry(history.TOKEN_REVOKED, row, actor, at) for row in tokens.revoke(connection, at, name=name)]
    row = tokens.insert(connection, tokens.New(key, secret, name, role, at, actor, expires_at))
    history.append(connection, [*entries, _entry("token_created", row, actor, at)])
    return Created(row, secret)


def page(shore: Shore, limit: int, cursor: str | None) -> pages.Page:
    """Tokens, newest first."""
    column = tables.api_tokens.c
    order = [column.created_at, column.id]
    with shore.database.read() as connection:
        return pages.read(connection, tokens.query(), order, newest_first=True, limit=limit, cursor=cursor)


def find(shore: Shore, key: str) -> sa.RowMapping:
    """A token by id, prefix or name; of those that had a name, the newest.

    Raises:
        errors.NotFound: there is none.
    """
    with shore.database.read() as connection:
        return lookup.token(connection, key)


def revoke(shore: Shore, key: str, actor: str) -> sa.RowMapping:
    """Makes a token worthless.

    Raises:
        errors.NotFound: there is none.
        errors.Conflict: ``token_revoked``; or ``token_last_admin``, because nobody could make another.
    """
    at = shore.now()
    with shore.database.write() as connection:
        shore.database.take_turns(connection)  # of the last two admin tokens, one stays
        row = lookup.token(connection, key)
        if row["revoked_at"] is not None:
            raise errors.Conflict("token_revoked", f"the token {row['name']!r}, {row['id']}, is revoked already")
        if tokens.admins(connection, at) == [row["id"]]:
            words = f"{row['name']!r} is the last admin token, and only an admin can make another; do that first"
            raise errors.Conflict("token_last_admin", words)
        revoked = tokens.revoke(connection, at, key=row["id"])
        history.append(connection, [_entry(history.TOKEN_REVOKED, row, actor, at)])
    return revoked[0]


def _check(name: str, expires_at: datetime.datetime | None, at: datetime.datetime) -> None:
    if not _NAME.match(name) or ids.is_id(name.upper()):
        words = "a name is 1 to 128 letters, digits, '.', '_', '@' or '-', with a letter or digit at both ends"
        raise errors.Invalid("name_invalid", f"{name!r} cannot be a name: {words}", (Finding(words, "/name", 0, 0),))
    if expires_at is not None and expires_at <= at:
        words = "it would have expired already; name a time to come"
        raise errors.Invalid("expiry_invalid", f"expires_at: {words}", (Finding(words, "/expires_at", 0, 0),))


def _entry(action: str, row: sa.RowMapping, actor: str, at: datetime.datetime) -> dict[str, Any]:
    expires_at = row["expires_at"]
    shown = {
        "id": row["id"],
        "name": row["name"],
        "role": row["role"],
        "expires_at": expires_at.isoformat() if expires_at else None,
    }
    return history.row(at=at, actor=actor, action=action, after=shown)
