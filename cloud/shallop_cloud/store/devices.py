"""Devices: what is recorded of each, as the protocol's value, and the one way in which it changes."""

from __future__ import annotations

import dataclasses
import datetime
import functools
import json
import operator
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from shallop_protocol import cloud, messages
from shallop_protocol.statuses import Activity, Error, Statuses, Target

from shallop_cloud.store import database, history, lagging, prepared, tables

_LIVE = tables.deployments.c.activity != Activity.ARCHIVED.value


@dataclasses.dataclass(frozen=True, slots=True)
class Cause:
    """Who changes something, when, and what the device's clock said if it was the device."""

    actor: str
    at: datetime.datetime
    device_time: datetime.datetime | None = None


def insert(connection: sa.Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    """Records new devices with their labels. Raises ``sqlalchemy.exc.IntegrityError`` if a name is taken."""
    connection.execute(tables.devices.insert(), sorted(rows, key=operator.itemgetter("name")))
    _insert_labels(connection, {row["name"]: row["labels"] for row in rows})


def set_labels(connection: sa.Connection, device: str, name: str, labels: Mapping[str, str]) -> None:
    """Gives a device, of this id and name, these labels and no others."""
    update(connection, device, labels=dict(labels))
    connection.execute(tables.device_labels.delete().where(tables.device_labels.c.device_name == name))
    _insert_labels(connection, {name: labels})


def _insert_labels(connection: sa.Connection, by_name: Mapping[str, Mapping[str, str]]) -> None:
    rows = [
        {"device_name": name, "key": key, "value": value}
        for name, labels in by_name.items()
        for key, value in labels.items()
    ]
    _INSERT_LABEL.execute(connection, rows)


_INSERT_LABEL = prepared.insert(tables.device_labels, ("device_name", "key", "value"))


def find(connection: sa.Connection, *, key: str) -> sa.RowMapping | None:
    """The row of the device with this id or name."""
    column = tables.devices.c
    query = sa.select(tables.devices).where(sa.or_(column.id == key, column.name == key))
    return connection.execute(query).mappings().first()


def find_many(connection: sa.Connection, ids: Sequence[str]) -> dict[str, sa.RowMapping]:
    """The rows of these devices, by id."""
    found: dict[str, sa.RowMapping] = {}
    for start in range(0, len(ids), CHUNK):
        query = sa.select(tables.devices).where(tables.devices.c.id.in_(ids[start : start + CHUNK]))
        found |= {row["id"]: row for row in connection.execute(query).mappings()}
    return found


def names_near(connection: sa.Connection, name: str) -> list[str]:
    """Names that stand near a word in the alphabet, or near the first half of it, for suggestions."""
    column = tables.devices.c.name
    found: dict[str, None] = {}
    for word in (name, name[: len(name) // 2]):
        before = sa.select(column).where(column < word).order_by(column.desc()).limit(_NEAR)
        behind = sa.select(column).where(column >= word).order_by(column).limit(_NEAR)
        found |= dict.fromkeys([*connection.scalars(before), *connection.scalars(behind)])
    return list(found)


_NEAR = 50


def by_token(connection: sa.Connection, token_hash: str) -> sa.RowMapping | None:
    """The device that an enrolment token is for."""
    query = sa.select(tables.devices).where(tables.devices.c.token_hash == token_hash)
    return connection.execute(query).mappings().first()


def update(connection: sa.Connection, device: str, /, **values: Any) -> None:
    """Changes columns that the protocol's decisions do not own: enrolment, presence, what was last heard."""
    connection.execute(tables.devices.update().where(tables.devices.c.id == device).values(**values))


def mqtt_passwords(connection: sa.Connection) -> dict[str, str]:
    """The hashed MQTT password of every enrolled device, by device id."""
    column = tables.devices.c
    query = sa.select(column.id, column.mqtt_password).where(column.mqtt_password.is_not(None))
    return {row.id: row.mqtt_password for row in connection.execute(query)}


def ids_of(connection: sa.Connection, keys: Sequence[str]) -> dict[str, str]:
    """The ids of those devices that have one of these for id or name, by it."""
    column = tables.devices.c
    found: dict[str, str] = {}
    for start in range(0, len(keys), CHUNK):
        some = keys[start : start + CHUNK]
        query = sa.select(column.id, column.name).where(sa.or_(column.id.in_(some), column.name.in_(some)))
        for row in connection.execute(query):
            found |= {row.id: row.id, row.name: row.id}
    return found


CHUNK = 5_000
"""Keys to a statement; SQLite takes 32,766 parameters, PostgreSQL 65,535."""


def count(connection: sa.Connection) -> int:
    """How many devices there are."""
    return connection.execute(sa.select(sa.func.count()).select_from(tables.devices)).scalar_one()


def hold(connection: sa.Connection, ids: Iterable[str]) -> None:
    """Until the transaction ends, nobody else changes these devices, or what is recorded of their deployments.

    Whoever reads to write holds first, and reads then. All devices of a transaction are held at once and in the order
    of their ids, so that two transactions never wait for each other. SQLite has one writer at a time anyway.
    """
    if connection.dialect.name != "sqlite":
        connection.execute(_HOLD, {"ids": list(ids)})


def hold_by_tokens(connection: sa.Connection, token_hashes: Iterable[str]) -> None:
    """Holds the devices that these enrolment tokens are for."""
    if connection.dialect.name != "sqlite":
        connection.execute(_HOLD_BY_TOKENS, {"hashes": list(token_hashes)})


_HELD = sa.select(tables.devices.c.id).order_by(tables.devices.c.id).with_for_update(key_share=True)
_HOLD = _HELD.where(prepared.among(tables.devices.c.id, "ids"))
_HOLD_BY_TOKENS = _HELD.where(prepared.among(tables.devices.c.token_hash, "hashes"))


def load(connection: sa.Connection, device: str) -> cloud.Device:
    """What is recorded of one device that exists."""
    return load_many(connection, [device])[device]


def load_many(connection: sa.Connection, ids: Iterable[str]) -> dict[str, cloud.Device]:
    """What is recorded of each of these devices, with their unfinished deployments; unknown ids are left out.

    In a transaction that writes they are held, and stay as they were read until it ends.
    """
    wanted = {"ids": list(ids)}
    if not database.only_reads(connection):
        hold(connection, wanted["ids"])
    rows: Sequence[Any] = connection.execute(_RECORDED, wanted).all()  # any: the columns of the statement
    live: dict[str, dict[str, cloud.Deployment]] = {row[0]: {} for row in rows}
    found: Sequence[Any] = connection.execute(_RECORDED_DEPLOYMENTS, wanted).all()
    for device, *values in found:
        live[device][values[0]] = _deployment(*values)
    return {
        device: cloud.Device(
            id=device,
            epoch=epoch,
            generation=generation,
            desired=desired,
            fallback=fallback,
            published=published,
            incarnation=incarnation,
            former=_former(former),
            seq=seq,
            reported=reported,
            adopted=adopted,
            archived=archived_at is not None,
            deployments=live[device],
        )
        for (
            device,
            epoch,
            generation,
            desired,
            fallback,
            published,
            incarnation,
            former,
            seq,
            reported,
            adopted,
            archived_at,
        ) in rows
    }


def _former(text: str) -> tuple[tuple[str, int], ...]:
    """Nearly every device has none, and JSON is slow to say so."""
    return () if text == "[]" else tuple((name, taken) for name, taken in json.loads(text))


_VALUE = [
    tables.deployments.c[name]
    for name in ("id", "release_id", "digest", "target", "activity", "error", "reason", "attempts", "ordered", "ended",
                 "waiting", "integrity")
]  # fmt: skip


_RECORDED: sa.Select[Any] = sa.select(
    *(
        sa.cast(tables.devices.c[name], sa.Text) if name == "former" else tables.devices.c[name]
        for name in ("id", "epoch", "generation", "desired", "fallback", "published", "incarnation", "former", "seq",
                     "reported", "adopted", "archived_at")
    )
).where(prepared.among(tables.devices.c.id, "ids"))  # fmt: skip
_RECORDED_DEPLOYMENTS: sa.Select[Any] = sa.select(tables.deployments.c.device_id, *_VALUE).where(
    _LIVE, prepared.among(tables.deployments.c.device_id, "ids")
)


def deployment_value(row: sa.RowMapping) -> cloud.Deployment:
    """A deployment's row as the protocol's value."""
    return _deployment(*(row[column.name] for column in _VALUE))


def _deployment(
    key: str,
    release: str,
    digest: str,
    target: str,
    activity: str,
    error: str,
    reason: Mapping[str, str] | None,
    attempts: int,
    ordered: int,
    ended: int,
    waiting: Mapping[str, Any] | None,
    integrity: Mapping[str, str] | None,
) -> cloud.Deployment:
    return cloud.Deployment(
        id=key,
        release=release,
        digest=digest,
        statuses=_statuses(target, activity, error),
        reason=messages.Reason(**reason) if reason else None,
        attempts=attempts,
        ordered=ordered,
        ended=ended,
        waiting=messages.Waiting(**waiting) if waiting else None,
        integrity=messages.Reason(**integrity) if integrity else None,
    )


@functools.cache
def _statuses(target: str, activity: str, error: str) -> Statuses:
    return Statuses(Target(target), Activity(activity), Error(error))


@dataclasses.dataclass(frozen=True, slots=True)
class Change:
    """Two values of one device, and what changed it: an operator's act, or a report, which is kept as it came, with
    what it says of what reaches the device.
    """

    before: cloud.Device
    after: cloud.Device
    cause: Cause
    heard: bytes | None = None
    said: lagging.Said | None = None


def save_many(connection: sa.Connection, changes: Sequence[Change]) -> list[dict[str, Any]]:
    """Records what changed between the values; gives the history row of every change of statuses, to be appended.

    A deployment that is new in ``after`` is left to ``deployments.insert_many``.
    """
    device_rows: list[dict[str, Any]] = []
    deployment_rows: list[dict[str, Any]] = []
    entries: list[dict[str, Any]] = []
    for change in changes:
        device_rows.append(_device_row(change))
        known = change.before.deployments
        changed = [
            (old, new)
            for new in change.after.deployments.values()
            if (old := known.get(new.id)) is not None and new is not old and new != old
        ]
        # What is not wanted any more makes room first: the database takes one in force, and one that is to be.
        for old, new in sorted(changed, key=_is_wanted) if len(changed) > 1 else changed:
            deployment_rows.append(_deployment_row(old, new, change.cause.at))
            if new.statuses != old.statuses:
                entries.append(status_change(change.after.id, old, new, change.cause))
    _UPDATE_DEVICE.execute(connection, device_rows)
    _UPDATE_DEPLOYMENT.execute(connection, deployment_rows)
    return entries


def _is_wanted(change: tuple[cloud.Deployment, cloud.Deployment]) -> bool:
    return change[1].statuses.target is Target.DEPLOYED


_DECIDED = ("epoch", "generation", "desired", "fallback", "tidying", "published", "incarnation", "former", "seq",
            "reported", "adopted")  # fmt: skip
_SEEN = ("desired_at", "report", "reported_at", "last_heard_at")
"""Kept as they are when a change says nothing of them."""
_LIVED = ("target", "activity", "error", "reason", "attempts", "ordered", "ended", "waiting", "integrity")
_STAMPS = ("queued_at", "deployed_at", "archived_at")
"""When a deployment first came to where it is, or ran through in one report."""

_UPDATE_DEVICE = prepared.update_by_id(tables.devices, _DECIDED, _SEEN, lagging.VALUES)
_UPDATE_DEPLOYMENT = prepared.update_by_id(tables.deployments, _LIVED, _STAMPS)


def _device_row(change: Change) -> dict[str, Any]:
    before, after, heard, at = change.before, change.after, change.heard, change.cause.at
    return {
        "key": after.id,
        "epoch": after.epoch,
        "generation": after.generation,
        "desired": after.desired,
        "fallback": after.fallback,
        "tidying": after.desired is not None
        and after.deployments[after.desired].statuses.activity is Activity.DEPLOYED,
        "published": after.published,
        "incarnation": after.incarnation,
        "former": list(after.former) if after.former else _NONE,
        "seq": after.seq,
        "reported": after.reported,
        "adopted": after.adopted,
        "desired_at": at if after.generation != before.generation else None,
        "report": prepared.Written(heard.decode()) if heard else None,
        "reported_at": at if heard else None,
        "last_heard_at": at if heard else None,
        **lagging.row(change.said, at),
    }


_NONE: list[Any] = []


def deployment_columns(deployment: cloud.Deployment) -> dict[str, Any]:
    """The columns of a deployment's row that change in its life."""
    target, activity, error = deployment.statuses
    return {
        "target": target.value,
        "activity": activity.value,
        "error": error.value,
        "reason": deployment.reason.model_dump() if deployment.reason else None,
        "attempts": deployment.attempts,
        "ordered": deployment.ordered,
        "ended": deployment.ended,
        "waiting": deployment.waiting.model_dump(mode="json") if deployment.waiting else None,
        "integrity": deployment.integrity.model_dump() if deployment.integrity else None,
    }


def _deployment_row(old: cloud.Deployment, new: cloud.Deployment, at: datetime.datetime) -> dict[str, Any]:
    row = {"key": new.id, **deployment_columns(new), "queued_at": None, "deployed_at": None, "archived_at": None}
    activity = new.statuses.activity
    if activity is not old.statuses.activity and activity.value in _STAMPED:
        row[f"{activity.value}_at"] = at
    return row


_STAMPED = {Activity.QUEUED.value, Activity.DEPLOYED.value, Activity.ARCHIVED.value}


def status_change(device: str, old: cloud.Deployment, new: cloud.Deployment, cause: Cause) -> dict[str, Any]:
    """The history row of a change of statuses."""
    return history.row(
        at=cause.at,
        actor=cause.actor,
        action=_action(old.statuses, new.statuses),
        device_id=device,
        deployment_id=new.id,
        device_time=cause.device_time,
        before=shown_statuses(old),
        after={**shown_statuses(new), "reason": new.reason.model_dump()} if new.reason else shown_statuses(new),
    )


def _action(old: Statuses, new: Statuses) -> str:
    """What people see of the deployment from now on; if that stays the same, that it is not wanted any more."""
    return "withdrawn" if new.merged == old.merged and new.target is Target.ARCHIVED else new.merged


def shown_statuses(deployment: cloud.Deployment) -> Mapping[str, str]:
    """The three statuses, under the names that people see."""
    return _shown(deployment.statuses)


@functools.cache
def _shown(statuses: Statuses) -> dict[str, str]:
    target, activity, error = statuses
    return {"target_status": target.value, "activity_status": activity.value, "error_status": error.value}
