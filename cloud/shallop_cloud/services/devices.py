"""Devices: made by the operator, enrolled by the robot."""

from __future__ import annotations

import collections
import dataclasses
import datetime
import hashlib
import re
import secrets
from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa
import sqlalchemy.exc
from shallop_protocol import dsse, ids

from shallop_cloud import errors, passwords
from shallop_cloud.configs.findings import Finding
from shallop_cloud.services.shore import Shore
from shallop_cloud.store import devices, history, pages, tables

_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,126}[A-Za-z0-9])?\Z")
_LABEL_KEY = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._/-]{0,61}[A-Za-z0-9])?\Z")
MAX_LABELS = 32
MAX_LABEL_VALUE = 128
TOKEN_PREFIX = "shallop-enrol-"  # noqa: S105  what people recognise it by
MIN_SECRET, MAX_SECRET = 32, 256


@dataclasses.dataclass(frozen=True, slots=True)
class Created:
    """A new device, with the enrolment token that is shown this once."""

    row: sa.RowMapping
    token: str


@dataclasses.dataclass(frozen=True, slots=True)
class Enrolled:
    """What a robot learns when it enrols. ``repeated`` tells an answer that was given before."""

    device: str
    name: str
    signing_keys: tuple[dsse.PublicKey, ...]
    repeated: bool


def create(shore: Shore, name: str, labels: Mapping[str, str], actor: str) -> Created:
    """Makes a device and its one-time enrolment token. Only a hash of the token is kept.

    Raises:
        errors.Invalid: ``name_invalid`` or ``label_invalid``.
        errors.Conflict: ``device_exists``.
    """
    return create_many(shore, [(name, labels)], actor)[0]


def create_many(shore: Shore, wanted: Sequence[tuple[str, Mapping[str, str]]], actor: str) -> list[Created]:
    """Makes devices, each with a name and labels: all of them, in order, or none. Raises as ``create`` does."""
    for name, labels in wanted:
        _check_name(name)
        _check_labels(labels)
    _refuse_repeated([name for name, _ in wanted])
    at = shore.now()
    tokens = [_new_token() for _ in wanted]
    rows: list[dict[str, Any]] = [
        {
            "id": key,
            "name": name,
            "labels": dict(labels),
            "created_at": at,
            "token_hash": _hash(token),
            "token_expires_at": at + shore.limits.token_lifetime,
            "former": [],
        }
        for key, token, (name, labels) in zip(
            shore.new_ids(ids.Prefix.DEVICE, len(wanted)), tokens, wanted, strict=True
        )
    ]
    try:
        with shore.database.write() as connection:
            taken = devices.ids_of(connection, [name for name, _ in wanted])
            for name, _ in wanted:
                if name in taken:
                    raise errors.Conflict(
                        "device_exists", f"there is a device named {name!r} already; names are unique"
                    )
            devices.insert(connection, rows)
            history.append(connection, [_created(row, at, actor) for row in rows])
            made = devices.find_many(connection, [row["id"] for row in rows])
    except sqlalchemy.exc.IntegrityError:
        raise errors.Conflict("device_exists", "another device took one of these names meanwhile") from None
    return [Created(made[row["id"]], token) for row, token in zip(rows, tokens, strict=True)]


def _created(row: Mapping[str, Any], at: datetime.datetime, actor: str) -> dict[str, Any]:
    shown = {"name": row["name"], "labels": row["labels"]}
    return history.row(at=at, actor=actor, action="device_created", device_id=row["id"], after=shown)


def _refuse_repeated(names: Sequence[str]) -> None:
    for name, times in collections.Counter(names).items():
        if times > 1:
            raise errors.Conflict("device_exists", f"{name!r} stands there {times} times; names are unique")


def _new_token() -> str:
    return TOKEN_PREFIX + secrets.token_urlsafe(24)


def renew_token(shore: Shore, device: str, actor: str) -> Created:
    """Gives a device a new enrolment token; the earlier one is void. For a robot that was lost or set up anew."""
    token = _new_token()
    at = shore.now()
    with shore.database.write() as connection:
        expires = at + shore.limits.token_lifetime
        devices.update(connection, device, token_hash=_hash(token), token_expires_at=expires)
        history.append(connection, [history.row(at=at, actor=actor, action="token_renewed", device_id=device)])
        row = devices.find(connection, key=device)
    assert row is not None
    return Created(row, token)


def enrol(shore: Shore, token: str, secret: str) -> Enrolled:
    """Exchanges a one-time token for a place in the fleet.

    The robot chose ``secret``, its MQTT password, and saved it before it asked. Asking again with the same token and
    secret is answered as before: an answer that was lost on the way burns nothing.

    Raises:
        errors.Problem: 401 ``token_invalid``, for a token that is unknown, used or expired alike.
        errors.Invalid: ``secret_invalid``.
    """
    return enrol_many(shore, [(token, secret)])[0]


def enrol_many(shore: Shore, wanted: Sequence[tuple[str, str]]) -> list[Enrolled]:
    """Enrols devices by token and secret, as a workshop does that sets up many: all of them, in order, or none.

    Raises as ``enrol`` does.
    """
    for _, secret in wanted:
        _check_secret(secret)
    at = shore.now()
    enrolled: list[Enrolled] = []
    entries: list[dict[str, Any]] = []
    with shore.database.write() as connection:
        for token, secret in wanted:
            row = devices.by_token(connection, _hash(token))
            if row is None or not _usable(row, secret, at):
                raise errors.Problem(
                    401,
                    "token_invalid",
                    "this enrolment token is unknown, used or expired; make another for the device",
                )
            repeated = _is_enrolled_by(row)
            if not repeated:
                hashed = passwords.hash_password(secret)
                devices.update(connection, row["id"], enrolled_at=at, mqtt_password=hashed, token_expires_at=None)
                entries.append(history.row(at=at, actor=row["name"], action="device_enrolled", device_id=row["id"]))
            enrolled.append(Enrolled(row["id"], row["name"], (shore.signer.key,), repeated))
        history.append(connection, entries)
    shore.credentials.write()
    return enrolled


def _check_secret(secret: str) -> None:
    if not MIN_SECRET <= len(secret) <= MAX_SECRET or not secret.isascii() or not secret.isprintable():
        raise errors.Invalid(
            "secret_invalid", f"secret must be {MIN_SECRET} to {MAX_SECRET} printable ASCII characters"
        )


def _is_enrolled_by(row: sa.RowMapping) -> bool:
    """A token that was used has no expiry any more: from then on only the secret that came with it counts."""
    return row["token_expires_at"] is None


def _usable(row: sa.RowMapping, secret: str, at: datetime.datetime) -> bool:
    if _is_enrolled_by(row):
        return passwords.verify_password(secret, row["mqtt_password"])
    return at < row["token_expires_at"]


def page(shore: Shore, label: tuple[str, str] | None, limit: int, cursor: str | None) -> pages.Page:
    """Devices by name, all or those with one label."""
    query = sa.select(tables.devices)
    if label is not None:
        key, value = label
        query = query.where(devices.has_label(key, value))
    with shore.database.read() as connection:
        return pages.read(connection, query, [tables.devices.c.name], newest_first=False, limit=limit, cursor=cursor)


def _check_name(name: str) -> None:
    if not _NAME.match(name) or ids.is_id(name.upper()):
        words = "a name is 1 to 128 letters, digits, '.', '_' or '-', with a letter or digit at both ends"
        raise errors.Invalid("name_invalid", f"{name!r} cannot be a name: {words}", (Finding(words, "/name"),))


def _check_labels(labels: Mapping[str, str]) -> None:
    if len(labels) > MAX_LABELS:
        raise errors.Invalid("label_invalid", f"{len(labels)} labels; a device has at most {MAX_LABELS}")
    for key, value in labels.items():
        if not _LABEL_KEY.match(key):
            words = "a label's key is 1 to 63 letters, digits, '.', '_', '/' or '-'"
            raise errors.Invalid("label_invalid", f"{key[:80]!r} cannot be a label's key: {words}")
        if len(value) > MAX_LABEL_VALUE or not value.isprintable():
            words = f"at most {MAX_LABEL_VALUE} printable characters"
            raise errors.Invalid("label_invalid", f"the value of label {key!r} must be {words}")


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
