"""Tokens of the API."""

from __future__ import annotations

import datetime
from typing import Annotated

import pydantic

from shallop_cloud.api.models.base import Moment, Shown, Taken
from shallop_cloud.store.tokens import Role


class NewToken(Taken):
    """A token to be made."""

    name: Annotated[str, pydantic.Field(min_length=1, max_length=128, description="Who or what it is for.")]
    role: Role
    expires_at: Moment | None = None


class Holder(Shown):
    """Whose token it is that was sent."""

    id: str
    name: str
    role: Role
    expires_at: datetime.datetime | None


class Token(Shown):
    """A token, without its secret, which nobody has but its holder."""

    id: str
    name: str
    role: Role
    created_at: datetime.datetime
    created_by: str
    expires_at: datetime.datetime | None
    revoked_at: datetime.datetime | None


class CreatedToken(Token):
    """A new token with its secret, which is shown this once."""

    token: str
