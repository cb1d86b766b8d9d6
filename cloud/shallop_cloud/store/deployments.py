"""Deployments and the config instances in them."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from shallop_protocol.rollback import Former
from shallop_protocol.statuses import Activity, Error, Target

from shallop_cloud.store import prepared, selection, tables


@dataclasses.dataclass(frozen=True, slots=True)
class Instance:
    """A config instance, without its content."""

    id: str
    schema_id: str
    config_type: str
    slot: str
    path: str
    digest: str
    size: int


@dataclasses.dataclass(frozen=True, slots=True)
class Filters:
    """What a list of deployments is narrowed to; None, and nothing of several, stands for any.

    Attributes:
        statuses: merged statuses, of which it has one.
        labels: which its device has, all of them.
        since: made then or later.
    """

    device: str | None = None
    release: str | None = None
    statuses: Sequence[str] = ()
    labels: Mapping[str, str] = dataclasses.field(default_factory=dict[str, str])
    since: datetime.datetime | None = None


def insert_instances(connection: sa.Connection, instances: Sequence[Mapping[str, Any]]) -> None:
    """Records config instances that are not recorded yet; their contents are."""
    recorded = set(
        connection.scalars(
            sa.select(tables.config_instances.c.id).where(
                tables.config_instances.c.id.in_([instance["id"] for instance in instances])
            )
        )
    )
    _INSERT_INSTANCE.execute(connection, [instance for instance in instances if instance["id"] not in recorded])


def insert_many(connection: sa.Connection, rows: Sequence[Mapping[str, Any]], instances: Sequence[str]) -> None:
    """Records new deployments, each with all of these config instances, by id."""
    _INSERT.execute(connection, [{"deployed_at": None, "archived_at": None, **row} for row in rows])
    links = [{"deployment_id": row["id"], "instance_id": instance} for row in rows for instance in instances]
    _INSERT_LINK.execute(connection, links)


_INSERT = prepared.insert(tables.deployments, [column.name for column in tables.deployments.c])
_INSERT_INSTANCE = prepared.insert(tables.config_instances, [column.name for column in tables.config_instances.c])
_INSERT_LINK = prepared.insert(tables.deployment_instances, ["deployment_id", "instance_id"])


_SHOWN = (
    sa.select(
        tables.deployments,
        tables.devices.c.name.label("device_name"),
        tables.devices.c.reported_at,
        tables.releases.c.version.label("release"),
    )
    .join(tables.devices, tables.devices.c.id == tables.deployments.c.device_id)
    .join(tables.releases, tables.releases.c.id == tables.deployments.c.release_id)
)


def find(connection: sa.Connection, deployment: str) -> sa.RowMapping | None:
    """The row of a deployment, with its device's name and its release's version."""
    return connection.execute(_SHOWN.where(tables.deployments.c.id == deployment)).mappings().first()


def find_many(connection: sa.Connection, deployments: Sequence[str]) -> dict[str, sa.RowMapping]:
    """The rows of these deployments, as ``find`` gives them, by id."""
    rows = connection.execute(_SHOWN_AMONG, {"ids": deployments}).mappings()
    return {row["id"]: row for row in rows}


_SHOWN_AMONG: sa.Select[Any] = _SHOWN.where(prepared.among(tables.deployments.c.id, "ids"))


def queries(connection: sa.Connection, filters: Filters) -> list[sa.Select[Any]]:
    """The queries that give, together and each once, the rows that a list shows, as ``find`` gives them.

    There is one for each status, if one was asked for, or a release: an index has those of one status in order.
    """
    column = tables.deployments.c
    select = _SHOWN
    if filters.device is not None:
        select = select.where(column.device_id == filters.device)
    if filters.labels:
        select = select.where(selection.have_labels(connection, column.device_id, filters.labels))
    if filters.since is not None:
        select = select.where(column.created_at >= filters.since)
    if filters.release is not None:
        select = select.where(column.release_id == filters.release)
    statuses = filters.statuses or (_STATUSES if filters.release is not None and filters.device is None else ())
    return [select.where(tables.merged_status == status) for status in dict.fromkeys(statuses)] or [select]


_STATUSES = [status.value for status in (*Activity, *Error) if status is not Error.NONE]
"""Every merged status."""


def waiting(connection: sa.Connection, release: str, labels: Mapping[str, str]) -> list[str]:
    """The staged and drifted deployments of a release whose devices have all of these labels, by the device's name."""
    column = tables.deployments.c
    query = (
        sa.select(column.id)
        .join(tables.devices, tables.devices.c.id == column.device_id)
        .where(column.release_id == release, tables.merged_status.in_([Activity.STAGED.value, Activity.DRIFTED.value]))
        .where(*(selection.has_label(key, value) for key, value in labels.items()))
        .order_by(tables.devices.c.name)
    )
    return list(connection.scalars(query))


def former(connection: sa.Connection, device: str) -> dict[str, Former]:
    """The deployments of a device that were ever ordered, as a rollback looks at them, by id."""
    column = tables.deployments.c
    query = sa.select(column.id, column.ordered, column.deployed_at, column.error, column.restores)
    rows = connection.execute(query.where(column.device_id == device, column.ordered > 0))
    return {
        row.id: Former(row.id, row.ordered, row.deployed_at is not None, row.error == Error.FAILED.value, row.restores)
        for row in rows
    }


def ordered_since(connection: sa.Connection, device: str, generation: int) -> list[sa.RowMapping]:
    """The deployments of a device that were first ordered after a generation, oldest first, as ``find`` gives them."""
    column = tables.deployments.c
    query = _SHOWN.where(column.device_id == device, column.ordered > generation).order_by(column.ordered)
    return list(connection.execute(query).mappings())


def set_base(connection: sa.Connection, deployment: str, base: str | None, generation: int) -> None:
    """Records against what a deployment was restaged: what is desired, and in which generation of its device."""
    values = {"base": base, "base_generation": generation}
    connection.execute(tables.deployments.update().where(tables.deployments.c.id == deployment).values(**values))


def instances(connection: sa.Connection, deployments: Sequence[str]) -> dict[str, list[Instance]]:
    """The instances of each of these deployments, by config type and slot."""
    found: dict[str, list[Instance]] = {deployment: [] for deployment in deployments}
    known: dict[str, Instance] = {}
    rows: Sequence[Any] = connection.execute(_INSTANCES, {"ids": deployments}).all()  # any: its columns
    for deployment, key, *values in rows:
        if key not in known:
            known[key] = Instance(key, *values)
        found[deployment].append(known[key])
    return found


_INSTANCE = tuple(field.name for field in dataclasses.fields(Instance))
_INSTANCES: sa.Select[Any] = (
    sa.select(
        tables.deployment_instances.c.deployment_id,
        *(tables.config_instances.c[name] for name in _INSTANCE),
    )
    .join(tables.config_instances, tables.config_instances.c.id == tables.deployment_instances.c.instance_id)
    .where(prepared.among(tables.deployment_instances.c.deployment_id, "ids"))
    .order_by(tables.config_instances.c.config_type, tables.config_instances.c.slot)
)


def find_instance(connection: sa.Connection, instance: str) -> sa.RowMapping | None:
    """The row of a config instance."""
    select = sa.select(tables.config_instances).where(tables.config_instances.c.id == instance)
    return connection.execute(select).mappings().first()


def is_wanted(connection: sa.Connection, device: str, digest: str) -> bool:
    """Whether a content belongs to a deployment that a device shall have, or shall keep until another is confirmed."""
    links, instances = tables.deployment_instances.c, tables.config_instances.c
    query = (
        sa.select(sa.literal(1))
        .join(tables.deployment_instances, links.deployment_id == tables.deployments.c.id)
        .join(tables.config_instances, instances.id == links.instance_id)
        .where(tables.deployments.c.device_id == device, tables.deployments.c.target == Target.DEPLOYED.value)
        .where(instances.digest == digest)
        .limit(1)
    )
    return connection.execute(query.select_from(tables.deployments)).first() is not None


@dataclasses.dataclass(frozen=True, slots=True)
class Order:
    """All that a signed order is made from; ``deployment`` is None for the order to take everything off.

    Attributes:
        confirm_s: the deployment's own, else its device's.
    """

    device: str
    epoch: int
    generation: int
    issued_at: datetime.datetime
    deployment: sa.Row[str, str, int | None, str] | None
    instances: Sequence[Instance]
    fallback: str | None
    confirm_s: int | None


def orders(connection: sa.Connection, devices: Sequence[str]) -> list[Order]:
    """The newest order of each of these devices; those that were never ordered anything are left out."""
    rows: Sequence[Any] = connection.execute(_ORDERED, {"ids": devices}).all()
    wanted = [row.desired for row in rows if row.desired]
    found = {row.id: row for row in connection.execute(_WANTED, {"ids": wanted}).all()}
    with_instances = instances(connection, wanted)
    return [
        Order(
            device=row.id,
            epoch=row.epoch,
            generation=row.generation,
            issued_at=row.desired_at,
            deployment=found[row.desired] if row.desired else None,
            instances=with_instances[row.desired] if row.desired else (),
            fallback=row.fallback,
            confirm_s=_confirm_s(row, found[row.desired]) if row.desired else None,
        )
        for row in rows
    ]


def _confirm_s(device: Any, deployment: Any) -> int | None:  # any: rows of the statements below
    return device.confirm_s if deployment.confirm_s is None else deployment.confirm_s


_ORDERED: sa.Select[Any] = sa.select(
    *(
        tables.devices.c[name]
        for name in ("id", "epoch", "generation", "desired_at", "desired", "fallback", "confirm_s")
    )
).where(
    prepared.among(tables.devices.c.id, "ids"),
    tables.devices.c.generation > 0,
    tables.devices.c.desired_at.is_not(None),
)
_WANTED = (
    sa.select(
        tables.deployments.c.id, tables.deployments.c.digest, tables.deployments.c.confirm_s, tables.releases.c.version
    )
    .join(tables.releases, tables.releases.c.id == tables.deployments.c.release_id)
    .where(prepared.among(tables.deployments.c.id, "ids"))
)
