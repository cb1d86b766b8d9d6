"""Writing many rows at once: a statement is compiled once, and each row costs little more than the database's own work.

SQLAlchemy's own ``execute`` with a list of rows does the same for several times the CPU: for every row it copies the
parameters, looks up each one's type, and converts each value anew, though most of the rows of a batch share theirs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.engine import Dialect

Convert = Callable[[Any], Any]
"""From a Python value to what the driver takes."""


class Prepared:
    """An INSERT, UPDATE or DELETE whose parameters are all named binds."""

    def __init__(self, statement: sa.Insert | sa.Update | sa.Delete) -> None:
        self._statement = statement
        self._forms: dict[str, _Form] = {}

    def execute(self, connection: sa.Connection, rows: Sequence[Mapping[str, Any]]) -> None:
        """Executes it once for each row; each row has a value for each bind. Without rows, nothing is done."""
        if not rows:
            return
        dialect = connection.dialect
        form = self._forms.get(dialect.name)
        if form is None:
            form = self._forms[dialect.name] = _Form(self._statement, dialect)
        connection.exec_driver_sql(form.sql, form.parameters(rows))


def among(column: sa.ColumnElement[Any], name: str) -> sa.ColumnElement[bool]:
    """``column IN (…)``, whose list is bound by name when a statement is executed. So the statement is built once:
    SQLAlchemy looks at each value of a list that is given at once.
    """
    return column.in_(sa.bindparam(name, expanding=True))


def insert(table: sa.Table, columns: Sequence[str]) -> Prepared:
    """The INSERT of these columns; each bind has its column's name."""
    return Prepared(table.insert().values(_named(columns)))


def insert_new(table: sa.Table, columns: Sequence[str]) -> Prepared:
    """The same, passing over rows that are there by the time. On PostgreSQL two transactions that insert the same
    rows wait for each other, so each must insert them in the same order. SQLite takes the same clause.
    """
    return Prepared(postgresql.insert(table).values(_named(columns)).on_conflict_do_nothing())


def _named(columns: Sequence[str]) -> dict[str, sa.BindParameter[Any]]:
    return {name: sa.bindparam(name) for name in columns}


def update_by_id(
    table: sa.Table,
    columns: Sequence[str],
    kept: Sequence[str] = (),
    more: Mapping[str, sa.ColumnElement[Any]] | None = None,
) -> Prepared:
    """The UPDATE of these columns, each bound by its name, in the row whose id is the bind ``key``.

    Args:
        kept: columns, bound likewise, that stay as they are where the value is None.
        more: columns with expressions of their own, whose binds have no column's name.
    """
    # A bind may not have the name of a column that the same statement sets, so it has another until it is compiled.
    binds = {name: sa.bindparam(f"{_SET}{name}", type_=table.c[name].type) for name in (*columns, *kept)}
    values = {name: sa.func.coalesce(bind, table.c[name]) if name in kept else bind for name, bind in binds.items()}
    return Prepared(table.update().where(table.c.id == sa.bindparam("key")).values({**values, **(more or {})}))


_SET = "set_"


class _Form:
    """A statement as one dialect writes it."""

    def __init__(self, statement: sa.Insert | sa.Update | sa.Delete, dialect: Dialect) -> None:
        compiled = statement.compile(dialect=dialect)
        self.sql = str(compiled)
        self._positions = compiled.positiontup
        self._names = self._positions if self._positions is not None else list(compiled.binds)
        self._columns = [
            (name.removeprefix(_SET), _converter(compiled.binds[name].type, dialect)) for name in self._names
        ]

    def parameters(self, rows: Sequence[Mapping[str, Any]]) -> Any:
        """What the driver takes for these rows: tuples where it counts parameters, mappings where it names them.

        Rows that hold the same object share its conversion.
        """
        columns = [_converted(name, convert, rows) for name, convert in self._columns]
        if self._positions is not None:
            return list(zip(*columns, strict=True))
        return [dict(zip(self._names, values, strict=True)) for values in zip(*columns, strict=True)]


class Written(NamedTuple):
    """A value of a JSON column that is written as JSON already."""

    text: str


def _converter(kind: Any, dialect: Dialect) -> Convert | None:
    convert = kind.dialect_impl(dialect).bind_processor(dialect)
    if not isinstance(kind, sa.JSON):
        return convert
    return lambda value: value.text if isinstance(value, Written) else convert(value)


def _converted(name: str, convert: Convert | None, rows: Sequence[Mapping[str, Any]]) -> list[Any]:
    if convert is None:
        return [row[name] for row in rows]
    known: dict[int, Any] = {}
    values: list[Any] = []
    for row in rows:
        value = row[name]
        converted = known.get(id(value), known)  # the rows hold their values, so no id is used twice meanwhile
        if converted is known:
            converted = known[id(value)] = convert(value)
        values.append(converted)
    return values
