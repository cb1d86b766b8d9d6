"""Patches: a new deployment made from one that exists, in which some files or single values are others."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from shallop_cloud import errors
from shallop_cloud.configs import Format, operations, patching
from shallop_cloud.configs.findings import Finding, Refused
from shallop_cloud.services import comparing, contents, deployments, lookup, making
from shallop_cloud.services.comparing import Files
from shallop_cloud.services.contents import Config
from shallop_cloud.services.making import Intent
from shallop_cloud.services.shore import Shore
from shallop_cloud.store import releases
from shallop_cloud.store.releases import Place, Slot


@dataclasses.dataclass(frozen=True, slots=True)
class Value:
    """A value to be set in a config file.

    Attributes:
        pointer: where (RFC 6901).
        value: what a JSON document may have there.
    """

    place: Place
    pointer: str
    value: Any


def patch(
    shore: Shore, key: str, values: Sequence[Value], configs: Sequence[Config], intent: Intent, actor: str
) -> str:
    """Makes a deployment for the same device and release from one in any status. Gives its id.

    Files that stay as they are, are the same config instances. Of those in which a value is set, all the rest stays
    byte for byte.

    Args:
        values: to be set, in order.
        configs: whole files, instead of those that are there, or beside them.

    Raises:
        errors.NotFound: no such deployment.
        errors.Invalid: ``patch_empty``, ``config_type_unknown``, ``slot_unknown``, ``config_repeated``,
            ``config_absent``, ``patch_invalid``, ``config_invalid``.
        errors.Conflict: ``nothing_changed``, ``current_changed``, ``device_archived``.
        errors.Problem: 413, a config or the whole is too large.
    """
    if not values and not configs:
        raise errors.Invalid("patch_empty", "a patch sets at least one value or gives one config file")
    with shore.database.read() as connection:
        row = lookup.deployment(connection, key)
        files = comparing.files(connection, row)
        slots = releases.slots(connection, [row["release_id"]])[row["release_id"]]
    given = contents.match(configs, slots, row["release"])
    contents.check_places([each.place for each in values], slots, row["release"])
    _refuse_both(values, configs)
    changed = {**{config.place: config for _, config in given}, **_patched(files, values, slots)}
    kept = {place: Config(place[0], file.instance.digest, place[1]) for place, file in files.items()}
    known = [file.instance for file in files.values()]
    prepared = contents.prepare(shore, row["release_id"], list({**kept, **changed}.values()), known)
    if prepared.digest == row["digest"]:
        words = f"{row['id']} has exactly this content; change something, or deploy it"
        raise errors.Conflict("nothing_changed", words)
    intent = dataclasses.replace(intent, patched_from=row["id"])
    return deployments.only(making.make(shore, [row["device_id"]], prepared, intent, actor))


def _refuse_both(values: Sequence[Value], configs: Sequence[Config]) -> None:
    whole = {config.place for config in configs}
    for each in values:
        if each.place in whole:
            words = f"{releases.shown(each.place)} is given whole, and a value is set in it; do one of the two"
            raise errors.Invalid("config_repeated", words)


def _patched(files: Files, values: Sequence[Value], slots: Sequence[Slot]) -> Mapping[Place, Config]:
    """The files in which values are set.

    Raises:
        errors.Invalid: ``config_absent``; ``patch_invalid`` with all that is wrong, the first of each file.
    """
    steps: dict[Place, list[operations.Operation]] = {}
    for each in values:
        steps.setdefault(each.place, []).append(operations.Set(each.pointer, each.value))
    formats = {slot.place: Format(slot.format) for slot in slots}
    patched: dict[Place, Config] = {}
    found: list[Finding] = []
    for place, own in steps.items():
        if place not in files:
            words = f"the deployment has no config of type {releases.shown(place)}, so no value can be set in it"
            raise errors.Invalid("config_absent", f"{words}; give the whole file")
        before = files[place].data
        if before is None:
            words = "it is binary, or too large to be looked into; give the whole file"
            found.append(Finding(words, own[0].pointer, 0, 0, releases.shown(place)))
            continue
        try:
            data = patching.apply(before, formats[place], own)
        except Refused as refused:
            found += [each.in_file(releases.shown(place)) for each in refused.findings]
            continue
        patched[place] = Config(place[0], data, place[1])
    if found:
        count = "1 value" if len(found) == 1 else f"{len(found)} values"
        raise errors.Invalid("patch_invalid", f"refused, nothing was made: {count} cannot be set", tuple(found))
    return patched
