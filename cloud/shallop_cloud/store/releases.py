"""Releases, their config schemas and slots."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from shallop_protocol import ids

from shallop_cloud.store import tables


@dataclasses.dataclass(frozen=True, slots=True)
class Slot:
    """A named place of a release where an instance goes, with the schema that it must satisfy."""

    config_type: str
    key: str
    schema_id: str
    schema_digest: str
    format: str
    path: str
    required: bool


def insert(connection: sa.Connection, values: Mapping[str, Any], slots: Sequence[Mapping[str, Any]]) -> None:
    """Records a release with its slots. Raises ``sqlalchemy.exc.IntegrityError`` if the version is taken."""
    connection.execute(tables.releases.insert().values(**values))
    connection.execute(tables.slots.insert(), [{"release_id": values["id"], **slot} for slot in slots])


def schema_by_digest(connection: sa.Connection, digest: str) -> str | None:
    """The id of the config schema with this digest."""
    column = tables.config_schemas.c
    return connection.execute(sa.select(column.id).where(column.digest == digest)).scalar()


def insert_schema(
    connection: sa.Connection, schema: str, digest: str, definition: object, at: datetime.datetime
) -> None:
    """Records a config schema that is new."""
    values = {"id": schema, "digest": digest, "definition": definition, "created_at": at}
    connection.execute(tables.config_schemas.insert().values(**values))


def find_schema(connection: sa.Connection, schema: str) -> sa.RowMapping | None:
    """The row of a config schema."""
    query = sa.select(tables.config_schemas).where(tables.config_schemas.c.id == schema)
    return connection.execute(query).mappings().first()


def find(connection: sa.Connection, *, key: str) -> sa.RowMapping | None:
    """The row of the release with this id or version."""
    column = tables.releases.c
    query = sa.select(tables.releases).where(sa.or_(column.id == key, column.version == key))
    return connection.execute(query).mappings().first()


def versions(connection: sa.Connection) -> list[str]:
    """The versions of all releases, newest first, for suggestions."""
    column = tables.releases.c
    return list(connection.scalars(sa.select(column.version).order_by(column.created_at.desc()).limit(10_000)))


def slots(connection: sa.Connection, releases: Sequence[str]) -> dict[str, list[Slot]]:
    """The slots of each of these releases, by config type and key."""
    slot, schema = tables.slots.c, tables.config_schemas.c
    query = (
        sa.select(slot.release_id, slot.config_type, slot.key, slot.schema_id, schema.digest,
                  slot.format, slot.path, slot.required)
        .join(tables.config_schemas, schema.id == slot.schema_id)
        .where(slot.release_id.in_(releases))
        .order_by(slot.config_type, slot.key)
    )  # fmt: skip
    found: dict[str, list[Slot]] = {release: [] for release in releases}
    for row in connection.execute(query):
        found[row.release_id].append(Slot(*row[1:]))
    return found


def matching(connection: sa.Connection, table: sa.Table, prefix: str) -> list[str]:
    """Up to two ids of a table that begin with a prefix."""
    column = table.c.id
    query = sa.select(column).where(column >= prefix, column < prefix + ids.ALPHABET[-1] * ids.LENGTH + "~").limit(2)
    return list(connection.scalars(query))
