"""Devices: made by the operator, enrolled by the robot."""

from __future__ import annotations

import collections
import dataclasses
import datetime
import hashlib
import re
import secrets
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
import sqlalchemy.exc
from shallop_protocol import cloud, ids

from shallop_cloud import errors, passwords
from shallop_cloud.configs.findings import Finding
from shallop_cloud.services import lookup
from shallop_cloud.services.shore import Shore
from shallop_cloud.store import certificates, devices, history, key_lists

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
    """A robot that took its place.

    Attributes:
        floor: epoch and generation of its newest order: it never obeys an older one.
        repeated: the answer was given before.
    """

    device: str
    name: str
    floor: tuple[int, int]
    repeated: bool


@dataclasses.dataclass(frozen=True, slots=True)
class Enrolments:
    """What robots learn when they enrol: who each is, and by whose word they go."""

    devices: Sequence[Enrolled]
    trust: key_lists.Recorded


@dataclasses.dataclass(frozen=True, slots=True)
class New:
    """A device that is wanted.

    Attributes:
        confirm_s: what its deployments have that say nothing of it: the robot undoes one unless the cloud answers
            within so many seconds of the switch. None for no such term.
    """

    name: str
    labels: Mapping[str, str] = dataclasses.field(default_factory=dict[str, str])
    confirm_s: int | None = None


def create(shore: Shore, wanted: New, actor: str) -> Created:
    """Makes a device and its one-time enrolment token. Only a hash of the token is kept.

    Raises:
        errors.Invalid: ``name_invalid`` or ``label_invalid``.
        errors.Conflict: ``device_exists``.
    """
    return create_many(shore, [wanted], actor)[0]


def create_many(shore: Shore, wanted: Sequence[New], actor: str) -> list[Created]:
    """Makes devices: all of them, in order, or none. Raises as ``create`` does."""
    for each in wanted:
        _check_name(each.name)
        _check_labels(each.labels)
    _refuse_repeated([each.name for each in wanted])
    at = shore.now()
    tokens = [_new_token() for _ in wanted]
    rows: list[dict[str, Any]] = [
        {
            "id": key,
            "name": each.name,
            "labels": dict(each.labels),
            "confirm_s": each.confirm_s,
            "created_at": at,
            "token_hash": _hash(token),
            "token_expires_at": at + shore.limits.token_lifetime,
            "former": [],
        }
        for key, token, each in zip(shore.new_ids(ids.Prefix.DEVICE, len(wanted)), tokens, wanted, strict=True)
    ]
    try:
        with shore.database.write() as connection:
            taken = devices.ids_of(connection, [each.name for each in wanted])
            for each in wanted:
                if each.name in taken:
                    raise _taken(each.name)
            keys, epoch = key_lists.newest(connection)
            devices.insert(connection, [{**row, "epoch": epoch, "sealed": keys} for row in rows])
            history.append(connection, [_created(row, at, actor) for row in rows])
            made = devices.find_many(connection, [row["id"] for row in rows])
    except sqlalchemy.exc.IntegrityError:
        raise errors.Conflict("device_exists", "another device took one of these names meanwhile") from None
    return [Created(made[row["id"]], token) for row, token in zip(rows, tokens, strict=True)]


def _created(row: Mapping[str, Any], at: datetime.datetime, actor: str) -> dict[str, Any]:
    shown = {name: row[name] for name in ("name", "labels", "confirm_s") if row[name] is not None}
    return history.row(at=at, actor=actor, action="device_created", device_id=row["id"], after=shown)


def _refuse_repeated(names: Sequence[str]) -> None:
    for name, times in collections.Counter(names).items():
        if times > 1:
            raise errors.Conflict("device_exists", f"{name!r} stands there {times} times; names are unique")


def _new_token() -> str:
    return TOKEN_PREFIX + secrets.token_urlsafe(24)


def renew_token(shore: Shore, key: str, actor: str) -> Created:
    """Gives a device a new enrolment token; the earlier one is void. For a robot that was lost or set up anew.

    Raises:
        errors.NotFound: no such device.
        errors.Conflict: ``device_archived``.
    """
    token = _new_token()
    at = shore.now()
    with shore.database.write() as connection:
        row = _held(connection, key)
        if row["archived_at"] is not None:
            raise errors.Conflict("device_archived", f"{row['name']} is archived; restore it first")
        expires = at + shore.limits.token_lifetime
        devices.update(connection, row["id"], token_hash=_hash(token), token_expires_at=expires)
        history.append(connection, [history.row(at=at, actor=actor, action="token_renewed", device_id=row["id"])])
        return Created(lookup.device(connection, row["id"]), token)


@dataclasses.dataclass(frozen=True, slots=True)
class Difference:
    """What of a device is to be another; None leaves it.

    Attributes:
        labels: all that it shall have.
        confirm_s: as ``New`` has it, in a tuple, because None means something too. It counts for orders from then on.
    """

    name: str | None = None
    labels: Mapping[str, str] | None = None
    confirm_s: tuple[int | None] | None = None


def change(
    shore: Shore,
    key: str,
    wanted: Difference,
    actor: str,
    precondition: Callable[[sa.RowMapping], None] = lambda _: None,
) -> str:
    """Gives a device another name, other labels, or another term to confirm in, than it had. Gives its id.

    Args:
        precondition: is asked about the device's row before anything changes, and raises if it is not what it was
            taken for.

    Raises:
        errors.NotFound: no such device.
        errors.Invalid: ``name_invalid`` or ``label_invalid``.
        errors.Conflict: ``device_exists``.
    """
    if wanted.name is not None:
        _check_name(wanted.name)
    if wanted.labels is not None:
        _check_labels(wanted.labels)
    try:
        with shore.database.write() as connection:
            row = _held(connection, key)
            precondition(row)
            before = {"name": row["name"], "labels": row["labels"]}
            after = {
                "name": wanted.name or row["name"],
                "labels": row["labels"] if wanted.labels is None else dict(wanted.labels),
            }
            if wanted.confirm_s is not None:
                before["confirm_s"], after["confirm_s"] = row["confirm_s"], wanted.confirm_s[0]
            if after != before:
                _rewrite(connection, row["id"], before, after)
                entry = history.row(
                    at=shore.now(),
                    actor=actor,
                    action="device_changed",
                    device_id=row["id"],
                    before=before,
                    after=after,
                )
                history.append(connection, [entry])
    except sqlalchemy.exc.IntegrityError:
        raise _taken(wanted.name) from None
    return row["id"]


def _held(connection: sa.Connection, key: str) -> sa.RowMapping:
    """The row of a device that nobody else changes until the transaction ends."""
    device: str = lookup.device(connection, key)["id"]
    devices.hold(connection, [device])
    return lookup.device(connection, device)


def _rewrite(connection: sa.Connection, device: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
    if after["name"] != before["name"]:
        taken = devices.find(connection, key=after["name"])
        if taken is not None:
            raise _taken(after["name"])
        devices.update(connection, device, name=after["name"])
    if after["labels"] != before["labels"]:
        devices.set_labels(connection, device, after["name"], after["labels"])
    if "confirm_s" in after:
        devices.update(connection, device, confirm_s=after["confirm_s"])


def _taken(name: str | None) -> errors.Conflict:
    return errors.Conflict("device_exists", f"there is a device named {name!r} already; names are unique")


def archive(shore: Shore, key: str, actor: str) -> str:
    """Takes a device out of service: what waits for it is archived, its enrolment token is void, what it runs stays.

    Gives its id.

    Raises:
        errors.NotFound: no such device.
        errors.Conflict: ``device_archived``.
    """
    void = {"token_hash": None, "token_expires_at": None}
    return _serve(shore, key, actor, cloud.archive_device, "device_archived", lambda at: {"archived_at": at, **void})


def restore(shore: Shore, key: str, actor: str) -> str:
    """Takes an archived device back into service. Gives its id.

    Raises:
        errors.NotFound: no such device.
        errors.Conflict: ``device_not_archived``.
    """
    return _serve(shore, key, actor, cloud.restore_device, "device_restored", lambda _: {"archived_at": None})


def revoke(shore: Shore, key: str, actor: str) -> str:
    """Takes every credential from a device: its enrolment token, its MQTT password, its certificate. What the broker
    keeps of it is deleted, and what it says from now on is passed over, until it is enrolled anew. Gives its id.

    Done again, it makes sure that the broker was told.

    Raises:
        errors.NotFound: no such device.
    """
    at = shore.now()
    with shore.database.write() as connection:
        row = _held(connection, key)
        device: str = row["id"]
        serial = certificates.revoke(connection, device, at)
        is_news = row["revoked_at"] is None or row["token_hash"] is not None
        void = {"token_hash": None, "token_expires_at": None, "mqtt_password": None}
        unheard = {"online": False, "stale": False, "lagging_since": None}
        devices.update(connection, device, **void, **unheard, revoked_at=row["revoked_at"] or at, purged=False)
        if is_news:
            shown = {"certificate": serial} if serial else None
            entry = history.row(at=at, actor=actor, action="device_revoked", device_id=device, after=shown)
            history.append(connection, [entry])
    shore.credentials.write()
    shore.ordered()
    return device


def _serve(
    shore: Shore,
    key: str,
    actor: str,
    act: Callable[[cloud.Device], cloud.Device],
    action: str,
    columns: Callable[[datetime.datetime], Mapping[str, Any]],
) -> str:
    at = shore.now()
    with shore.database.write() as connection:
        device: str = _held(connection, key)["id"]
        before = devices.load(connection, device)
        try:
            after = act(before)
        except cloud.Conflict as error:
            raise errors.Conflict(error.code, str(error)) from None
        moved = devices.save_many(connection, [devices.Change(before, after, devices.Cause(actor, at))])
        devices.update(connection, device, **columns(at))
        entry = history.row(at=at, actor=actor, action=action, device_id=device)
        history.append(connection, [*moved, entry])
    return device


def enrol(shore: Shore, token: str, secret: str) -> Enrolments:
    """Exchanges a one-time token for a place in the fleet.

    The robot chose ``secret``, its MQTT password, and saved it before it asked. Asking again with the same token and
    secret is answered as before: an answer that was lost on the way burns nothing.

    Raises:
        errors.Problem: 401 ``token_invalid``, for a token that is unknown, used or expired alike.
        errors.Invalid: ``secret_invalid``.
    """
    return enrol_many(shore, [(token, secret)])


def check_token(shore: Shore, token: str) -> None:
    """Passes if a device has or had this enrolment token. Who only guesses one goes no further, and locks nothing.

    Raises:
        errors.Problem: 401 ``token_invalid``.
    """
    with shore.database.read() as connection:
        if devices.by_token(connection, _hash(token)) is None:
            raise _unusable()


def enrol_many(shore: Shore, wanted: Sequence[tuple[str, str]]) -> Enrolments:
    """Enrols devices by token and secret, as a workshop does that sets up many: all of them, in order, or none.

    Raises as ``enrol`` does.
    """
    for _, secret in wanted:
        _check_secret(secret)
    at = shore.now()
    enrolled: list[Enrolled] = []
    entries: list[dict[str, Any]] = []
    were_revoked = False
    with shore.database.write() as connection:
        devices.hold_by_tokens(connection, [_hash(token) for token, _ in wanted])
        for token, secret in wanted:
            row = devices.by_token(connection, _hash(token))
            if row is None or not _usable(row, secret, at):
                raise _unusable()
            repeated = _is_enrolled_by(row)
            if not repeated:
                hashed = passwords.hash_password(secret)
                serial = certificates.revoke(connection, row["id"], at)  # of the robot that was there before
                enrolment = {"enrolled_at": at, "mqtt_password": hashed, "token_expires_at": None}
                devices.update(connection, row["id"], **enrolment, revoked_at=None, purged=False)
                shown = {"revoked_certificate": serial} if serial else None
                entry = history.row(
                    at=at, actor=row["name"], action="device_enrolled", device_id=row["id"], after=shown
                )
                entries.append(entry)
                were_revoked = were_revoked or row["revoked_at"] is not None
            enrolled.append(Enrolled(row["id"], row["name"], (row["epoch"], row["generation"]), repeated))
        history.append(connection, entries)
        trust = key_lists.find(connection)
    assert trust is not None, "a list is there from the first start on"
    shore.credentials.write()
    if were_revoked:
        shore.ordered()  # what was held back meanwhile
    return Enrolments(enrolled, trust)


def _unusable() -> errors.Problem:
    words = "this enrolment token is unknown, used or expired; make another for the device"
    return errors.Problem(401, "token_invalid", words)


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
