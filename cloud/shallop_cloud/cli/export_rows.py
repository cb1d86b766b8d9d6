"""The rows of an export: read from the API page by page, written as they come."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlite_utils

from shallop_cloud.cli import words
from shallop_cloud.cli.export_tables import TABLES
from shallop_cloud.cli.parameters import Paging
from shallop_cloud.cli.progress import Tell

if TYPE_CHECKING:
    from shallop_cloud.cli.client import Api, Json

PAGE = 500


def fill(file: Path, api: Api, tell: Tell) -> dict[str, int]:
    """Writes a new database; gives the rows of each table. ``tell`` hears how far it is.

    Raises:
        OSError, sqlite3.Error: it cannot be written.
        exits.Failure: as the API fails.
    """
    database = sqlite_utils.Database(file)
    try:
        _create(database)
        _Copy(api, database, tell).everything()
        _index(database)
        database.conn.commit()
        return {name: _table(database, name).count for name in TABLES}
    finally:
        database.close()


def _table(database: sqlite_utils.Database, name: str) -> sqlite_utils.db.Table:
    return database.table(name)


def _create(database: sqlite_utils.Database) -> None:
    """All tables, then what joins them: some point to each other."""
    for name, table in TABLES.items():
        _table(database, name).create(dict(table.columns), pk=table.key)
    joins = [(name, column, other, "id") for name, table in TABLES.items() for column, other in table.joins.items()]
    database.add_foreign_keys(joins)


def _index(database: sqlite_utils.Database) -> None:
    for name, table in TABLES.items():
        for column in (*table.joins, *table.sought):
            _table(database, name).create_index([column], if_not_exists=True)


class _Copy:
    """The way of everything from the API into the database."""

    def __init__(self, api: Api, database: sqlite_utils.Database, tell: Tell) -> None:
        self._api = api
        self._database = database
        self._tell = tell
        self._release_ids: dict[str, str] = {}
        self._schemas: set[str] = set()
        self._instances: set[str] = set()
        self._written = 0

    def everything(self) -> None:
        """In an order in which what a row points to is there before it, as far as that can be."""
        for page in self._pages("releases"):
            self._releases(page)
        for page in self._pages("devices", "any"):
            self._devices(page)
        for page in self._pages("deployments"):
            self._deployments(page)
        for page in self._pages("history"):
            self._write("history", [_flat("history", each) for each in page])

    def _pages(self, noun: str, archived: str | None = None) -> Iterator[list[Json]]:
        cursor: str | None = None
        while True:
            page = self._api.page(noun, paging=Paging(PAGE, cursor, everything=False), archived=archived)
            yield page["data"]
            cursor = page["next_cursor"]
            if not cursor:
                return

    def _releases(self, page: list[Json]) -> None:
        self._release_ids |= {each["version"]: each["id"] for each in page}
        self._write("releases", [_flat("releases", each) for each in page])
        types = [
            _flat("config_types", {**slot, **config_type, "release_id": each["id"], "slot": slot["key"]})
            for each in page
            for config_type in each["config_types"]
            for slot in config_type["slots"]
        ]
        for schema in dict.fromkeys(each["schema_id"] for each in types):
            if schema not in self._schemas:
                self._schemas.add(schema)
                self._write("config_schemas", [_flat("config_schemas", self._api.get("config-schemas", schema))])
        self._write("config_types", types)

    def _devices(self, page: list[Json]) -> None:
        rows: list[dict[str, Any]] = []
        for each in page:
            known: Json = each["last_known"] or {}
            last = {"last_known_current": known.get("current"), "last_known_at": known.get("reported_at")}
            rows.append(_flat("devices", {**each, **last}))
        self._write("devices", rows)
        labels = [
            {"device_id": each["id"], "key": key, "value": value}
            for each in page
            for key, value in each["labels"].items()
        ]
        self._write("labels", labels)

    def _deployments(self, page: list[Json]) -> None:
        rows: list[dict[str, Any]] = []
        for each in page:
            reason: Json = each["reason"] or {}
            told = {"reason_code": reason.get("code"), "reason_message": reason.get("message")}
            release = self._release_ids.get(each["release"])
            rows.append(_flat("deployments", {**each, **told, "release_id": release}))
        self._write("deployments", rows)
        pairs = [(each["id"], instance) for each in page for instance in each["config_instances"]]
        for _, instance in pairs:
            if instance["id"] not in self._instances:
                self._instances.add(instance["id"])
                content = self._api.content("config-instances", instance["id"], "content")
                self._write("config_instances", [_flat("config_instances", {**instance, "content": content})])
        self._write(
            "deployment_instances",
            [{"deployment_id": deployment, "instance_id": instance["id"]} for deployment, instance in pairs],
        )

    def _write(self, table: str, rows: list[dict[str, Any]]) -> None:
        """What a page has again, because the list moved on meanwhile, takes the place of what was read before."""
        _table(self._database, table).insert_all(rows, pk=TABLES[table].key, replace=True)
        self._written += len(rows)
        self._tell(words.counted(self._written, "row"))


def _flat(table: str, shown: Json) -> dict[str, Any]:
    """The columns of a table, from an object that has them; what is no single value becomes JSON."""
    found = {column: shown.get(column) for column in TABLES[table].columns}
    return {
        column: json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else value
        for column, value in found.items()
    }
