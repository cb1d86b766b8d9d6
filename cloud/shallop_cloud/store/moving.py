"""From SQLite to PostgreSQL: everything that is recorded, as it is, for a fleet that outgrew one server."""

from __future__ import annotations

import sqlalchemy as sa

from shallop_cloud import errors
from shallop_cloud.store import history, prepared, tables
from shallop_cloud.store.database import Database

CHUNK = 500
FEW = 8
"""Rows at a time of a table whose rows may have a megabyte each."""
_MADE_BY_MIGRATIONS = (tables.status_moves, tables.history_head)
_OF_THE_MOMENT = (tables.leases,)


def copy(source: Database, target: Database) -> dict[str, int]:
    """Copies all rows of a SQLite database into a PostgreSQL that has none, in one transaction. Gives how many of each
    table.

    Texts of JSON are copied as they are written, so the history's chain still holds, which is looked at in the end.
    The source is only read; no server may use either of them meanwhile.

    Raises:
        errors.StartupError: the target is not empty, or the source's history does not hold together.
    """
    copied: dict[str, int] = {}
    with source.read() as reader, target.write() as writer:
        target.take_turns(writer)
        if any(writer.execute(sa.select(table).limit(1)).first() for table in (tables.devices, tables.api_tokens)):
            words = f"the database {target.address} has rows already"
            raise errors.StartupError(words, "name one that no server has used yet")
        for table in _MADE_BY_MIGRATIONS:
            writer.execute(table.delete())
        for table in tables.metadata.sorted_tables:
            if table not in _OF_THE_MOMENT:
                copied[table.name] = _copy(reader, writer, table)
        _go_on_counting(writer)
        verdict = history.verify(writer)
        if not verdict.whole:
            words = f"the history of {source.address} does not hold together: {verdict.reason}"
            raise errors.StartupError(words, "it was tampered with or damaged; nothing was copied")
    return copied


def _copy(reader: sa.Connection, writer: sa.Connection, table: sa.Table) -> int:
    """Copies one table, in the order in which its rows came: a deployment may name an earlier one."""
    written = [column.name for column in table.c if isinstance(column.type, sa.JSON)]
    columns = [sa.cast(c, sa.Text).label(c.name) if c.name in written else c for c in table.c]
    insert = prepared.insert(table, [column.name for column in table.c])
    query = sa.select(*columns).order_by(sa.text("rowid"))
    count = 0
    size = FEW if table is tables.content_chunks else CHUNK
    with reader.execution_options(yield_per=size).execute(query) as rows:
        for chunk in rows.mappings().partitions(size):
            insert.execute(writer, [{**row, **{n: _text(row[n]) for n in written}} for row in chunk])
            count += len(chunk)
    return count


def _text(text: str | None) -> prepared.Written | None:
    return None if text is None else prepared.Written(text)


def _go_on_counting(writer: sa.Connection) -> None:
    """PostgreSQL counts only the rows that it numbered itself."""
    writer.exec_driver_sql(
        "SELECT setval(pg_get_serial_sequence('history', 'id'), coalesce(max(id), 0) + 1, false) FROM history"
    )
