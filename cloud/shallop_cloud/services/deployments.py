"""Deployments: made, ordered, withdrawn and reviewed by the operator."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
from collections.abc import Callable, Generator, Sequence
from typing import Any

import sqlalchemy as sa
from shallop_protocol import cloud, desired, digests, ids
from shallop_protocol import errors as protocol_errors

from shallop_cloud import errors
from shallop_cloud.configs.findings import meant
from shallop_cloud.link import orders
from shallop_cloud.services import lookup, validation
from shallop_cloud.services.shore import Shore
from shallop_cloud.store import deployments, devices, history, releases


@dataclasses.dataclass(frozen=True, slots=True)
class Config:
    """One config file as the operator gives it."""

    config_type: str
    content: str


@dataclasses.dataclass(frozen=True, slots=True)
class Request:
    """A deployment to be made.

    Attributes:
        staged: only prepare it; otherwise it is ordered in the same act.
        expected_current: what the operator believes to be desired now: an id, None for nothing, ``cloud.ANY`` for no
            matter what.
    """

    device: str
    release: str
    configs: Sequence[Config]
    description: str = ""
    staged: bool = False
    expected_current: str | cloud.AnyCurrent | None = cloud.ANY
    patched_from: str | None = None


def create(shore: Shore, request: Request, actor: str) -> str:
    """Makes a deployment, and orders it unless it is only to be staged. Gives its id.

    Raises:
        errors.NotFound: no such device, release or predecessor.
        errors.Invalid: a config of unknown type, twice, missing, or not valid.
        errors.Problem: 413, a config or the whole is too large.
        errors.Conflict: ``current_changed``.
    """
    with shore.database.read() as connection:
        device = lookup.device(connection, request.device)
        release = lookup.release(connection, request.release)
        slots = releases.slots(connection, [release["id"]])[release["id"]]
        patched_from = lookup.deployment(connection, request.patched_from)["id"] if request.patched_from else None
    chosen = _match(request.configs, slots, release["version"])
    validation.check(shore, [(slot, config.content) for slot, config in chosen])
    _refuse_missing(request.configs, slots, release["version"])
    at = shore.now()
    deployment = shore.new_id(ids.Prefix.DEPLOYMENT)
    instances = [_instance(shore, slot, config, at) for slot, config in chosen]
    digest = digests.of_files(
        digests.FileDigest(instance["path"], orders.MODE, instance["size"], instance["digest"])
        for instance in instances
    )
    contents = {
        instance["digest"]: config.content.encode() for instance, (_, config) in zip(instances, chosen, strict=True)
    }
    _check_fits(shore, device["id"], deployment, release["version"], digest, instances, contents)
    new = cloud.Deployment(deployment, release["id"], digest)
    with shore.database.write() as connection:
        cause = devices.Cause(actor, at)
        before = devices.load(connection, device["id"])
        with _conflicts():
            expected = _expected(connection, request.expected_current)
            cloud.check_current(before, expected)
            after = cloud.stage(before, new) if request.staged else cloud.order(before, new)
        made = after.deployments[deployment]
        devices.save(connection, before, after, cause)
        values = {
            "id": deployment,
            "device_id": device["id"],
            "release_id": release["id"],
            "description": request.description,
            "digest": digest,
            "patched_from": patched_from,
            "created_at": at,
            "created_by": actor,
            "queued_at": None if request.staged else at,
            **devices.deployment_columns(made),
        }
        deployments.insert(connection, values, instances, contents)
        shown = {"release": release["version"], "digest": digest, **devices.shown_statuses(new)}
        row = history.row(
            at=at, actor=actor, action="staged", device_id=device["id"], deployment_id=deployment, after=shown
        )
        changes = [] if request.staged else [devices.status_change(device["id"], new, made, cause)]
        history.append(connection, [row, *changes])
    if not request.staged:
        shore.ordered()
    return deployment


def deploy(shore: Shore, key: str, actor: str, expected_current: str | cloud.AnyCurrent | None = cloud.ANY) -> str:
    """Orders a staged deployment.

    Raises:
        errors.Conflict: ``deployment_drifted``, ``deployment_archived``, ``deployment_already_deployed``,
            ``current_changed``.
    """
    return _act(shore, key, actor, lambda device, deployment, current: cloud.deploy(device, deployment, current),
                expected_current)  # fmt: skip


def archive(shore: Shore, key: str, actor: str) -> str:
    """Withdraws a deployment for ever; raises ``errors.Conflict`` ``deployment_archived``."""
    return _act(shore, key, actor, lambda device, deployment, _: cloud.archive(device, deployment))


def restage(shore: Shore, key: str, actor: str, expected_current: str | cloud.AnyCurrent | None = cloud.ANY) -> str:
    """Declares a drifted deployment reviewed; raises ``errors.Conflict`` ``deployment_not_drifted`` or
    ``current_changed``.
    """
    return _act(shore, key, actor, lambda device, deployment, current: cloud.restage(device, deployment, current),
                expected_current)  # fmt: skip


Act = Callable[[cloud.Device, str, "str | cloud.AnyCurrent | None"], cloud.Device]


def _act(
    shore: Shore, key: str, actor: str, act: Act, expected_current: str | cloud.AnyCurrent | None = cloud.ANY
) -> str:
    with shore.database.write() as connection:
        row = lookup.deployment(connection, key)
        before = devices.load(connection, row["device_id"])
        if row["id"] not in before.deployments:
            before = dataclasses.replace(
                before, deployments={**before.deployments, row["id"]: devices.deployment_value(row)}
            )
        with _conflicts():
            after = act(before, row["id"], _expected(connection, expected_current))
        devices.save(connection, before, after, devices.Cause(actor, shore.now()))
    if after.generation != before.generation:
        shore.ordered()
    return row["id"]


def _match(
    configs: Sequence[Config], slots: Sequence[releases.Slot], version: str
) -> list[tuple[releases.Slot, Config]]:
    """Each config with its slot.

    Raises:
        errors.Invalid: ``config_type_unknown`` or ``config_type_repeated``.
    """
    by_type = {slot.config_type: slot for slot in slots}
    given: dict[str, Config] = {}
    for config in configs:
        if config.config_type not in by_type:
            known = ", ".join(sorted(by_type))
            hint = meant(config.config_type, by_type)
            words = f"release {version} has no config type {config.config_type!r}{hint}; it has: {known}"
            raise errors.Invalid("config_type_unknown", words)
        if config.config_type in given:
            raise errors.Invalid("config_type_repeated", f"config type {config.config_type!r} is given twice")
        given[config.config_type] = config
    return [(by_type[config_type], config) for config_type, config in sorted(given.items())]


def _refuse_missing(configs: Sequence[Config], slots: Sequence[releases.Slot], version: str) -> None:
    given = {config.config_type for config in configs}
    missing = [slot.config_type for slot in slots if slot.required and slot.config_type not in given]
    if missing:
        words = f"release {version} requires a config of type {', '.join(missing)}; add --config TYPE=FILE for it"
        raise errors.Invalid("config_missing", words)


def _instance(shore: Shore, slot: releases.Slot, config: Config, at: datetime.datetime) -> dict[str, Any]:
    data = config.content.encode()
    return {
        "id": shore.new_id(ids.Prefix.INSTANCE),
        "schema_id": slot.schema_id,
        "config_type": slot.config_type,
        "slot": slot.key,
        "path": slot.path,
        "digest": digests.of_bytes(data),
        "size": len(data),
        "created_at": at,
    }


def _check_fits(
    shore: Shore,
    device: str,
    deployment: str,
    version: str,
    digest: str,
    instances: Sequence[dict[str, Any]],
    contents: dict[str, bytes],
) -> None:
    """Signs the deployment once as it would be published: what does not fit must be refused now, not when it is due."""
    manifest = orders.manifest(deployment, version, digest, [_as_row(instance) for instance in instances], contents)
    trial = desired.Desired(
        device=ids.on_wire(device),
        epoch=1,
        generation=2**53 - 1,
        issued_at=shore.now(),
        deployment=manifest,
        fallback=deployment,
    )
    try:
        desired.seal_desired(trial, shore.signer, shore.limits.envelope)
    except protocol_errors.TooLarge as error:
        words = f"{error.message}; raise it with --payload-limit if your broker carries more"
        raise errors.Problem(413, "deployment_too_large", words) from None


def _as_row(instance: dict[str, Any]) -> deployments.Instance:
    names = ("id", "config_type", "slot", "path", "digest", "size")
    return deployments.Instance(*(instance[name] for name in names))


def _expected(connection: sa.Connection, expected: str | cloud.AnyCurrent | None) -> str | cloud.AnyCurrent | None:
    return lookup.deployment(connection, expected)["id"] if isinstance(expected, str) else expected


@contextlib.contextmanager
def _conflicts() -> Generator[None]:
    """The protocol's refusals as answers."""
    try:
        yield
    except cloud.Conflict as error:
        raise errors.Conflict(error.code, str(error)) from None
