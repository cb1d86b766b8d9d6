"""Whose orders count."""

from __future__ import annotations

import datetime
from typing import Annotated

import pydantic
from shallop_protocol import dsse, keys

from shallop_cloud.api.models.base import Shown, Taken

_TEXT = Annotated[str, pydantic.Field(min_length=1, max_length=keys.MAX_BYTES)]


class PublicKey(Shown):
    """A key, without its private half."""

    id: str = pydantic.Field(description="The first 32 hex digits of the SHA-256 of the raw key.")
    key: str = pydantic.Field(description="Raw Ed25519 public key, base64.")


class ListedKey(PublicKey):
    """A key of the list."""

    state: keys.KeyState
    held: bool = pydantic.Field(description="Whether this server has its private half.")


class GoingBy(Shown):
    """How many enrolled devices in service go by which key list, as they last said."""

    newest: int
    older: int
    newer: int = pydantic.Field(description="Than the cloud knows: its database is older than they are.")
    unknown: int = pydantic.Field(description="They said nothing since they enrolled.")


class Keys(Shown):
    """The key list in force, and who goes by it."""

    version: int
    epoch: int
    issued_at: datetime.datetime
    keys: list[ListedKey]
    unlisted: list[PublicKey] = pydantic.Field(
        description="Those whose private halves this server has, and that no list names yet."
    )
    roots: list[PublicKey]
    threshold: int = pydantic.Field(description="So many of the roots sign a key list together.")
    devices: GoingBy
    renewing: int = pydantic.Field(
        description="Devices for which the broker may still hold an order of an earlier list; it sinks to 0."
    )
    key_list: str = pydantic.Field(description="The list as it travels: the envelope, as text.")


class Signature(Taken):
    """One of an envelope."""

    keyid: Annotated[str, pydantic.Field(max_length=128)]
    sig: Annotated[str, pydantic.Field(max_length=256)]


class SignedKeys(Taken):
    """A key list, signed by enough of the roots: a DSSE envelope."""

    payloadType: _TEXT  # noqa: N815  the envelope's own spelling
    payload: _TEXT
    signatures: Annotated[list[Signature], pydantic.Field(min_length=1, max_length=dsse.MAX_SIGNATURES)]
