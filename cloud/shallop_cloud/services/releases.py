"""Releases: immutable sets of config schemas."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
import sqlalchemy.exc
from shallop_protocol import ids

from shallop_cloud import configs, errors
from shallop_cloud.services.shore import Shore
from shallop_cloud.store import history, releases


def create(shore: Shore, draft: configs.ReleaseDraft, actor: str) -> str:
    """Records a release. Config schemas that are known already are recorded once. Gives the release's id.

    Raises:
        errors.Conflict: ``release_exists``.
    """
    at = shore.now()
    release = shore.new_id(ids.Prefix.RELEASE)
    values = {
        "id": release,
        "version": draft.version,
        "git_commit": draft.git_commit,
        "created_at": at,
        "created_by": actor,
    }
    try:
        with shore.database.write() as connection:
            schemas = _record_schemas(shore, connection, draft)
            slots = [row for each in draft.config_types for row in _slots(each, schemas)]
            releases.insert(connection, values, slots)
            shown = {"version": draft.version, "git_commit": draft.git_commit}
            entry = history.row(at=at, actor=actor, action="release_created", release_id=release, after=shown)
            history.append(connection, [entry])
    except sqlalchemy.exc.IntegrityError:
        words = f"release {draft.version} exists already, and a release never changes; give this one another version"
        raise errors.Conflict("release_exists", words) from None
    return release


def _slots(config_type: configs.ConfigTypeDraft, schemas: Mapping[str, str]) -> list[dict[str, Any]]:
    """The rows of a config type's slots, which share its schema; ``schemas`` has ids by digest."""
    return [
        {
            "config_type": config_type.name,
            "key": slot.key,
            "schema_id": schemas[config_type.schema.digest],
            "format": config_type.format.value,
            "path": slot.path,
            "required": slot.required,
        }
        for slot in config_type.slots
    ]


def _record_schemas(shore: Shore, connection: sa.Connection, draft: configs.ReleaseDraft) -> dict[str, str]:
    """The id of each config schema of a release, by digest. Those that are new are recorded, by whoever comes first."""
    wanted = {each.schema.digest: each.schema for each in draft.config_types}
    known = releases.schemas_by_digest(connection, wanted)
    new = {digest: schema for digest, schema in wanted.items() if digest not in known}
    if not new:
        return known
    made = {digest: (shore.new_id(ids.Prefix.SCHEMA), schema.to_json()) for digest, schema in new.items()}
    releases.insert_schemas(connection, made, shore.now())
    return releases.schemas_by_digest(connection, wanted)
