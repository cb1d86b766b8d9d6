"""Releases, their config schemas and slots."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from shallop_protocol import ids

from shallop_cloud.configs import DEFAULT_SLOT
from shallop_cloud.store import prepared, tables

Place = tuple[str, str]
"""Where a file goes: config type and slot."""


def shown(place: Place) -> str:
    """A place as people write it: the slot is said only if it is not the default one."""
    config_type, slot = place
    return config_type if slot == DEFAULT_SLOT else f"{config_type}/{slot}"


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

    @property
    def place(self) -> Place:
        """Its name in the release."""
        return self.config_type, self.key


def insert(connection: sa.Connection, values: Mapping[str, Any], slots: Sequence[Mapping[str, Any]]) -> None:
    """Records a release with its slots. Raises ``sqlalchemy.exc.IntegrityError`` if the version is taken."""
    connection.execute(tables.releases.insert().values(**values))
    connection.execute(tables.slots.insert(), [{"release_id": values["id"], **slot} for slot in slots])


def schemas_by_digest(connection: sa.Connection, digests: Iterable[str]) -> dict[str, str]:
    """The id of each config schema that is recorded, by digest."""
    column = tables.config_schemas.c
    query = sa.select(column.digest, column.id).where(column.digest.in_(list(digests)))
    return {row.digest: row.id for row in connection.execute(query)}


def insert_schemas(connection: sa.Connection, schemas: Mapping[str, tuple[str, object]], at: datetime.datetime) -> None:
    """Records those config schemas that are not recorded yet. They are given by digest, as id and definition."""
    rows = [
        {"id": key, "digest": digest, "definition": definition, "created_at": at}
        for digest, (key, definition) in sorted(schemas.items())
    ]
    _INSERT_SCHEMA.execute(connection, rows)


_INSERT_SCHEMA = prepared.insert_new(tables.config_schemas, ["id", "digest", "definition", "created_at"])


def find_schema(connection: sa.Connection, schema: str) -> sa.RowMapping | None:
    """The row of a config schema."""
    query = sa.select(tables.config_schemas).where(tables.config_schemas.c.id == schema)
    return connection.execute(query).mappings().first()


def find(connection: sa.Connection, *, key: str) -> sa.RowMapping | None:
    """The row of the release with this id or version."""
    column = tables.releases.c
    query = sa.select(tables.releases).where(sa.or_(column.id == key, column.version == key))
    return connection.execute(query).mappings().first()


def find_many(connection: sa.Connection, releases: Sequence[str]) -> Sequence[sa.RowMapping]:
    """The rows of these releases, by id."""
    query = sa.select(tables.releases).where(tables.releases.c.id.in_(releases))
    return connection.execute(query).mappings().all()


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
