"""Merging: a waiting deployment, with what became current since it was staged."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Literal

import sqlalchemy as sa
from shallop_protocol import cloud

from shallop_cloud import errors
from shallop_cloud.configs import Format, merge
from shallop_cloud.configs.findings import Finding
from shallop_cloud.services import comparing, contents, deployments, lookup, making, review, validation
from shallop_cloud.services.comparing import File, Files
from shallop_cloud.services.contents import Config
from shallop_cloud.services.making import Intent
from shallop_cloud.services.shore import Shore
from shallop_cloud.store import deployments as store
from shallop_cloud.store import devices, releases
from shallop_cloud.store.releases import Place, Slot

Kind = Literal["unchanged", "ours", "theirs", "merged", "conflict"]


@dataclasses.dataclass(frozen=True, slots=True)
class MergedFile:
    """What becomes of one file.

    Attributes:
        kind: both sides are alike; only the staged deployment changed it (``ours``), or only what became current
            (``theirs``); both did, and it goes together or not.
        content: the bytes if both sides gave some of them, else the digest of those that it has already; None for no
            file, and for a conflict.
        text: the content, if it can be looked into.
    """

    place: Place
    path: str
    kind: Kind
    content: bytes | str | None
    text: bytes | None
    conflicts: Sequence[merge.Conflict] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class Merge:
    """A proposal. ``base``, ``current`` and ``staged`` are rows of deployments: what was desired when the last was
    staged or restaged, what is desired now, and what waits.

    Attributes:
        findings: what is wrong with the merged files, held against the schemas of the staged one's release.
    """

    base: sa.RowMapping | None
    current: sa.RowMapping | None
    staged: sa.RowMapping
    files: Sequence[MergedFile]
    findings: Sequence[Finding]
    known: Sequence[store.Instance]

    @property
    def has_conflicts(self) -> bool:
        """Whether a person has to decide something first."""
        return any(file.kind == "conflict" for file in self.files)

    @property
    def is_clean(self) -> bool:
        """Whether it can be accepted as it is."""
        return not self.has_conflicts and not self.findings


def propose(shore: Shore, key: str) -> Merge:
    """What a merge of a waiting deployment would be; nothing changes.

    Raises:
        errors.NotFound: no such deployment.
        errors.Conflict: ``deployment_not_waiting``.
        errors.Problem: 413, a merged config is too large.
    """
    with shore.database.read() as connection:
        staged = lookup.deployment(connection, key)
        review.refuse_unless_waiting(staged)
        current = review.desired(connection, staged)
        base = store.find(connection, staged["base"]) if staged["base"] else None
        sides = [comparing.files(connection, row) for row in (base, current, staged)]
        slots = releases.slots(connection, [staged["release_id"]])[staged["release_id"]]
    wanted = [slot for slot in slots if any(slot.place in side for side in sides)]
    merged = [_merged(slot, *sides) for slot in wanted]
    findings = _findings(shore, merged, slots)
    known = [file.instance for side in (sides[1], sides[2]) for file in side.values()]
    return Merge(base, current, staged, merged, findings, known)


def accept(shore: Shore, key: str, reviewed: str | None, description: str | None, actor: str) -> str:
    """Stages what the merge of a drifted deployment gives, in its place. Gives the id of the new deployment.

    Args:
        reviewed: what the operator saw as current, None for nothing; if it is not any more, nothing is done.
        description: of the new deployment; None takes over the old one.

    Raises:
        errors.NotFound: no such deployment.
        errors.Conflict: ``deployment_not_drifted``, ``current_changed``.
        errors.Problem: 409 ``merge_conflicts``, each with its place; 413.
        errors.Invalid: ``config_invalid``, ``config_missing``.
    """
    with shore.database.read() as connection:
        row = lookup.deployment(connection, key)
        expected = making.known(connection, reviewed)
        try:
            cloud.check_drifted(devices.deployment_value(row))
            cloud.check_current(devices.load(connection, row["device_id"]), expected)
        except cloud.Conflict as error:
            raise errors.Conflict(error.code, str(error)) from None
    proposal = propose(shore, row["id"])
    if proposal.has_conflicts:
        raise _conflicts(proposal)
    configs = [
        Config(file.place[0], file.content, file.place[1]) for file in proposal.files if file.content is not None
    ]
    prepared = contents.prepare(shore, row["release_id"], configs, proposal.known)
    intent = Intent(
        description=row["description"] if description is None else description,
        staged=True,
        expected_current=expected,
        patched_from=row["id"],
        confirm_s=row["confirm_s"],
    )
    made = making.make(
        shore, [row["device_id"]], prepared, intent, actor, lambda device, new: cloud.merge(device, row["id"], new)
    )
    return deployments.only(made)


def _merged(slot: Slot, base: Files, current: Files, staged: Files) -> MergedFile:
    files = [side.get(slot.place) for side in (base, current, staged)]
    old, theirs, ours = (file and file.instance.digest for file in files)
    if theirs == ours:
        return _taken(slot, "unchanged", files[2])
    if theirs == old:
        return _taken(slot, "ours", files[2])
    if ours == old:
        return _taken(slot, "theirs", files[1])
    if any(file is not None and file.data is None for file in files):
        words = f"both changed it, and it cannot be looked into: {comparing.binary(files[1], files[2])}"
        return MergedFile(slot.place, slot.path, "conflict", None, None, (merge.Conflict("", words, None, None, None),))
    mine, other, both = (file and file.data for file in (files[2], files[1], files[0]))
    outcome = merge.merge(both, other, mine, _format(slot, files))
    if not outcome.is_clean:
        return MergedFile(slot.place, slot.path, "conflict", None, None, outcome.conflicts)
    return MergedFile(slot.place, slot.path, "merged", outcome.content, outcome.content)


def _taken(slot: Slot, kind: Kind, file: File | None) -> MergedFile:
    """A file that is as it was on one side."""
    return MergedFile(slot.place, slot.path, kind, file and file.instance.digest, file and file.data)


def _format(slot: Slot, files: Sequence[File | None]) -> Format:
    """What the files are merged as: text, if releases want another format in one place."""
    formats = {file.format for file in files if file is not None}
    return Format(slot.format) if formats == {Format(slot.format)} else Format.TEXT


def _findings(shore: Shore, merged: Sequence[MergedFile], slots: Sequence[Slot]) -> list[Finding]:
    by_place: Mapping[Place, Slot] = {slot.place: slot for slot in slots}
    whole = [Config(file.place[0], file.content, file.place[1]) for file in merged if file.content is not None]
    with shore.database.read() as connection:
        given = contents.given(connection, whole)
    found = validation.findings(shore, [(by_place[config.place], each) for config, each in given])
    settled = {*(config.place for config in whole), *(file.place for file in merged if file.kind == "conflict")}
    for place in contents.missing(settled, slots):
        found.append(Finding("the release requires this file, and the merge has none", file=releases.shown(place)))
    return found


def _conflicts(proposal: Merge) -> errors.Problem:
    found = tuple(
        Finding(each.message, each.pointer, *(each.ours.at if each.ours else (0, 0)), releases.shown(file.place))
        for file in proposal.files
        for each in file.conflicts
    )
    count = "1 place" if len(found) == 1 else f"{len(found)} places"
    words = f"{count} changed here and, differently, in what became current since; patch the deployment, or archive it"
    return errors.Problem(409, "merge_conflicts", words, found)
