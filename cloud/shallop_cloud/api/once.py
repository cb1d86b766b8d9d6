"""A request that is sent again with its ``Idempotency-Key`` is answered again, and has its effect once.

All that a request with a key does is one transaction, and the answer is kept in it. So there is no moment, and no
crash, after which one is there without the other. What is kept is sealed by a key that is made from the sender's
token, which the database does not have: an answer may hold a secret that is shown once.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import inspect
import secrets
from collections.abc import Callable
from typing import Annotated, Any

import fastapi
import sqlalchemy as sa
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from fastapi import Depends, Header

from shallop_cloud import errors
from shallop_cloud.api import models
from shallop_cloud.api.access import Given, S, Viewer
from shallop_cloud.services.shore import Shore
from shallop_cloud.store import idempotency
from shallop_cloud.store.idempotency import Answer

REPLAYED = "Idempotency-Replayed"
NONCE_BYTES = 12

Endpoint = Callable[..., models.Shown]


@dataclasses.dataclass(frozen=True, slots=True)
class Sent:
    """A request that has a key."""

    shore: Shore
    key: idempotency.Key
    token: str = dataclasses.field(repr=False)
    fingerprint: str


class _Known(Exception):
    """The request was answered before."""

    def __init__(self, answer: Answer) -> None:
        super().__init__()
        self.answer = answer


async def _sent(
    request: fastapi.Request,
    shore: S,
    holder: Viewer,
    given: Given,
    idempotency_key: Annotated[
        str | None,
        Header(
            alias="Idempotency-Key",
            min_length=1,
            max_length=255,
            pattern=r"^[!-~]+$",
            description="Of your choice. The same request with the same key has its effect once, and is answered "
            "alike for 24 hours.",
        ),
    ] = None,
) -> Sent | None:
    if idempotency_key is None or given is None:
        return None
    target = request.scope["raw_path"] + b"?" + request.scope["query_string"]
    parts = (request.method.encode(), target, await request.body())
    fingerprint = hashlib.sha256(b"".join(len(part).to_bytes(8) + part for part in parts)).hexdigest()
    return Sent(shore, idempotency.Key(holder.token, idempotency_key), given.credentials, fingerprint)


def once(endpoint: Endpoint, status: int) -> Callable[..., models.Shown | fastapi.Response]:
    """The same endpoint, for a route that takes an ``Idempotency-Key``; ``status`` is that of its success."""

    @functools.wraps(endpoint)
    def answered(*, sent: Sent | None, **given: Any) -> models.Shown | fastapi.Response:
        act = functools.partial(endpoint, **given)
        return act() if sent is None else _answered(sent, act, status)

    signature = inspect.signature(endpoint, eval_str=True)
    asked = inspect.Parameter("sent", inspect.Parameter.KEYWORD_ONLY, annotation=Annotated[Sent | None, Depends(_sent)])
    answered.__signature__ = signature.replace(  # pyright: ignore[reportAttributeAccessIssue]  what `inspect` looks for
        parameters=[*signature.parameters.values(), asked]
    )
    return answered


def _answered(sent: Sent, act: Callable[[], models.Shown], status: int) -> fastapi.Response:
    database, at = sent.shore.database, sent.shore.now()

    def begin(connection: sa.Connection) -> None:
        idempotency.lock(connection, sent.key)
        known = idempotency.find(connection, sent.key, at)
        if known is not None:
            raise _Known(known)

    with database.read() as connection:
        known = idempotency.find(connection, sent.key, at)
    if known is not None:
        return _replayed(sent, known)
    try:
        with database.as_one(begin):
            body = act().model_dump_json().encode()
            with database.write() as connection:
                answer = Answer(sent.fingerprint, status, _sealed(sent, body))
                idempotency.keep(connection, sent.key, answer, at)
    except _Known as error:
        return _replayed(sent, error.answer)
    return fastapi.Response(body, status, media_type="application/json")


def _replayed(sent: Sent, answer: Answer) -> fastapi.Response:
    if answer.fingerprint != sent.fingerprint:
        words = f"the Idempotency-Key {sent.key.key!r} belongs to another request of yours; each request takes its own"
        raise errors.Invalid("idempotency_key_reused", words)
    nonce, sealed = answer.body[:NONCE_BYTES], answer.body[NONCE_BYTES:]
    body = _cipher(sent).decrypt(nonce, sealed, None)
    return fastapi.Response(body, answer.status, {REPLAYED: "true"}, "application/json")


def _sealed(sent: Sent, body: bytes) -> bytes:
    nonce = secrets.token_bytes(NONCE_BYTES)
    return nonce + _cipher(sent).encrypt(nonce, body, None)


def _cipher(sent: Sent) -> AESGCM:
    info = b"shallop answer " + sent.key.key.encode()
    return AESGCM(HKDF(hashes.SHA256(), 32, salt=None, info=info).derive(sent.token.encode()))
