"""The tables of an export: what the API shows, flat, with keys that join them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping


@dataclasses.dataclass(frozen=True, slots=True)
class Table:
    """One table. Columns named as fields of the API hold what it shows; times are its texts, truths are 0 or 1.

    Attributes:
        key: the column or columns of the primary key.
        columns: their types.
        joins: the columns that hold a key of another table.
        sought: the columns with an index of their own.
    """

    key: str | tuple[str, ...]
    columns: Mapping[str, type]
    joins: Mapping[str, str] = dataclasses.field(default_factory=dict[str, str])
    sought: tuple[str, ...] = ()


def _texts(names: str) -> dict[str, type]:
    return dict.fromkeys(names.split(), str)


TABLES: Mapping[str, Table] = {
    "releases": Table(
        "id",
        _texts("id version git_commit created_at created_by"),
        sought=("version",),
    ),
    "config_schemas": Table(
        "id",
        _texts("id digest created_at definition"),
        sought=("digest",),
    ),
    "config_types": Table(
        ("release_id", "name", "slot"),
        {**_texts("release_id name slot format path"), "required": int, "schema_id": str},
        {"release_id": "releases", "schema_id": "config_schemas"},
        ("name", "schema_id"),
    ),
    "devices": Table(
        "id",
        {
            **_texts("id name created_at enrolled_at archived_at connectivity last_heard_at current fallback"),
            "generation": int,
            "confirm_s": int,
            "in_sync": int,
            **_texts("last_known_current last_known_at"),
        },
        {"current": "deployments", "fallback": "deployments", "last_known_current": "deployments"},
        ("name",),
    ),
    "labels": Table(
        ("device_id", "key"),
        _texts("device_id key value"),
        {"device_id": "devices"},
        ("key",),
    ),
    "deployments": Table(
        "id",
        {
            **_texts("id device_id release_id description digest status target_status activity_status error_status"),
            **_texts("reason_code reason_message"),
            "attempts": int,
            **_texts("waiting integrity"),
            "confirm_s": int,
            **_texts("patched_from restores created_at created_by queued_at deployed_at archived_at"),
        },
        {"device_id": "devices", "release_id": "releases", "patched_from": "deployments", "restores": "deployments"},
        ("device_id", "release_id", "status", "created_at"),
    ),
    "config_instances": Table(
        "id",
        {**_texts("id config_type slot path digest"), "size": int, "content": bytes},
        sought=("config_type", "digest"),
    ),
    "deployment_instances": Table(
        ("deployment_id", "instance_id"),
        _texts("deployment_id instance_id"),
        {"deployment_id": "deployments", "instance_id": "config_instances"},
        ("instance_id",),
    ),
    "history": Table(
        "id",
        {"id": int, **_texts("at device_time actor action device_id deployment_id release_id before after hash")},
        sought=("at", "device_id", "deployment_id", "action"),
    ),
}
"""By name. History has no foreign keys: it tells of things by their ids alone."""
