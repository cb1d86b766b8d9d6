"""Devices: what is recorded of each, as the protocol's value, and the one way in which it changes."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from shallop_protocol import cloud, messages
from shallop_protocol.statuses import Activity, Error, Statuses, Target

from shallop_cloud.store import history, tables

_LIVE = tables.deployments.c.activity != Activity.ARCHIVED.value


@dataclasses.dataclass(frozen=True, slots=True)
class Cause:
    """Who changes something, when, and what the device's clock said if it was the device."""

    actor: str
    at: datetime.datetime
    device_time: datetime.datetime | None = None


def insert(connection: sa.Connection, values: Mapping[str, Any]) -> None:
    """Records a new device. Raises ``sqlalchemy.exc.IntegrityError`` if the name is taken."""
    connection.execute(tables.devices.insert().values(**values))


def find(connection: sa.Connection, *, key: str) -> sa.RowMapping | None:
    """The row of the device with this id or name."""
    column = tables.devices.c
    query = sa.select(tables.devices).where(sa.or_(column.id == key, column.name == key))
    return connection.execute(query).mappings().first()


def names(connection: sa.Connection) -> list[str]:
    """The names of all devices, for suggestions."""
    return list(connection.scalars(sa.select(tables.devices.c.name).limit(10_000)))


def by_token(connection: sa.Connection, token_hash: str) -> sa.RowMapping | None:
    """The device that an enrolment token is for."""
    query = sa.select(tables.devices).where(tables.devices.c.token_hash == token_hash)
    return connection.execute(query).mappings().first()


def update(connection: sa.Connection, device: str, /, **values: Any) -> None:
    """Changes columns that the protocol's decisions do not own: enrolment, presence, what was last heard."""
    connection.execute(tables.devices.update().where(tables.devices.c.id == device).values(**values))


def update_many(connection: sa.Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    """``update`` for many devices at once; each row has ``id`` and the same other columns."""
    if rows:
        names_ = [name for name in rows[0] if name != "id"]
        statement = (
            tables.devices.update()
            .where(tables.devices.c.id == sa.bindparam("key"))
            .values({name: sa.bindparam(f"new_{name}") for name in names_})
        )
        bound = [{"key": row["id"], **{f"new_{name}": row[name] for name in names_}} for row in rows]
        connection.execute(statement, bound)


def mqtt_passwords(connection: sa.Connection) -> dict[str, str]:
    """The hashed MQTT password of every enrolled device, by device id."""
    column = tables.devices.c
    query = sa.select(column.id, column.mqtt_password).where(column.mqtt_password.is_not(None))
    return {row.id: row.mqtt_password for row in connection.execute(query)}


def count(connection: sa.Connection) -> int:
    """How many devices there are."""
    return connection.execute(sa.select(sa.func.count()).select_from(tables.devices)).scalar_one()


def load(connection: sa.Connection, device: str) -> cloud.Device:
    """What is recorded of one device that exists."""
    return load_many(connection, [device])[device]


def load_many(connection: sa.Connection, ids: Iterable[str]) -> dict[str, cloud.Device]:
    """What is recorded of each of these devices, with their unfinished deployments; unknown ids are left out."""
    wanted = list(ids)
    column = tables.devices.c
    query = sa.select(
        column.id, column.epoch, column.generation, column.desired, column.fallback, column.published,
        column.incarnation, column.former, column.seq, column.reported, column.adopted,
    ).where(column.id.in_(wanted))  # fmt: skip
    rows = connection.execute(query).all()
    live: dict[str, dict[str, cloud.Deployment]] = {row.id: {} for row in rows}
    query = sa.select(tables.deployments).where(_LIVE, tables.deployments.c.device_id.in_(wanted))
    for row in connection.execute(query).mappings():
        live[row["device_id"]][row["id"]] = deployment_value(row)
    return {
        row.id: cloud.Device(
            id=row.id,
            epoch=row.epoch,
            generation=row.generation,
            desired=row.desired,
            fallback=row.fallback,
            published=row.published,
            incarnation=row.incarnation,
            former=tuple((incarnation, seq) for incarnation, seq in row.former),
            seq=row.seq,
            reported=row.reported,
            adopted=row.adopted,
            deployments=live[row.id],
        )
        for row in rows
    }


def deployment_value(row: sa.RowMapping) -> cloud.Deployment:
    """A deployment's row as the protocol's value."""
    return cloud.Deployment(
        id=row["id"],
        release=row["release_id"],
        digest=row["digest"],
        statuses=Statuses(Target(row["target"]), Activity(row["activity"]), Error(row["error"])),
        reason=messages.Reason(**row["reason"]) if row["reason"] else None,
        attempts=row["attempts"],
        ordered=row["ordered"],
        ended=row["ended"],
    )


def save(connection: sa.Connection, before: cloud.Device, after: cloud.Device, cause: Cause) -> None:
    """Records what changed between two values of one device; every change of statuses leaves its history row.

    A deployment that is new in ``after`` is left to ``deployments.insert``.
    """
    save_many(connection, [(before, after, cause)])


def save_many(connection: sa.Connection, changes: Sequence[tuple[cloud.Device, cloud.Device, Cause]]) -> None:
    """``save`` for many devices at once, in one statement for each table and shape of change."""
    device_rows: list[dict[str, Any]] = []
    ordered_rows: list[dict[str, Any]] = []
    deployment_rows: list[dict[str, Any]] = []
    stamps: dict[str, list[dict[str, Any]]] = {}
    rows: list[dict[str, Any]] = []
    for before, after, cause in changes:
        device_rows.append(_device_row(after))
        if after.generation != before.generation:
            ordered_rows.append({"id": after.id, "desired_at": cause.at})
        for new in after.deployments.values():
            old = before.deployments.get(new.id)
            if old is None or new == old:
                continue
            deployment_rows.append(_bound(new))
            if new.statuses != old.statuses:
                rows.append(status_change(after.id, old, new, cause))
                for name in _times(old, new):
                    stamps.setdefault(name, []).append({"key": new.id, "at": cause.at})
    update_many(connection, device_rows)
    update_many(connection, ordered_rows)
    if deployment_rows:
        connection.execute(_UPDATE_DEPLOYMENT, deployment_rows)
    for name, stamped in stamps.items():
        column = tables.deployments.c
        statement = tables.deployments.update().where(column.id == sa.bindparam("key"), column[name].is_(None))
        connection.execute(statement.values({name: sa.bindparam("at")}), stamped)
    history.append(connection, rows)


_COLUMNS = ("target", "activity", "error", "reason", "attempts", "ordered", "ended")
_UPDATE_DEPLOYMENT = (
    tables.deployments.update()
    .where(tables.deployments.c.id == sa.bindparam("key"))
    .values({name: sa.bindparam(f"new_{name}") for name in _COLUMNS})
)


def _device_row(device: cloud.Device) -> dict[str, Any]:
    return {
        "id": device.id,
        "epoch": device.epoch,
        "generation": device.generation,
        "desired": device.desired,
        "fallback": device.fallback,
        "published": device.published,
        "incarnation": device.incarnation,
        "former": list(device.former),
        "seq": device.seq,
        "reported": device.reported,
        "adopted": device.adopted,
    }


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
    }


def _bound(deployment: cloud.Deployment) -> dict[str, Any]:
    return {
        "key": deployment.id,
        **{f"new_{name}": value for name, value in deployment_columns(deployment).items()},
    }


def _times(old: cloud.Deployment, new: cloud.Deployment) -> list[str]:
    """The columns that say when a deployment first came to where it is now, or ran through in one report."""
    if new.statuses.activity is old.statuses.activity:
        return []
    return [f"{new.statuses.activity.value}_at"] if new.statuses.activity.value in _STAMPED else []


_STAMPED = {Activity.QUEUED.value, Activity.DEPLOYED.value, Activity.ARCHIVED.value}


def status_change(device: str, old: cloud.Deployment, new: cloud.Deployment, cause: Cause) -> dict[str, Any]:
    """The history row of a change of statuses."""
    return history.row(
        at=cause.at,
        actor=cause.actor,
        action=new.statuses.merged,
        device_id=device,
        deployment_id=new.id,
        device_time=cause.device_time,
        before=shown_statuses(old),
        after={**shown_statuses(new), **({"reason": new.reason.model_dump()} if new.reason else {})},
    )


def shown_statuses(deployment: cloud.Deployment) -> dict[str, str]:
    """The three statuses, under the names that people see."""
    target, activity, error = deployment.statuses
    return {"target_status": target.value, "activity_status": activity.value, "error_status": error.value}


def unpublished(connection: sa.Connection, limit: int) -> list[str]:
    """Devices whose newest order has not left for the broker."""
    column = tables.devices.c
    query = sa.select(column.id).where(column.published < column.generation).limit(limit)
    return list(connection.scalars(query))


def out_of_sync(connection: sa.Connection, after: str, limit: int) -> list[str]:
    """Devices that have not answered their newest order, by id, beginning behind ``after``."""
    column = tables.devices.c
    query = (
        sa.select(column.id)
        .where(column.reported != column.generation, column.id > after)
        .order_by(column.id)
        .limit(limit)
    )
    return list(connection.scalars(query))


def mark_published(connection: sa.Connection, ids: Sequence[str]) -> None:
    """Records that the newest order of these devices may be on its way from now on."""
    column = tables.devices.c
    statement = tables.devices.update().where(column.id.in_(ids), column.published < column.generation)
    connection.execute(statement.values(published=column.generation))
