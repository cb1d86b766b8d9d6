"""Whose orders count: the key list, which the root signs and every device follows.

The root's private keys stay offline; a device pins the public ones when it enrols. They sign nothing but key lists.
A key list names the keys that sign orders and echoes, what became of each, and the epoch. It travels as one retained
message that is the whole truth, so a device that was away during a whole rotation needs only the newest.

Source: the roles of root and delegated keys in https://theupdateframework.github.io/specification/latest/, section 2,
reduced to two levels.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Mapping, Sequence
from typing import Annotated

import pydantic

from shallop_protocol import dsse, errors, messages

PAYLOAD_TYPE = "application/vnd.shallop.keys+json"
MAX_BYTES = 16_384
"""Bytes of the envelope of a key list."""
MAX_KEYS = 16
MAX_ROOTS = dsse.MAX_SIGNATURES
MAX_ACTIVE = 2
"""Keys that sign at the same time: one, and during a rotation its successor."""


class KeyState(str, enum.Enum):
    """What became of a signing key. Only an active one's signature counts; the others are told apart for people."""

    ACTIVE = "active"
    RETIRED = "retired"
    REVOKED = "revoked"


class SigningKey(messages.Value):
    """A key that signs, or signed, for the cloud."""

    key: Annotated[str, pydantic.Field(pattern=r"^[A-Za-z0-9+/]{43}=$", description="Ed25519, RFC 8032, in base64.")]
    state: KeyState

    @property
    def public(self) -> dsse.PublicKey:
        """The key itself."""
        return dsse.PublicKey.from_text(self.key)


class KeyList(messages.Message):
    """The keys whose signatures count from now on, and the epoch that orders must have."""

    version: messages.Number
    epoch: messages.Number
    issued_at: messages.Time
    signing_keys: Annotated[tuple[SigningKey, ...], pydantic.Field(min_length=1, max_length=MAX_KEYS)]

    @pydantic.model_validator(mode="after")
    def _consistent(self) -> KeyList:
        if len({each.key for each in self.signing_keys}) != len(self.signing_keys):
            raise ValueError("a key stands there twice")
        if not 1 <= len(self.active) <= MAX_ACTIVE:
            raise ValueError(f"{len(self.active)} keys are active; there must be 1 to {MAX_ACTIVE}")
        return self

    @property
    def active(self) -> Mapping[str, dsse.PublicKey]:
        """The keys whose signatures count, by key id."""
        found = [each.public for each in self.signing_keys if each.state is KeyState.ACTIVE]
        return {key.keyid: key for key in found}


@dataclasses.dataclass(frozen=True, slots=True)
class Roots:
    """Who may sign key lists: so many (``threshold``) of these keys together.

    Raises:
        ValueError: no key, too many, one twice, or a threshold that they cannot meet.
    """

    keys: tuple[dsse.PublicKey, ...]
    threshold: int = 1

    def __post_init__(self) -> None:
        count = len(self.keys)
        if not 1 <= count <= MAX_ROOTS or len(set(self.keys)) != count:
            raise ValueError(f"{count} root keys: there must be 1 to {MAX_ROOTS}, each another one")
        if not 1 <= self.threshold <= count:
            raise ValueError(f"a threshold of {self.threshold} cannot be met by {count} root keys")

    @property
    def by_id(self) -> Mapping[str, dsse.PublicKey]:
        """The keys by key id."""
        return {key.keyid: key for key in self.keys}


def seal_key_list(listed: KeyList, signers: Sequence[dsse.Signer]) -> bytes:
    """The envelope of a key list, with a signature by each of these roots."""
    return dsse.seal(PAYLOAD_TYPE, listed.to_bytes(), *signers)


def open_key_list(data: bytes, roots: Roots) -> KeyList:
    """The key list that an envelope holds, signed by enough of the roots.

    Raises:
        errors.BadSignature: too few of the roots signed it.
        errors.Unsupported: signed, but not a key list, or of a version that this software does not know.
        errors.ProtocolError: anything else.
    """
    payload_type, payload = dsse.open_envelope(data, roots.by_id, MAX_BYTES, roots.threshold)
    if payload_type != PAYLOAD_TYPE:
        raise errors.Unsupported(f"payload type {payload_type[:100]!r}")
    return messages.parse(KeyList, payload, MAX_BYTES)


def check_successor(known: KeyList, new: KeyList) -> None:
    """Passes if a key list may take the place of another, or says the same.

    Raises:
        errors.Outdated: it is older, or its epoch is lower.
        errors.Conflicting: it has the same version and says something else.
    """
    if new.version < known.version:
        raise errors.Outdated(f"key list {new.version} is older than key list {known.version}, which is known already")
    if new.version == known.version and new != known:
        raise errors.Conflicting(f"another key list {new.version} is known already; a version is never used twice")
    if new.epoch < known.epoch:
        raise errors.Outdated(
            f"key list {new.version} has epoch {new.epoch}; {known.epoch} was reached, and none sinks"
        )
