"""Deployments and the config instances in them."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from shallop_protocol.statuses import Error

from shallop_cloud.store import tables


@dataclasses.dataclass(frozen=True, slots=True)
class Instance:
    """A config instance, without its content."""

    id: str
    config_type: str
    slot: str
    path: str
    digest: str
    size: int


@dataclasses.dataclass(frozen=True, slots=True)
class Filters:
    """What a list of deployments is narrowed to; None stands for any."""

    device: str | None = None
    release: str | None = None
    status: str | None = None


def insert(
    connection: sa.Connection,
    values: Mapping[str, Any],
    instances: Sequence[Mapping[str, Any]],
    contents: Mapping[str, bytes],
) -> None:
    """Records a deployment with its instances; contents that are known already are kept once."""
    known = set(
        connection.scalars(sa.select(tables.contents.c.digest).where(tables.contents.c.digest.in_(list(contents))))
    )
    new = [{"digest": digest, "data": data} for digest, data in contents.items() if digest not in known]
    if new:
        connection.execute(tables.contents.insert(), new)
    connection.execute(tables.deployments.insert().values(**values))
    if instances:
        connection.execute(tables.config_instances.insert(), instances)
        links = [{"deployment_id": values["id"], "instance_id": instance["id"]} for instance in instances]
        connection.execute(tables.deployment_instances.insert(), links)


_SHOWN = (
    sa.select(
        tables.deployments,
        tables.devices.c.name.label("device_name"),
        tables.releases.c.version.label("release"),
    )
    .join(tables.devices, tables.devices.c.id == tables.deployments.c.device_id)
    .join(tables.releases, tables.releases.c.id == tables.deployments.c.release_id)
)


def find(connection: sa.Connection, deployment: str) -> sa.RowMapping | None:
    """The row of a deployment, with its device's name and its release's version."""
    return connection.execute(_SHOWN.where(tables.deployments.c.id == deployment)).mappings().first()


def query(filters: Filters) -> sa.Select[Any]:
    """The rows that a list shows, as ``find`` gives them. ``filters.status`` is the merged status."""
    column = tables.deployments.c
    select = _SHOWN
    if filters.device is not None:
        select = select.where(column.device_id == filters.device)
    if filters.release is not None:
        select = select.where(column.release_id == filters.release)
    if filters.status is not None:
        merged = sa.case((column.error == Error.NONE.value, column.activity), else_=column.error)
        select = select.where(merged == filters.status)
    return select


def instances(connection: sa.Connection, deployments: Sequence[str]) -> dict[str, list[Instance]]:
    """The instances of each of these deployments, by config type and slot."""
    link, instance = tables.deployment_instances.c, tables.config_instances.c
    select = (
        sa.select(link.deployment_id, instance.id, instance.config_type, instance.slot, instance.path,
                  instance.digest, instance.size)
        .join(tables.config_instances, instance.id == link.instance_id)
        .where(link.deployment_id.in_(deployments))
        .order_by(instance.config_type, instance.slot)
    )  # fmt: skip
    found: dict[str, list[Instance]] = {deployment: [] for deployment in deployments}
    for row in connection.execute(select):
        found[row.deployment_id].append(Instance(*row[1:]))
    return found


def find_instance(connection: sa.Connection, instance: str) -> sa.RowMapping | None:
    """The row of a config instance."""
    select = sa.select(tables.config_instances).where(tables.config_instances.c.id == instance)
    return connection.execute(select).mappings().first()


def content(connection: sa.Connection, digest: str) -> bytes:
    """The bytes with this digest, as their author wrote them."""
    return connection.execute(sa.select(tables.contents.c.data).where(tables.contents.c.digest == digest)).scalar_one()


def contents(connection: sa.Connection, digests: Sequence[str]) -> dict[str, bytes]:
    """The bytes of each of these digests."""
    column = tables.contents.c
    rows = connection.execute(sa.select(column.digest, column.data).where(column.digest.in_(digests)))
    return {row.digest: row.data for row in rows}


@dataclasses.dataclass(frozen=True, slots=True)
class Order:
    """All that a signed order is made from; ``deployment`` is None for the order to take everything off."""

    device: str
    epoch: int
    generation: int
    issued_at: datetime.datetime
    deployment: sa.RowMapping | None
    instances: Sequence[Instance]
    fallback: str | None


def orders(connection: sa.Connection, devices: Sequence[str]) -> list[Order]:
    """The newest order of each of these devices; those that were never ordered anything are left out."""
    device, deployment = tables.devices.c, tables.deployments.c
    select = sa.select(
        device.id, device.epoch, device.generation, device.desired_at, device.desired, device.fallback
    ).where(device.id.in_(devices), device.generation > 0, device.desired_at.is_not(None))
    rows = connection.execute(select).all()
    wanted = [row.desired for row in rows if row.desired]
    select = sa.select(deployment.id, deployment.digest, tables.releases.c.version).join(
        tables.releases, tables.releases.c.id == deployment.release_id
    )
    found = {row["id"]: row for row in connection.execute(select.where(deployment.id.in_(wanted))).mappings()}
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
        )
        for row in rows
    ]
