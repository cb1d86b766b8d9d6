"""The one judge of releases and configs: nothing out when they are right, else every finding with its place."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from collections.abc import Sequence

from shallop_cloud import configs, errors
from shallop_cloud.configs.findings import Finding, Refused, pointer_of
from shallop_cloud.services.shore import Shore
from shallop_cloud.store import contents, releases
from shallop_cloud.store.contents import Content
from shallop_cloud.store.database import Database

WORK = 16_000_000
"""What judging the files of one request may cost, all of them together; about six seconds (see `configs.Budget`)."""

NewConfigType = tuple[str, object, configs.Format, tuple[configs.SlotDraft, ...]]
"""Name, schema in its wire form, format, slots."""


def release(version: str, git_commit: str | None, types: Sequence[NewConfigType]) -> configs.ReleaseDraft:
    """The release that a request describes; whoever sent it is not trusted to have checked it.

    Raises:
        errors.Invalid: ``release_invalid``; a finding's ``file`` is the schema file's path, or empty for the request.
    """
    found: list[Finding] = []
    drafts: list[configs.ConfigTypeDraft] = []
    allowance = configs.Allowance()
    for index, (name, wire, format_, slots) in enumerate(types):
        if allowance.is_spent:
            words = "the schemas of one release take too long to check, all of them together: make them simpler"
            found.append(Finding(words, f"/config_types/{index}/schema"))
            break
        try:
            schema = configs.ConfigSchema.from_json(wire, allowance)
            drafts.append(configs.ConfigTypeDraft(name, schema, format_, slots))
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


@dataclasses.dataclass(frozen=True, slots=True)
class Given:
    """A file to be judged: what is known of its bytes, and they themselves unless they are recorded."""

    content: Content
    data: bytes | None = None


def check(shore: Shore, chosen: Sequence[tuple[releases.Slot, Given]]) -> None:
    """Judges config files against the schemas of their slots, all of them before it complains.

    Raises:
        errors.Problem: 413 ``config_too_large``.
        errors.Invalid: ``config_invalid``; each finding's ``file`` is the config type, with the slot if it has several.
    """
    found = findings(shore, chosen)
    if found:
        words = f"refused, nothing was made: {_count(found)} in the configs"
        raise errors.Invalid("config_invalid", words, tuple(found))


def findings(shore: Shore, chosen: Sequence[tuple[releases.Slot, Given]]) -> list[Finding]:
    """What is wrong with config files, held against the schemas of their slots; as ``check`` would say it.

    Raises:
        errors.Problem: 413 ``config_too_large``.
    """
    found: list[Finding] = []
    purse = configs.Budget(WORK)
    for slot, given in chosen:
        _check_size(shore, slot, given.content.size)
        known = (slot.schema_id, slot.format, given.content.digest)
        if takes_anything(slot) or known in _valid:
            continue
        data = given.data if given.data is not None else _recorded(shore, given.content)
        schema = _compiled(shore.database, slot.schema_id)
        own = schema.check(data, configs.Format(slot.format), max_bytes=shore.limits.config, purse=purse)
        found += [each.in_file(releases.shown(slot.place)) for each in own]
        if not own:
            _remember(known)
    return found


def takes_anything(slot: releases.Slot) -> bool:
    """Whether a slot is for files of any bytes, such as maps: its schema is opaque, and its format has no structure."""
    return slot.schema_digest == _OPAQUE and slot.format == configs.Format.TEXT.value


_OPAQUE = configs.ConfigSchema.opaque().digest


def _check_size(shore: Shore, slot: releases.Slot, size: int) -> None:
    limit = shore.limits.content if takes_anything(slot) else shore.limits.config
    if size <= limit:
        return
    words = f"the config of type {releases.shown(slot.place)!r} has {size} bytes; the limit is {limit}"
    if takes_anything(slot):
        hint = "raise it with --content-limit where the server is started"
    else:
        hint = "larger files go where the release has an opaque schema and the format text"
    raise errors.Problem(413, "config_too_large", f"{words}; {hint}")


def _recorded(shore: Shore, content: Content) -> bytes:
    with shore.database.read() as connection:
        return contents.read(connection, [content.digest])[content.digest]


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
