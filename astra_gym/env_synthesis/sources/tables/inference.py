"""What rows say about themselves: types, the key, categories, measures and relations that nobody described.

Inference only proposes; a description overrides any part of it, and `summary` shows what was assumed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date

from astra_gym.env_synthesis.sources.tables.completing import singular, slug_of
from astra_gym.env_synthesis.sources.tables.description import TableSet
from astra_gym.env_synthesis.sources.tables.reading import RawTable
from astra_gym.errors import TableError
from astra_gym.records import JSON

_INTEGER = re.compile(r"[+-]?(0|[1-9]\d*)")
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_BOOLS = {"true", "false"}
MOSTLY = 0.8
"""A column of which at least this share are numbers, but not all, is called mixed rather than text."""


def infer(tables: Mapping[str, RawTable], given: Mapping[str, JSON]) -> dict[str, JSON]:
    """A partial description of `tables` in which what `given` says wins (keys as in the TOML format).

    Raises: TableError for a described table or column that is not there, a column of mixed types, or no usable key.
    """
    described = {slug_of(name): dict(table) for name, table in given.get("tables", {}).items()}
    if unknown := sorted(described.keys() - tables.keys()):
        raise TableError(f"the description has a table {unknown[0]!r}, but the data holds {sorted(tables)}")
    merged = {name: _table(table, described.get(name, {})) for name, table in tables.items()}
    for name, table in tables.items():
        _relate(name, table, merged, tables)
    return {**given, "tables": merged}


def summary(description: TableSet) -> str:
    """The description in a few readable lines, one a column: what a person checks before using inferred tables."""
    lines = [f"{description.name}: {description.topic} (licence {description.terms.license})"]
    for table in description.tables.values():
        lines.append(f"  table {table.name}: one {table.noun} a row, key {table.key}")
        for column in table.columns.values():
            note = (
                f" -> {column.references}" if column.references else f" in {column.unit_words}" if column.unit else ""
            )
            lines.append(f"    {column.name}: {column.type}, {column.role}{note}")
    return "\n".join(lines)


def _table(table: RawTable, given: Mapping[str, JSON]) -> dict[str, JSON]:
    stated = {slug_of(name): dict(column) for name, column in given.get("columns", {}).items()}
    if unknown := sorted(stated.keys() - set(table.columns)):
        raise TableError(
            f"table {table.name!r}: there is no column {unknown[0]!r}; the columns are {list(table.columns)}"
        )
    columns = {name: {"type": _type(table, name, stated.get(name, {}))} for name in table.columns}
    key = slug_of(given["key"]) if given.get("key") else _key(table, columns, stated)
    if key not in columns:
        raise TableError(f"table {table.name!r}: the key {key!r} is no column; the columns are {list(table.columns)}")
    if columns[key]["type"] in ("integer", "number"):
        columns[key]["type"] = "text"
    for name, column in columns.items():
        column |= _role(table, name, column["type"], key)
        column |= stated.get(name, {})
    spread = next((name for name, column in columns.items() if column["role"] in ("category", "reference")), "")
    return {"spread": spread, **given, "key": key, "columns": columns}


def _cells(table: RawTable, name: str) -> list[JSON]:
    return [row[name] for row in table.rows if row[name] is not None]


def _type(table: RawTable, name: str, stated: Mapping[str, JSON]) -> str:
    if "type" in stated:
        return str(stated["type"])
    cells = _cells(table, name)
    kinds = [_cell_type(cell) for cell in cells]
    if not kinds:
        return "text"
    if set(kinds) == {"integer", "number"}:
        return "number"
    if len(set(kinds)) == 1:
        return kinds[0]
    numbers = sum(kind in ("integer", "number") for kind in kinds)
    if numbers >= MOSTLY * len(kinds):
        odd = next(i for i, row in enumerate(table.rows) if _cell_type(row[name]) not in ("integer", "number", "none"))
        raise TableError(
            f"table {table.name!r}, column {name!r}: {numbers} of {len(kinds)} cells are numbers, but data row "
            f'{odd + 1} holds {table.rows[odd][name]!r}; mend it, or describe the column with type = "text"'
        )
    return "text"


def _cell_type(cell: JSON) -> str:
    if cell is None:
        return "none"
    if isinstance(cell, bool) or (isinstance(cell, str) and cell.casefold() in _BOOLS):
        return "bool"
    if isinstance(cell, int) or (isinstance(cell, str) and _INTEGER.fullmatch(cell)):
        return "integer"
    if isinstance(cell, str) and _DATE.fullmatch(cell):
        return "date" if _is_date(cell) else "text"
    return "number" if is_number(cell) else "text"


def is_number(cell: JSON) -> bool:
    """Whether a cell is a plain decimal number (no separators, no inf, no leading zeros as in a code)."""
    if isinstance(cell, float):
        return True
    return (
        isinstance(cell, str)
        and re.fullmatch(r"[+-]?(0|[1-9]\d*)?(\.\d+)?([eE][+-]?\d{1,2})?", cell) is not None
        and (any(c.isdigit() for c in cell))
    )


def _is_date(text: str) -> bool:
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True


def _key(table: RawTable, columns: Mapping[str, Mapping[str, str]], stated: Mapping[str, Mapping[str, JSON]]) -> str:
    named = [name for name, column in stated.items() if column.get("role") == "key"]
    if named:
        return named[0]
    complete = [name for name in table.columns if len(_cells(table, name)) == len(table.rows)]
    unique = [name for name in complete if len(set(map(str, _cells(table, name)))) == len(table.rows)]
    for wanted in ("text", "date"):
        for name in unique:
            if columns[name]["type"] == wanted:
                return name
    if table.key in unique:
        return str(table.key)
    for name in unique:
        if columns[name]["type"] == "integer" and (name == "id" or name.endswith("_id")):
            return name
    raise TableError(
        f"table {table.name!r}: no column names each row once (first choice is a text column without repeats); "
        'describe one with key = "..."'
    )


def _role(table: RawTable, name: str, kind: str, key: str) -> dict[str, JSON]:
    if name == key:
        return {"role": "key"}
    cells = _cells(table, name)
    distinct = len({str(cell) for cell in cells})
    if kind in ("integer", "number"):
        if name in ("lat", "latitude"):
            return {"role": "latitude"}
        if name in ("lon", "lng", "long", "longitude"):
            return {"role": "longitude"}
        if name == "year" or name.endswith("_year"):
            return {"role": "category", "type": "text"}
        if name == "id" or name.endswith("_id"):
            return {"role": "ignored"}
        return {"role": "measure"}
    if kind == "date":
        return {"role": "date"}
    if kind == "bool":
        return {"role": "attribute"}
    if 1 < distinct <= max(2, len(table.rows) // 3):
        return {"role": "category"}
    return {"role": "attribute", "unique": distinct == len(table.rows)}


def _relate(name: str, table: RawTable, merged: dict[str, JSON], tables: Mapping[str, RawTable]) -> None:
    """Turn columns whose values are keys of another table into references (declared, or named after that table)."""
    for column, about in merged[name]["columns"].items():
        if about["role"] in ("key", "reference", "measure", "latitude", "longitude", "date"):
            continue
        for other, target in tables.items():
            names = {other, singular(other), f"{other}_id", f"{singular(other)}_id"}
            if other == name or not (table.references.get(column) == other or column in names):
                continue
            keys = {str(row[merged[other]["key"]]) for row in target.rows}
            cells = [str(cell) for cell in _cells(table, column)]
            if cells and keys.issuperset(cells):
                about |= {"role": "reference", "references": other, "type": "text"}
                about.setdefault("phrase", merged[other].get("noun") or singular(other.replace("_", " ")))
