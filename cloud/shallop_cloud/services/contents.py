"""What a deployment is made of: config files, judged against a release, ready for any number of devices."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Mapping, Sequence
from typing import Any

from shallop_protocol import desired, digests, ids
from shallop_protocol import errors as protocol_errors

from shallop_cloud import errors
from shallop_cloud.configs.findings import meant
from shallop_cloud.link import orders
from shallop_cloud.services import lookup, validation
from shallop_cloud.services.shore import Shore
from shallop_cloud.store import deployments, releases


@dataclasses.dataclass(frozen=True, slots=True)
class Config:
    """One config file as the operator gives it."""

    config_type: str
    content: str


@dataclasses.dataclass(frozen=True, slots=True)
class Contents:
    """Config files that a release takes.

    Attributes:
        release: its id; ``version`` is its version.
        digest: of the set of files, as every deployment of them has it.
        instances: rows of new config instances; nothing is recorded yet.
        data: the bytes of each digest that ``instances`` names.
    """

    release: str
    version: str
    digest: str
    instances: Sequence[dict[str, Any]]
    data: Mapping[str, bytes]


def prepare(shore: Shore, release: str, configs: Sequence[Config]) -> Contents:
    """Judges config files for a release, named by id, prefix or version.

    Raises:
        errors.NotFound: no such release.
        errors.Invalid: a config of unknown type, twice, missing, or not valid.
        errors.Problem: 413, a config or the whole is too large.
    """
    with shore.database.read() as connection:
        row = lookup.release(connection, release)
        slots = releases.slots(connection, [row["id"]])[row["id"]]
    chosen = _match(configs, slots, row["version"])
    validation.check(shore, [(slot, config.content) for slot, config in chosen])
    _refuse_missing(configs, slots, row["version"])
    at = shore.now()
    instances = [_instance(shore, slot, config, at) for slot, config in chosen]
    digest = digests.of_files(
        digests.FileDigest(instance["path"], orders.MODE, instance["size"], instance["digest"])
        for instance in instances
    )
    data = {
        instance["digest"]: config.content.encode() for instance, (_, config) in zip(instances, chosen, strict=True)
    }
    contents = Contents(row["id"], row["version"], digest, instances, data)
    _check_fits(shore, contents)
    return contents


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


def _check_fits(shore: Shore, contents: Contents) -> None:
    """Signs a deployment once as it would be published: what does not fit must be refused now, not when it is due."""
    deployment = ids.make(ids.Prefix.DEPLOYMENT, bytes(ids.RANDOM_BYTES))
    device = ids.make(ids.Prefix.DEVICE, bytes(ids.RANDOM_BYTES))
    files = orders.files([_as_row(instance) for instance in contents.instances], contents.data)
    trial = desired.Desired(
        device=ids.on_wire(device),
        epoch=1,
        generation=2**53 - 1,
        issued_at=shore.now(),
        deployment=desired.Manifest(
            id=deployment, release=contents.version, digest=contents.digest, instances=tuple(files)
        ),
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
