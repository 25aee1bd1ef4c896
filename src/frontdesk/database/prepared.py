"""Statements of the message path, compiled once and run on the driver's own cursor.

SQLAlchemy's execution costs 50 to 60 us of CPU a statement here, the driver's own 6 us, and a message takes a dozen.
Expressions, types and dialects stay SQLAlchemy's; what is left out is its per-execution context. Everything off that
path uses `Connection.execute`. Errors are the driver's own; the units of work know them.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, Delete, Dialect, Insert, Select, Update

Row = dict[str, Any]
Process = Callable[[Any], Any]


class _Form(msgspec.Struct, frozen=True):
    """A statement as one dialect has it: parameters by position, and what turns values over on the way in and out."""

    sql: str
    binds: Sequence[tuple[str, Process | None]]
    constants: dict[str, Any]
    results: Sequence[tuple[str, Process | None]]


class Prepared:
    """One statement; not for lists of values (`in_`), whose text depends on them."""

    def __init__(self, statement: Select[Any] | Insert | Update | Delete) -> None:
        self._statement = statement
        self._forms: dict[str, _Form] = {}

    def all(self, connection: Connection, parameters: Mapping[str, Any]) -> list[Row]:
        form = self._form(connection.dialect)
        cursor = connection.connection.cursor()
        try:
            cursor.execute(form.sql, _in(form, parameters))
            return [_out(form, row) for row in cursor.fetchall()]
        finally:
            cursor.close()

    def one_or_none(self, connection: Connection, parameters: Mapping[str, Any]) -> Row | None:
        """For statements that give one row at most."""
        rows = self.all(connection, parameters)
        return rows[0] if rows else None

    def run(self, connection: Connection, parameters: Mapping[str, Any]) -> int:
        """How many rows it changed."""
        form = self._form(connection.dialect)
        cursor = connection.connection.cursor()
        try:
            cursor.execute(form.sql, _in(form, parameters))
            return int(cursor.rowcount)
        finally:
            cursor.close()

    def run_many(self, connection: Connection, parameters: Iterable[Mapping[str, Any]]) -> None:
        form = self._form(connection.dialect)
        cursor = connection.connection.cursor()
        try:
            cursor.executemany(form.sql, [_in(form, each) for each in parameters])
        finally:
            cursor.close()

    def _form(self, dialect: Dialect) -> _Form:
        form = self._forms.get(dialect.name)
        if form is None:
            form = self._forms[dialect.name] = self._compile(dialect)
        return form

    def _compile(self, dialect: Dialect) -> _Form:
        compiled = self._statement.compile(dialect=dialect)
        names: Sequence[str] = getattr(compiled, "positiontup", None) or ()
        binds = [(name, compiled.binds[name].type.dialect_impl(dialect).bind_processor(dialect)) for name in names]
        columns = getattr(self._statement, "exported_columns", ())
        results = [(each.key, each.type.dialect_impl(dialect).result_processor(dialect, None)) for each in columns]
        constants = {name: bind.value for name, bind in compiled.binds.items() if bind.value is not None}
        return _Form(str(compiled), binds, constants, results)


def _in(form: _Form, parameters: Mapping[str, Any]) -> tuple[Any, ...]:
    values = {**form.constants, **parameters}
    return tuple([values[name] if process is None else process(values[name]) for name, process in form.binds])


def _out(form: _Form, row: Sequence[Any]) -> Row:
    return {
        name: value if process is None else process(value)
        for (name, process), value in zip(form.results, row, strict=True)
    }
