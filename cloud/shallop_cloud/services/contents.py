"""What a deployment is made of: config files, judged against a release, ready for any number of devices."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Mapping, Sequence

import sqlalchemy as sa
from shallop_protocol import desired, digests, ids
from shallop_protocol import errors as protocol_errors

from shallop_cloud import errors
from shallop_cloud.configs import DEFAULT_SLOT
from shallop_cloud.configs.findings import meant
from shallop_cloud.link import orders
from shallop_cloud.services import lookup, validation
from shallop_cloud.services.shore import Shore
from shallop_cloud.store import contents as store
from shallop_cloud.store import deployments, releases
from shallop_cloud.store.contents import Content
from shallop_cloud.store.deployments import Instance
from shallop_cloud.store.releases import Place, shown


@dataclasses.dataclass(frozen=True, slots=True)
class Config:
    """One config file as the operator gives it: its bytes, or the digest of some that are recorded."""

    config_type: str
    content: bytes | str
    slot: str = DEFAULT_SLOT

    @property
    def place(self) -> Place:
        """Where it goes."""
        return self.config_type, self.slot


@dataclasses.dataclass(frozen=True, slots=True)
class Contents:
    """Config files that a release takes.

    Attributes:
        release: its id; ``version`` is its version.
        digest: of the set of files, as every deployment of them has it.
        instances: by config type and slot; those that are new are not recorded yet.
        data: the bytes of each digest that is not known to be recorded.
    """

    release: str
    version: str
    digest: str
    instances: Sequence[Instance]
    data: Mapping[str, bytes]


def prepare(shore: Shore, release: str, configs: Sequence[Config], known: Iterable[Instance] = ()) -> Contents:
    """Judges config files for a release, named by id, prefix or version.

    Args:
        known: instances that are taken again where a file is the same, in the same place, under the same schema.

    Raises:
        errors.NotFound: no such release.
        errors.Invalid: a config of unknown type or slot, twice, missing, not valid, or of bytes that are not recorded.
        errors.Problem: 413, a config or the whole is too large.
    """
    with shore.database.read() as connection:
        row = lookup.release(connection, release)
        slots = releases.slots(connection, [row["id"]])[row["id"]]
        matched = match(configs, slots, row["version"])
        known_bytes = given(connection, [config for _, config in matched])
    chosen = [(slot, each) for (slot, _), (_, each) in zip(matched, known_bytes, strict=True)]
    validation.check(shore, chosen)
    _refuse_missing(configs, slots, row["version"])
    same = {_identity(instance): instance for instance in known}
    made = [_instance(shore, slot, each.content) for slot, each in chosen]
    instances = [same.get(_identity(instance), instance) for instance in made]
    data = {each.content.digest: each.data for _, each in chosen if each.data is not None}
    return _assembled(shore, row["id"], row["version"], instances, data)


def given(connection: sa.Connection, configs: Sequence[Config]) -> list[tuple[Config, validation.Given]]:
    """Config files with what is known of their bytes.

    Raises:
        errors.Invalid: ``content_unknown``.
    """
    recorded = store.find(connection, [each.content for each in configs if isinstance(each.content, str)])
    return [(config, _given(config, recorded)) for config in configs]


def _given(config: Config, recorded: Mapping[str, Content]) -> validation.Given:
    if isinstance(config.content, bytes):
        data = config.content
        return validation.Given(Content(digests.of_bytes(data), len(data), store.is_text(data)), data)
    if config.content not in recorded:
        words = f"config {shown(config.place)}: there is no content {config.content}"
        raise errors.Invalid("content_unknown", f"{words}; upload it first: PUT /v1/contents/{config.content}")
    return validation.Given(recorded[config.content])


def of(shore: Shore, connection: sa.Connection, deployment: sa.RowMapping) -> Contents:
    """What a deployment is made of, to be ordered again: the same instances, which were judged when they were new.

    Raises:
        errors.Problem: 413, the whole is too large for the broker's present limit.
    """
    instances = deployments.instances(connection, [deployment["id"]])[deployment["id"]]
    return _assembled(shore, deployment["release_id"], deployment["release"], instances, {})


def _assembled(
    shore: Shore, release: str, version: str, instances: Sequence[Instance], data: Mapping[str, bytes]
) -> Contents:
    files = [digests.FileDigest(each.path, orders.MODE, each.size, each.digest) for each in instances]
    contents = Contents(release, version, digests.of_files(files), instances, data)
    _check_fits(shore, contents)
    return contents


def match(
    configs: Sequence[Config], slots: Sequence[releases.Slot], version: str
) -> list[tuple[releases.Slot, Config]]:
    """Each config with its slot, by config type and slot.

    Raises:
        errors.Invalid: ``config_type_unknown``, ``slot_unknown`` or ``config_repeated``.
    """
    check_places([config.place for config in configs], slots, version)
    by_place = {slot.place: slot for slot in slots}
    given: dict[Place, Config] = {}
    for config in configs:
        if config.place in given:
            raise errors.Invalid("config_repeated", f"{shown(config.place)} is given twice")
        given[config.place] = config
    return [(by_place[place], config) for place, config in sorted(given.items())]


def check_places(places: Iterable[Place], slots: Sequence[releases.Slot], version: str) -> None:
    """Passes if a release has these places.

    Raises:
        errors.Invalid: ``config_type_unknown`` or ``slot_unknown``.
    """
    known = {slot.place for slot in slots}
    for config_type, key in places:
        if (config_type, key) in known:
            continue
        own = sorted(slot.key for slot in slots if slot.config_type == config_type)
        if own:
            words = f"config type {config_type!r} of release {version} has no slot {key!r}{meant(key, own)}"
            raise errors.Invalid("slot_unknown", f"{words}; it has: {', '.join(own)}")
        types = sorted({slot.config_type for slot in slots})
        words = f"release {version} has no config type {config_type!r}{meant(config_type, types)}"
        raise errors.Invalid("config_type_unknown", f"{words}; it has: {', '.join(types)}")


def missing(places: Collection[Place], slots: Sequence[releases.Slot]) -> list[Place]:
    """The places that must have a file and are not among these."""
    return [slot.place for slot in slots if slot.required and slot.place not in places]


def _refuse_missing(configs: Sequence[Config], slots: Sequence[releases.Slot], version: str) -> None:
    absent = missing({config.place for config in configs}, slots)
    if absent:
        names = ", ".join(shown(place) for place in absent)
        words = f"release {version} requires a config of type {names}; add --config {shown(absent[0])}=FILE for it"
        raise errors.Invalid("config_missing", words)


def _identity(instance: Instance) -> tuple[str, ...]:
    return instance.schema_id, instance.config_type, instance.slot, instance.path, instance.digest


def _instance(shore: Shore, slot: releases.Slot, content: Content) -> Instance:
    key = shore.new_id(ids.Prefix.INSTANCE)
    return Instance(key, slot.schema_id, slot.config_type, slot.key, slot.path, content.digest, content.size)


def _check_fits(shore: Shore, contents: Contents) -> None:
    """Signs the manifest of a deployment once, with all its contents by reference: what does not fit even so must be
    refused now, not when it is due.
    """
    deployment = ids.make(ids.Prefix.DEPLOYMENT, bytes(ids.RANDOM_BYTES))
    device = ids.make(ids.Prefix.DEVICE, bytes(ids.RANDOM_BYTES))
    trial = desired.Desired(
        device=ids.on_wire(device),
        epoch=1,
        generation=2**53 - 1,
        issued_at=shore.now(),
        deployment=desired.Manifest(
            id=deployment,
            release=contents.version,
            digest=contents.digest,
            instances=tuple(orders.files(contents.instances, {})),
        ),
        fallback=deployment,
        confirm_s=desired.MAX_CONFIRM_S,
    )
    try:
        desired.seal_desired(trial, *shore.keyring.signers, limit=shore.limits.envelope)
    except protocol_errors.TooLarge as error:
        words = f"{error.message}, without the contents of its {len(contents.instances)} files"
        hint = "raise it with --payload-limit if your broker carries more"
        raise errors.Problem(413, "deployment_too_large", f"{words}; {hint}") from None
