"""Signed envelopes: DSSE v1 with Ed25519.

Source: https://github.com/secure-systems-lab/dsse, *envelope.md* and *protocol.md*. The signature is over the
pre-authentication encoding of the exact payload bytes, so nothing needs a canonical form. The key id is the
digest of the raw public key: a hint for finding the key, never trusted by itself.
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
import functools
import hashlib
from collections.abc import Callable, Mapping

import cryptography.exceptions
import pydantic
from cryptography.hazmat.primitives.asymmetric import ed25519

from shallop_protocol import errors, strict_json

MAX_SIGNATURES = 8


@dataclasses.dataclass(frozen=True, slots=True)
class PublicKey:
    """A key that a device trusts. ``raw`` is the 32 bytes of RFC 8032."""

    raw: bytes

    @property
    def keyid(self) -> str:
        """The first 32 hex digits of the SHA-256 of the raw key."""
        return _keyid(self.raw)

    @property
    def text(self) -> str:
        """The raw key in base64, as enrolment hands it out."""
        return base64.b64encode(self.raw).decode()

    @classmethod
    def from_text(cls, text: str) -> PublicKey:
        """The key that ``text`` wrote.

        Raises:
            errors.Malformed: not base64, or not 32 bytes.
        """
        raw = _unbase64(text, "public key")
        if len(raw) != 32:
            raise errors.Malformed(f"a public key has 32 bytes, not {len(raw)}")
        return cls(raw)

    def verifies(self, message: bytes, signature: bytes) -> bool:
        """Whether this key made the signature over the message."""
        try:
            ed25519.Ed25519PublicKey.from_public_bytes(self.raw).verify(signature, message)
        except cryptography.exceptions.InvalidSignature:
            return False
        return True


@dataclasses.dataclass(frozen=True, slots=True)
class Signer:
    """What signs: a public key and a function that signs with its private half."""

    key: PublicKey
    sign: Callable[[bytes], bytes]


def signer_from_seed(seed: bytes) -> Signer:
    """The signer of a private key's 32 bytes (RFC 8032, section 5.1.5).

    Raises:
        ValueError: ``seed`` is not 32 bytes.
    """
    private = ed25519.Ed25519PrivateKey.from_private_bytes(seed)
    return Signer(PublicKey(private.public_key().public_bytes_raw()), private.sign)


@functools.lru_cache(maxsize=64)
def _keyid(raw: bytes) -> str:
    return hashlib.sha256(raw).hexdigest()[:32]


def encode(payload_type: str, payload: bytes) -> bytes:
    """The pre-authentication encoding: the bytes that are signed."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)


def seal(payload_type: str, payload: bytes, signer: Signer) -> bytes:
    """An envelope around the payload with one signature."""
    signature = signer.sign(encode(payload_type, payload))
    # Written by hand: base64 needs no escapes, and looking for some is most of the work of a JSON encoder here.
    return b'{"payloadType":%s,"payload":"%s","signatures":[{"keyid":"%s","sig":"%s"}]}' % (
        strict_json.dumps(payload_type),
        base64.b64encode(payload),
        signer.key.keyid.encode(),
        base64.b64encode(signature),
    )


def open_envelope(data: bytes, trusted: Mapping[str, PublicKey], limit: int) -> tuple[str, bytes]:
    """Payload type and payload of an envelope that one of the trusted keys signed.

    Args:
        data: the bytes of the envelope.
        trusted: public keys by key id. Signatures by other keys are passed over.
        limit: most bytes of envelope to look at.

    Raises:
        errors.TooLarge: more than ``limit`` bytes.
        errors.Malformed: not an envelope.
        errors.BadSignature: none of the signatures is by a trusted key over these bytes.
    """
    payload_type, payload, signatures = _parse(data, limit)
    message = encode(payload_type, payload)
    for keyid, signature in signatures:
        key = trusted.get(keyid)
        if key is not None and key.verifies(message, signature):
            return payload_type, payload
    named = ", ".join(keyid[:32] for keyid, _ in signatures)
    raise errors.BadSignature(f"no trusted key signed this (signatures by: {named or 'nobody'})")


class _Signature(pydantic.BaseModel):
    keyid: str
    sig: str


class _Envelope(pydantic.BaseModel):
    payloadType: str  # noqa: N815  the envelope's own spelling
    payload: str
    signatures: tuple[_Signature, ...]


def _parse(data: bytes, limit: int) -> tuple[str, bytes, list[tuple[str, bytes]]]:
    strict_json.loads(data, limit)
    try:
        envelope = _Envelope.model_validate_json(data)
    except pydantic.ValidationError:
        raise errors.Malformed("not a DSSE envelope: it has payloadType, payload and signatures") from None
    if len(envelope.signatures) > MAX_SIGNATURES:
        raise errors.TooLarge(f"{len(envelope.signatures)} signatures, at most {MAX_SIGNATURES} are looked at")
    signatures = [(entry.keyid, _unbase64(entry.sig, "signature")) for entry in envelope.signatures]
    return envelope.payloadType, _unbase64(envelope.payload, "payload"), signatures


def _unbase64(text: str, what: str) -> bytes:
    """DSSE lets the reader meet either alphabet; RFC 4648, sections 4 and 5."""
    try:
        return base64.b64decode(text.replace("-", "+").replace("_", "/"), validate=True)
    except (binascii.Error, ValueError):
        raise errors.Malformed(f"the {what} is not base64") from None
