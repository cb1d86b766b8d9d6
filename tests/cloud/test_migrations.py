"""The tables that the migrations build are those that the queries are written against."""

from __future__ import annotations

from pathlib import Path

import alembic.autogenerate
import alembic.config
import alembic.migration
import alembic.script
import pytest
import sqlalchemy as sa
from shallop_cloud import errors
from shallop_cloud.store import tables
from shallop_cloud.store.database import MIGRATIONS, Database, newest_revision


def test_migrations_build_the_tables(tmp_path: Path) -> None:
    database = Database.in_directory(tmp_path)
    with database.engine.connect() as connection:
        context = alembic.migration.MigrationContext.configure(connection)
        assert alembic.autogenerate.compare_metadata(context, tables.metadata) == []
        built = _checks(sa.inspect(connection))
    database.close()
    fresh = sa.create_engine("sqlite://")
    with fresh.connect() as connection:
        tables.metadata.create_all(connection)
        assert built == _checks(sa.inspect(connection))
    fresh.dispose()


def test_the_newest_file_is_the_head() -> None:
    config = alembic.config.Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    script = alembic.script.ScriptDirectory.from_config(config)
    assert [newest_revision()] == script.get_heads()


def _checks(inspector: sa.Inspector) -> dict[str, list[tuple[str | None, str]]]:
    return {
        table: sorted((check["name"], str(check["sqltext"])) for check in inspector.get_check_constraints(table))
        for table in inspector.get_table_names()
        if table != "alembic_version"
    }


def test_a_database_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    database = Database.in_directory(tmp_path)
    with database.write() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    database.close()
    with pytest.raises(errors.StartupError, match="does not know"):
        Database.in_directory(tmp_path)


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "shallop.db").write_bytes(b"not a database" * 100)
    with pytest.raises(errors.StartupError, match="not a database"):
        Database.in_directory(tmp_path)
