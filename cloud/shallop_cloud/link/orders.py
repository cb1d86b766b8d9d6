"""From what is recorded to the orders that a device obeys."""

from __future__ import annotations

import collections
import itertools
from collections.abc import Iterable, Mapping, Sequence

import sqlalchemy as sa
from shallop_protocol import desired, ids

from shallop_cloud.keyring import Keyring
from shallop_cloud.store import contents, deployments

MODE = "0644"
MAX_TEXTS = 2_097_152
"""Bytes of all files that could travel with one order: more than gzip makes fit into what brokers carry."""
KEPT = 1_000


def files(instances: Sequence[deployments.Instance], texts: Mapping[str, bytes]) -> list[desired.Instance]:
    """Files with their texts; ``texts`` is by digest, and what is not in it goes by reference."""
    return [
        desired.Instance(
            id=instance.id,
            slot=instance.slot,
            path=instance.path,
            mode=MODE,
            digest=instance.digest,
            size=instance.size,
            content=texts[instance.digest].decode() if instance.digest in texts else None,
        )
        for instance in instances
    ]


def carried(instances: Iterable[deployments.Instance]) -> set[str]:
    """The digests of what could travel with an order of these files: the smaller ones, up to ``MAX_TEXTS`` together."""
    sizes = {each.digest: each.size for each in instances if each.size <= desired.MAX_INLINE_BYTES}
    smallest = sorted(sizes, key=lambda digest: (sizes[digest], digest))
    total = itertools.accumulate(sizes[digest] for digest in smallest)
    return {digest for digest, so_far in zip(smallest, total, strict=True) if so_far <= MAX_TEXTS}


def newest(connection: sa.Connection, devices: Sequence[str]) -> list[desired.Desired]:
    """The newest order of each of these devices; those that were never ordered anything are left out."""
    orders = deployments.orders(connection, devices)
    named = {instance.id: instance for order in orders for instance in order.instances}
    wanted = {digest for each in _distinct(orders) for digest in carried(each)}
    made = dict(zip(named, files(list(named.values()), contents.texts(connection, wanted)), strict=True))
    return [_desired(order, made) for order in orders]


def _distinct(orders: Sequence[deployments.Order]) -> Iterable[Sequence[deployments.Instance]]:
    """Each set of files once, however many devices get it."""
    return {tuple(each.id for each in order.instances): order.instances for order in orders}.values()


class Sealer:
    """Signs orders so that each fits the broker. What was left out of one is left out of the next of the same files at
    once: a fleet that gets a large file costs one search for what fits.
    """

    def __init__(self, keyring: Keyring, limit: int) -> None:
        self._keyring = keyring
        self._limit = limit
        self._left_out: collections.OrderedDict[str, frozenset[str]] = collections.OrderedDict()

    def seal(self, order: desired.Desired) -> bytes:
        """The envelope.

        Raises:
            shallop_protocol.errors.TooLarge: not even the manifest fits.
        """
        files = order.deployment.digest if order.deployment else ""
        known = self._left_out.get(files, frozenset())
        signers = self._keyring.signers
        envelope, more = desired.seal_to_fit(desired.referring(order, known), *signers, limit=self._limit)
        if more:
            self._left_out[files] = known | more
            if len(self._left_out) > KEPT:
                self._left_out.popitem(last=False)
        return envelope


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
        confirm_s=order.confirm_s,
    )
