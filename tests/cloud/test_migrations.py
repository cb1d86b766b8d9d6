"""The tables that the migrations build are those that the queries are written against, and old rows come along."""

from __future__ import annotations

import datetime
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import alembic.autogenerate
import alembic.command
import alembic.config
import alembic.migration
import alembic.script
import pytest
import sqlalchemy as sa
import sqlalchemy.exc
from postgres_world import Server
from shallop_cloud import errors
from shallop_cloud.store import contents, deployments, devices, history, postgres, releases, selection, tables, tokens
from shallop_cloud.store.database import MIGRATIONS, Database, newest_revision

REVISIONS = sorted(path.name.partition("_")[0] for path in (MIGRATIONS / "versions").glob("[0-9]*.py"))
BY_EXPRESSION = {("index", "ix_deployments_status"), ("index", "ix_deployments_release")}
"""Alembic cannot compare them."""
pytestmark = pytest.mark.filterwarnings(
    "ignore:Skipped unsupported reflection of expression-based index",
    "ignore:autogenerate skipping metadata-specified expression-based index",
)
AT = datetime.datetime(2026, 3, 1, 12, 0, 0, 250_000, tzinfo=datetime.UTC)
LATER = AT + datetime.timedelta(hours=1)
TOKEN = "shallop-admin-of-old"
STAGED = {"target_status": "staged", "activity_status": "staged", "error_status": "none"}
QUEUED = {"target_status": "deployed", "activity_status": "queued", "error_status": "none"}
REASON = {"code": "check_rejected", "message": "größer als 5"}


@pytest.fixture(params=["sqlite", "postgresql"])
def empty(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """A database without tables."""
    if request.param == "sqlite":
        database = Database(f"sqlite:///{tmp_path / 'shallop.db'}")
        yield database
        database.close()
        return
    server: Server = request.getfixturevalue("postgres")
    url = server.create(template="template0")
    database = Database(postgres.parse(url))
    yield database
    database.close()
    server.drop(url)


def _config(connection: sa.Connection | None = None) -> alembic.config.Config:
    config = alembic.config.Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    return config


def _upgrade(database: Database, revision: str) -> None:
    with database.engine.begin() as connection:
        alembic.command.upgrade(_config(connection), revision)


def _differences(connection: sa.Connection) -> list[Any]:
    def is_compared(_: Any, name: str | None, kind: str, *__: Any) -> bool:
        return (kind, name) not in BY_EXPRESSION

    context = alembic.migration.MigrationContext.configure(connection, opts={"include_object": is_compared})
    return alembic.autogenerate.compare_metadata(context, tables.metadata)


def _indexes(connection: sa.Connection) -> dict[str, str]:
    """Those by expression, and what each is as PostgreSQL writes it; SQLite keeps the words in which it was made."""
    names = [name for _, name in BY_EXPRESSION]
    if connection.dialect.name == "sqlite":
        query = sa.text("SELECT name, '' FROM sqlite_master WHERE name IN :names")
    else:
        query = sa.text("SELECT indexname, indexdef FROM pg_indexes WHERE indexname IN :names")
    rows = connection.execute(query.bindparams(sa.bindparam("names", names, expanding=True)))
    return {name: text.replace("::text", "") for name, text in rows}


def _checks(inspector: sa.Inspector) -> dict[str, list[tuple[str | None, str]]]:
    """By table, each CHECK's name and what it says, without the casts that PostgreSQL puts in or leaves out."""

    def text(sql: str) -> str:
        return re.sub(r"::[a-z ]+(\[\])?", "", sql)

    return {
        table: sorted((check["name"], text(check["sqltext"])) for check in inspector.get_check_constraints(table))
        for table in inspector.get_table_names()
        if table != "alembic_version"
    }


def test_migrations_build_the_tables(empty: Database) -> None:
    with empty.engine.begin() as connection:
        tables.metadata.create_all(connection)
        wanted, indexes = _checks(sa.inspect(connection)), _indexes(connection)
        tables.metadata.drop_all(connection)
    empty.migrate()
    with empty.engine.connect() as connection:
        assert _differences(connection) == []
        assert _checks(sa.inspect(connection)) == wanted
        assert _indexes(connection) == indexes
        assert len(indexes) == len(BY_EXPRESSION)


def test_the_newest_file_is_the_head() -> None:
    script = alembic.script.ScriptDirectory.from_config(_config())
    assert [newest_revision()] == script.get_heads()


def test_texts_compare_by_their_bytes(postgres: Server) -> None:
    """Else the beginning of an id finds nothing in a database of another language than C."""
    url = postgres.create()
    database = Database.at(url)
    columns = sa.text(
        "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = current_schema()"
        " AND data_type IN ('character varying', 'text') AND collation_name IS DISTINCT FROM 'C'"
        " AND table_name <> 'alembic_version'"
    )
    with database.read() as connection:
        assert connection.execute(columns).all() == []
    database.close()
    postgres.drop(url)


class Old:
    """Rows as a server of an older revision left them; columns that it does not have yet are left out."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection
        self._known = sa.MetaData()
        self._known.reflect(connection)

    def put(self, table: str, **values: Any) -> None:
        if table in self._known.tables:
            known = self._known.tables[table]
            self._connection.execute(
                known.insert().values({name: values[name] for name in values if name in known.columns})
            )

    def put_history(self, *rows: dict[str, Any]) -> None:
        last = history.FIRST
        for row in rows:
            before, after = (None if row[name] is None else json.dumps(row[name]) for name in ("before", "after"))
            last = history.seal(last, row, before, after)
            self.put("history", **{name: sa.null() if row[name] is None else row[name] for name in row}, hash=last)
        if "history_head" in self._known.tables:
            head = self._known.tables["history_head"]
            self._connection.execute(head.update().values(entries=len(rows), hash=last))


def _put_everything(old: Old) -> None:
    """A device with one deployment in force, one that waits, and one that failed, and how they came there."""
    device = {"id": "DEV-1", "name": "amr-1", "labels": {"site": "lyon", "model": "amr2"}, "created_at": AT}
    decided = {"epoch": 1, "generation": 3, "published": 3, "seq": 5, "reported": 3, "former": [], "desired": "DPL-2"}
    seen = {"online": True, "connection": 2, "desired_at": AT, "enrolled_at": AT, "mqtt_password": "$7$hash"}
    old.put("devices", **device, **decided, **seen, tidying=False)
    for key, value in device["labels"].items():
        old.put("device_labels", device_name="amr-1", key=key, value=value)
    old.put("releases", id="REL-1", version="1.0.0", created_at=AT, created_by="admin")
    old.put("config_schemas", id="CFS-1", digest="sha256:1", definition="opaque", created_at=AT)
    slot = {"config_type": "motion", "key": "default", "schema_id": "CFS-1", "format": "yaml", "path": "m.yaml"}
    old.put("slots", release_id="REL-1", **slot, required=True)
    data = b"max: 1\r\n\x00\xff"
    old.put("contents", digest="sha256:2", data=data, size=10, is_text=False, is_whole=True)
    old.put("content_chunks", digest="sha256:2", start=0, data=data)
    instance = {"config_type": "motion", "slot": "default", "path": "m.yaml", "digest": "sha256:2", "size": 10}
    old.put("config_instances", id="CFG-1", schema_id="CFS-1", **instance, created_at=AT)
    for key, cell, more in (
        ("DPL-1", "archived/archived/failed", {"reason": REASON, "archived_at": LATER}),
        ("DPL-2", "deployed/deployed/none", {"deployed_at": LATER, "patched_from": "DPL-1"}),
        ("DPL-3", "staged/drifted/none", {}),
    ):
        target, activity, error = cell.split("/")
        where = {"device_id": "DEV-1", "release_id": "REL-1", "description": "été", "digest": "sha256:3"}
        lived = {"target": target, "activity": activity, "error": error, "attempts": 0, "ordered": 1, "ended": 0}
        old.put("deployments", id=key, **where, **lived, created_at=AT, created_by="admin", **more)
        old.put("deployment_instances", deployment_id=key, instance_id="CFG-1")
    old.put("api_tokens", id="TOK-1", hash=tokens.digest(TOKEN), name="admin", role="admin", created_at=AT,
            created_by="shallop")  # fmt: skip
    about = {"actor": "admin", "device_id": "DEV-1", "deployment_id": "DPL-1"}
    old.put_history(
        history.row(at=AT, actor="admin", action="device_created", device_id="DEV-1", after={"name": "amr-1"}),
        history.row(at=AT, action="staged", after=STAGED, **about),
        history.row(at=LATER, action="queued", before=STAGED, after=QUEUED, device_time=AT, **about),
    )


@pytest.mark.parametrize("revision", REVISIONS)
def test_what_was_recorded_comes_along(empty: Database, revision: str) -> None:
    _upgrade(empty, revision)
    with empty.engine.begin() as connection:
        _put_everything(Old(connection))
    empty.migrate()
    with empty.read() as connection:
        assert _differences(connection) == []
        _check_everything(connection)
    _check_that_the_database_refuses(empty)
    _check_that_work_goes_on(empty)


def _check_everything(connection: sa.Connection) -> None:
    row = devices.find(connection, key="amr-1")
    assert row is not None
    assert (row["labels"], row["created_at"], row["tidying"]) == ({"site": "lyon", "model": "amr2"}, AT, False)
    assert selection.labelled(connection, {"site": "lyon", "model": "amr2"}) == {"amr-1": "DEV-1"}
    assert selection.labelled(connection, {"site": "paris"}) == {}
    device = devices.load(connection, "DEV-1")
    assert (device.desired, device.generation, sorted(device.deployments)) == ("DPL-2", 3, ["DPL-2", "DPL-3"])
    assert [slot.path for slot in releases.slots(connection, ["REL-1"])["REL-1"]] == ["m.yaml"]
    failed = deployments.find(connection, "DPL-1")
    assert failed is not None
    assert (failed["reason"], failed["archived_at"], failed["description"]) == (REASON, LATER, "été")
    assert (failed["restores"], failed["base"], failed["base_generation"]) == (None, None, 0)
    assert contents.read(connection, ["sha256:2"]) == {"sha256:2": b"max: 1\r\n\x00\xff"}
    assert contents.find(connection, ["sha256:2"])["sha256:2"].size == 10
    holder = tokens.holder(connection, TOKEN, LATER)
    assert holder is not None
    assert (holder.name, holder.role, holder.expires_at) == ("admin", tokens.Role.ADMIN, None)
    verdict = history.verify(connection)
    assert (verdict.reason, verdict.entries) == ("", 3)
    last = connection.execute(history.query(deployment="DPL-1").order_by(tables.history.c.id.desc())).mappings().first()
    assert last is not None
    assert (last["before"], last["after"], last["at"], last["device_time"]) == (STAGED, QUEUED, LATER, AT)


def _check_that_the_database_refuses(database: Database) -> None:
    for act, why in (
        ("UPDATE history SET actor = 'nobody'", "only ever added to"),
        ("DELETE FROM history", "only ever added to"),
        ("UPDATE deployments SET target = 'staged', activity = 'staged' WHERE id = 'DPL-2'", "cannot move"),
    ):
        with pytest.raises(sqlalchemy.exc.IntegrityError, match=why), database.write() as connection:
            connection.exec_driver_sql(act)


def _check_that_work_goes_on(database: Database) -> None:
    with database.write() as connection:
        device = devices.load(connection, "DEV-1")
        cause = devices.Cause("admin", LATER)
        entries = devices.save_many(connection, [devices.Change(device, device, cause)])
        entry = history.row(at=LATER, actor="admin", action="looked", device_id="DEV-1")
        history.append(connection, [*entries, entry])
        assert history.verify(connection).entries == 4


def test_a_database_of_a_newer_version_is_refused(empty: Database) -> None:
    empty.migrate()
    with empty.write() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(errors.StartupError, match="does not know"):
        empty.migrate()


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "shallop.db").write_bytes(b"not a database" * 100)
    with pytest.raises(errors.StartupError, match="not a database"):
        Database.in_directory(tmp_path)
