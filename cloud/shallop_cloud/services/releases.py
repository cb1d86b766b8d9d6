"""Releases: immutable sets of config schemas."""

from __future__ import annotations

import sqlalchemy as sa
import sqlalchemy.exc
from shallop_protocol import ids

from shallop_cloud import configs, errors
from shallop_cloud.services.shore import Shore
from shallop_cloud.store import history, releases

SLOT = "default"
"""The key of the one slot that a config type of a manifest has."""


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
            slots = [
                {
                    "config_type": each.name,
                    "key": SLOT,
                    "schema_id": _schema(shore, connection, each.schema),
                    "format": each.format.value,
                    "path": each.path,
                    "required": each.required,
                }
                for each in draft.config_types
            ]
            releases.insert(connection, values, slots)
            shown = {"version": draft.version, "git_commit": draft.git_commit}
            entry = history.row(at=at, actor=actor, action="release_created", release_id=release, after=shown)
            history.append(connection, [entry])
    except sqlalchemy.exc.IntegrityError:
        words = f"release {draft.version} exists already, and a release never changes; give this one another version"
        raise errors.Conflict("release_exists", words) from None
    return release


def _schema(shore: Shore, connection: sa.Connection, schema: configs.ConfigSchema) -> str:
    """The id of a config schema, which is recorded if it is new."""
    known = releases.schema_by_digest(connection, schema.digest)
    if known is None:
        known = shore.new_id(ids.Prefix.SCHEMA)
        releases.insert_schema(connection, known, schema.digest, schema.to_json(), shore.now())
    return known
