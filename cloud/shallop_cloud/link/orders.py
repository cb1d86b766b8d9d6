"""From what is recorded to the signed bytes that a device obeys."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import sqlalchemy as sa
from shallop_protocol import desired, dsse, ids

from shallop_cloud.store import deployments

MODE = "0644"


def manifest(
    deployment: str,
    release: str,
    digest: str,
    instances: Sequence[deployments.Instance],
    contents: Mapping[str, bytes],
) -> desired.Manifest:
    """A deployment with the text of its files; ``contents`` is by digest."""
    return desired.Manifest(
        id=deployment,
        release=release,
        digest=digest,
        instances=tuple(
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
        ),
    )


def sealed(connection: sa.Connection, devices: Sequence[str], signer: dsse.Signer, limit: int) -> dict[str, bytes]:
    """The newest signed order of each of these devices; those that were never ordered anything are left out."""
    orders = deployments.orders(connection, devices)
    wanted = {instance.digest for order in orders for instance in order.instances}
    contents = deployments.contents(connection, list(wanted))
    return {order.device: desired.seal_desired(_desired(order, contents), signer, limit) for order in orders}


def _desired(order: deployments.Order, contents: Mapping[str, bytes]) -> desired.Desired:
    row = order.deployment
    return desired.Desired(
        device=ids.on_wire(order.device),
        epoch=order.epoch,
        generation=order.generation,
        issued_at=order.issued_at,
        deployment=manifest(row["id"], row["version"], row["digest"], order.instances, contents) if row else None,
        fallback=order.fallback,
    )
