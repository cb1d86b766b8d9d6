"""From what is recorded to the orders that a device obeys."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import sqlalchemy as sa
from shallop_protocol import desired, ids

from shallop_cloud.store import deployments

MODE = "0644"


def files(instances: Sequence[deployments.Instance], contents: Mapping[str, bytes]) -> list[desired.Instance]:
    """Files with their texts; ``contents`` is by digest."""
    return [
        desired.Instance(
            id=instance.id,
            slot=instance.slot,
            path=instance.path,
            mode=MODE,
            digest=instance.digest,
            size=instance.size,
            content=contents[instance.digest].decode(),
        )
        for instance in instances
    ]


def newest(connection: sa.Connection, devices: Sequence[str]) -> list[desired.Desired]:
    """The newest order of each of these devices; those that were never ordered anything are left out."""
    orders = deployments.orders(connection, devices)
    named = {instance.id: instance for order in orders for instance in order.instances}
    contents = deployments.contents(connection, sorted({instance.digest for instance in named.values()}))
    made = dict(zip(named, files(list(named.values()), contents), strict=True))
    return [_desired(order, made) for order in orders]


def _desired(order: deployments.Order, made: Mapping[str, desired.Instance]) -> desired.Desired:
    row = order.deployment
    manifest = None
    if row is not None:
        instances = tuple(made[instance.id] for instance in order.instances)
        manifest = desired.Manifest(id=row.id, release=row.version, digest=row.digest, instances=instances)
    return desired.Desired(
        device=ids.on_wire(order.device),
        epoch=order.epoch,
        generation=order.generation,
        issued_at=order.issued_at,
        deployment=manifest,
        fallback=order.fallback,
    )
