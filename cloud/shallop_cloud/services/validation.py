"""The one judge of releases and configs: nothing out when they are right, else every finding with its place."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Sequence

from shallop_protocol import digests

from shallop_cloud import configs, errors
from shallop_cloud.configs.findings import Finding, Refused, pointer_of
from shallop_cloud.services.shore import Shore
from shallop_cloud.store import releases
from shallop_cloud.store.database import Database

NewConfigType = tuple[str, object, configs.Format, tuple[configs.SlotDraft, ...]]
"""Name, schema in its wire form, format, slots."""


def release(version: str, git_commit: str | None, types: Sequence[NewConfigType]) -> configs.ReleaseDraft:
    """The release that a request describes; whoever sent it is not trusted to have checked it.

    Raises:
        errors.Invalid: ``release_invalid``; a finding's ``file`` is the schema file's path, or empty for the request.
    """
    found: list[Finding] = []
    drafts: list[configs.ConfigTypeDraft] = []
    for index, (name, wire, format_, slots) in enumerate(types):
        try:
            drafts.append(configs.ConfigTypeDraft(name, configs.ConfigSchema.from_json(wire), format_, slots))
        except Refused as refused:
            start = f"/config_types/{index}/schema"
            found += [
                each if each.file else Finding(each.message, start + each.pointer, 0, 0) for each in refused.findings
            ]
    draft = configs.ReleaseDraft(version, tuple(drafts), git_commit)
    if not found:
        found = [Finding(words, pointer_of(place), 0, 0) for place, words in configs.problems(draft)]
    if found:
        raise errors.Invalid(
            "release_invalid", f"refused, nothing was made: {_count(found)} in the release", tuple(found)
        )
    return draft


def check(shore: Shore, chosen: Sequence[tuple[releases.Slot, str]]) -> None:
    """Judges config files against the schemas of their slots, all of them before it complains.

    Raises:
        errors.Problem: 413 ``config_too_large``.
        errors.Invalid: ``config_invalid``; each finding's ``file`` is the config type, with the slot if it has several.
    """
    found = findings(shore, chosen)
    if found:
        words = f"refused, nothing was made: {_count(found)} in the configs"
        raise errors.Invalid("config_invalid", words, tuple(found))


def findings(shore: Shore, chosen: Sequence[tuple[releases.Slot, str]]) -> list[Finding]:
    """What is wrong with config files, held against the schemas of their slots; as ``check`` would say it.

    Raises:
        errors.Problem: 413 ``config_too_large``.
    """
    limit = shore.limits.config
    found: list[Finding] = []
    for slot, content in chosen:
        data = content.encode()
        if len(data) > limit:
            words = f"the config of type {releases.shown(slot.place)!r} has {len(data)} bytes; the limit is {limit}"
            raise errors.Problem(413, "config_too_large", words)
        known = (slot.schema_id, slot.format, digests.of_bytes(data))
        if known in _valid:
            continue
        schema = _compiled(shore.database, slot.schema_id)
        own = schema.check(data, configs.Format(slot.format), max_bytes=limit)
        found += [each.in_file(releases.shown(slot.place)) for each in own]
        if not own:
            _remember(known)
    return found


MAX_KNOWN = 10_000

_valid: dict[tuple[str, str, str], None] = {}
"""Schema, format and digest of files that were found valid, the oldest first. Neither schemas nor bytes change, and
most files of a new deployment are those of the one before it."""


def _remember(known: tuple[str, str, str]) -> None:
    _valid[known] = None
    while len(_valid) > MAX_KNOWN:
        with contextlib.suppress(StopIteration, KeyError):  # another thread has removed it
            del _valid[next(iter(_valid))]


def _count(found: Sequence[Finding]) -> str:
    return "1 error" if len(found) == 1 else f"{len(found)} errors"


@functools.lru_cache(maxsize=512)
def _compiled(database: Database, schema_id: str) -> configs.ConfigSchema:
    """A schema never changes, so it is compiled once."""
    with database.read() as connection:
        row = releases.find_schema(connection, schema_id)
    assert row is not None
    return configs.ConfigSchema.from_json(row["definition"])
