"""Rows that conform to their description: typed cells, unique keys, references that resolve."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date

from astra_gym.env_synthesis.sources.tables.description import Column, Row, Table, TableSet
from astra_gym.env_synthesis.sources.tables.inference import is_number
from astra_gym.errors import TableError
from astra_gym.records import JSON


@dataclass(frozen=True)
class LoadedTables:
    """A description with its rows: table name to key to row, keys in ascending order. Picklable."""

    description: TableSet
    rows: Mapping[str, Mapping[str, Row]]


def conform(description: TableSet, raw: Mapping[str, Iterable[Mapping[str, JSON]]]) -> LoadedTables:
    """`raw` as typed rows; columns that the description does not name or calls ignored are dropped.

    Raises: TableError naming table, row and column for a missing column, a cell of another type, a missing or repeated
    key, or a reference to a key that is not there.
    """
    rows = {name: _rows(table, raw[name]) for name, table in description.tables.items()}
    for table in description.tables.values():
        for column in table.columns.values():
            if column.role == "reference":
                _check_references(table, column, rows)
    return LoadedTables(description, rows)


def _rows(table: Table, raw: Iterable[Mapping[str, JSON]]) -> dict[str, Row]:
    kept = [column for column in table.columns.values() if column.role != "ignored"]
    rows: dict[str, Row] = {}
    for number, cells in enumerate(raw, start=1):
        where = f"table {table.name!r}, data row {number}"
        if missing := [column.name for column in kept if column.name not in cells]:
            raise TableError(f"{where}: there is no column {missing[0]!r}; the row has {list(cells)}")
        row = {column.name: _typed(cells[column.name], column, where) for column in kept}
        key = row.pop(table.key)
        if key is None:
            raise TableError(f"{where}: the key {table.key!r} is empty")
        if key in rows:
            raise TableError(f"{where}: the key {key!r} ({table.key}) stands there twice; keys must be unique")
        rows[key] = row
    if not rows:
        raise TableError(f"table {table.name!r}: no rows")
    return {key: rows[key] for key in sorted(rows)}


def _typed(cell: JSON, column: Column, where: str) -> JSON:
    if cell is None or (isinstance(cell, str) and not cell.strip()):
        return None
    if column.type == "text":
        return str(cell)
    if column.type == "bool" and (isinstance(cell, bool) or str(cell).casefold() in ("true", "false")):
        return str(cell).casefold() == "true"
    if (
        column.type in ("integer", "number")
        and not isinstance(cell, bool)
        and (isinstance(cell, int) or is_number(cell))
    ):
        value = float(cell)
        if column.type == "number":
            return value
        if value == int(value):
            return int(cell) if isinstance(cell, int) else int(value)
    if column.type == "date":
        try:
            return date.fromisoformat(str(cell)).isoformat()
        except ValueError:
            pass
    raise TableError(f"{where}, column {column.name!r}: expected {column.type}, found {cell!r}")


def _check_references(table: Table, column: Column, rows: Mapping[str, Mapping[str, Row]]) -> None:
    for key, row in rows[table.name].items():
        if row[column.name] is not None and row[column.name] not in rows[column.references]:
            raise TableError(
                f"table {table.name!r}, {column.name!r} of {key!r}: {row[column.name]!r} is no key of table "
                f"{column.references!r}"
            )
