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
from collections.abc import Callable, Mapping, Sequence

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


def seal(payload_type: str, payload: bytes, *signers: Signer) -> bytes:
    """An envelope around the payload, signed by each signer."""
    message = encode(payload_type, payload)
    return _written(payload_type, payload, [(signer.key.keyid, signer.sign(message)) for signer in signers])


def add_signature(data: bytes, signer: Signer, limit: int) -> bytes:
    """An envelope with one signature more, for a payload that several have to sign. One by the same key is replaced.

    Raises:
        errors.TooLarge, errors.Malformed: not an envelope that could be opened.
    """
    payload_type, payload, signatures = _parse(data, limit)
    others = [(keyid, signature) for keyid, signature in signatures if keyid != signer.key.keyid]
    if len(others) == MAX_SIGNATURES:
        raise errors.TooLarge(f"{len(others)} signatures are there already, at most {MAX_SIGNATURES} are looked at")
    own = (signer.key.keyid, signer.sign(encode(payload_type, payload)))
    return _written(payload_type, payload, [*others, own])


def peek(data: bytes, limit: int) -> tuple[str, bytes, list[str]]:
    """Payload type, payload and the key ids of the signatures of an envelope. Nothing is verified: it is for showing.

    Raises:
        errors.TooLarge, errors.Malformed: not an envelope that could be opened.
    """
    payload_type, payload, signatures = _parse(data, limit)
    return payload_type, payload, [keyid for keyid, _ in signatures]


def open_envelope(data: bytes, trusted: Mapping[str, PublicKey], limit: int, threshold: int = 1) -> tuple[str, bytes]:
    """Payload type and payload of an envelope that trusted keys signed.

    Args:
        data: the bytes of the envelope.
        trusted: public keys by key id. Signatures by other keys are passed over.
        limit: most bytes of envelope to look at.
        threshold: so many of the trusted keys must have signed.

    Raises:
        errors.TooLarge: more than ``limit`` bytes.
        errors.Malformed: not an envelope.
        errors.BadSignature: too few of the signatures are by trusted keys over these bytes.
    """
    payload_type, payload, signatures = _parse(data, limit)
    message = encode(payload_type, payload)
    verified: set[str] = set()
    for keyid, signature in signatures:
        key = trusted.get(keyid)
        if key is not None and keyid not in verified and key.verifies(message, signature):
            verified.add(keyid)
            if len(verified) == threshold:
                return payload_type, payload
    named = ", ".join(keyid[:32] for keyid, _ in signatures)
    if not verified:
        raise errors.BadSignature(f"no trusted key signed this (signatures by: {named or 'nobody'})")
    words = f"{len(verified)} of the trusted keys signed this, and {threshold} have to"
    raise errors.BadSignature(f"{words} (signatures by: {named})")


def _written(payload_type: str, payload: bytes, signatures: Sequence[tuple[str, bytes]]) -> bytes:
    # By hand: base64 needs no escapes, and looking for some is most of the work of a JSON encoder here.
    listed = b",".join(
        b'{"keyid":%s,"sig":"%s"}' % (strict_json.dumps(keyid), base64.b64encode(signature))
        for keyid, signature in signatures
    )
    kind = strict_json.dumps(payload_type)
    return b'{"payloadType":%s,"payload":"%s","signatures":[%s]}' % (kind, base64.b64encode(payload), listed)


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
