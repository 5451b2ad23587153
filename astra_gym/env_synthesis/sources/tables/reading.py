"""Tables from CSV, Parquet and SQLite files and from pandas frames, as plain rows whose cells are not yet typed."""

from __future__ import annotations

import csv
import math
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from astra_gym.env_synthesis.sources.tables.completing import slug_of
from astra_gym.errors import MissingExtraError, TableError
from astra_gym.records import JSON

if TYPE_CHECKING:
    import pandas

SQLITE_ENDINGS = (".sqlite", ".sqlite3", ".db")


@dataclass(frozen=True)
class RawTable:
    """A table as read. Column names are identifiers; cells are str, int, float, bool or None."""

    name: str
    columns: tuple[str, ...]
    rows: list[dict[str, JSON]]
    key: str | None = None
    """The primary key, when the file declares one."""
    references: Mapping[str, str] = field(default_factory=dict)
    """Column to the table that it refers to, when the file declares it."""


def read_tables(path: Path) -> dict[str, RawTable]:
    """The tables of one file, by name; the ending decides how it is read.

    Raises: TableError when the file is missing, empty, of an unknown kind or cannot be read as what it says it is.
    """
    if not path.is_file():
        raise TableError(f"{path}: there is no such file")
    ending = path.suffix.casefold()
    name = slug_of(path.stem)
    if ending == ".csv":
        return {name: _read_csv(path, name)}
    if ending == ".parquet":
        return {name: _read_parquet(path, name)}
    if ending in SQLITE_ENDINGS:
        return _read_sqlite(path)
    known = ", ".join((".csv", ".parquet", *SQLITE_ENDINGS))
    raise TableError(f"{path}: cannot tell what kind of table this is from the ending {ending!r}; known are {known}")


def from_frame(frame: pandas.DataFrame, name: str) -> RawTable:
    """A pandas frame as a table; the index is left out (call `reset_index()` first to keep it)."""
    return _table(slug_of(name), list(map(str, frame.columns)), frame.itertuples(index=False, name=None), "data frame")


def _read_csv(path: Path, name: str) -> RawTable:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            lines = list(csv.reader(file, strict=True))
    except UnicodeDecodeError as error:
        raise TableError(f"{path}: not UTF-8 (byte {error.start}); save the file as UTF-8") from error
    except csv.Error as error:
        raise TableError(f"{path}: not a CSV file: {error}") from error
    if not lines or not any(lines[0]):
        raise TableError(f"{path}: empty; the first line must name the columns")
    for number, line in enumerate(lines[1:], start=2):
        if line and len(line) != len(lines[0]):
            raise TableError(f"{path}, row {number}: {len(line)} cells, but the header names {len(lines[0])} columns")
    return _table(name, lines[0], [line for line in lines[1:] if line], str(path))


def _read_parquet(path: Path, name: str) -> RawTable:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise MissingExtraError("reading Parquet needs pyarrow: pip install astra-gym[parquet]") from error
    try:
        content = pyarrow.parquet.read_table(path)
    except (pyarrow.ArrowInvalid, OSError) as error:
        raise TableError(f"{path}: not a Parquet file: {error}") from error
    columns = [column.to_pylist() for column in content.columns]
    return _table(name, content.column_names, zip(*columns, strict=True), str(path))


def _read_sqlite(path: Path) -> dict[str, RawTable]:
    tables: dict[str, RawTable] = {}
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as connection:
            listing = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")
            for name in [row[0] for row in listing if not row[0].startswith("sqlite_")]:
                tables[slug_of(name)] = _sqlite_table(connection, name, f"{path}, table {name!r}")
    except sqlite3.Error as error:
        raise TableError(f"{path}: not an SQLite database: {error}") from error
    if not tables:
        raise TableError(f"{path}: the database holds no tables")
    return tables


def _sqlite_table(connection: sqlite3.Connection, name: str, where: str) -> RawTable:
    quoted = '"' + name.replace('"', '""') + '"'
    info = connection.execute(f"PRAGMA table_info({quoted})").fetchall()
    keys = [row[1] for row in info if row[5]]
    aims = {slug_of(row[3]): slug_of(row[2]) for row in connection.execute(f"PRAGMA foreign_key_list({quoted})")}
    rows = connection.execute(f"SELECT * FROM {quoted}").fetchall()
    return _table(
        slug_of(name), [row[1] for row in info], rows, where, slug_of(keys[0]) if len(keys) == 1 else None, aims
    )


def _table(
    name: str,
    header: Sequence[str],
    rows: Iterable[Sequence[Any]],
    where: str,
    key: str | None = None,
    references: Mapping[str, str] | None = None,
) -> RawTable:
    columns = [slug_of(column) for column in header]
    if twice := sorted({column for column in columns if columns.count(column) > 1}):
        raise TableError(f"{where}: the columns {list(header)} give the name {twice[0]!r} more than once")
    cells = [dict(zip(columns, map(_plain, row), strict=True)) for row in rows]
    if not cells:
        raise TableError(f"{where}: the table has columns but no rows")
    return RawTable(name, tuple(columns), cells, key, references or {})


def _plain(cell: Any) -> JSON:
    """One cell as JSON: blanks and NaN are None, dates ISO text, numbers of other libraries Python's own."""
    if cell is None or isinstance(cell, bool | int):
        return cell
    if isinstance(cell, str):
        return cell.strip() or None
    if isinstance(cell, datetime):
        return cell.date().isoformat() if cell == cell else None
    if isinstance(cell, date):
        return cell.isoformat()
    if isinstance(cell, Decimal):
        cell = float(cell)
    if hasattr(cell, "item"):
        cell = cell.item()
    if isinstance(cell, float):
        return cell if math.isfinite(cell) else None
    return cell if isinstance(cell, bool | int) else (str(cell) if str(cell) not in ("NaT", "<NA>") else None)
