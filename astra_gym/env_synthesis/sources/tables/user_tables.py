"""Tables of your own: files or frames and a description (a TOML file or a mapping), inferred where it is silent."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from astra_gym.env_synthesis.sources.tables.completing import complete, slug_of
from astra_gym.env_synthesis.sources.tables.conforming import LoadedTables, conform
from astra_gym.env_synthesis.sources.tables.inference import infer
from astra_gym.env_synthesis.sources.tables.reading import RawTable, from_frame, read_tables
from astra_gym.errors import TableError

if TYPE_CHECKING:
    import pandas

Described = str | Path | Mapping[str, Any] | None


def load_tables(path: str | Path, description: Described = None) -> LoadedTables:
    """The tables of one CSV, Parquet or SQLite file with their description.

    Args:
        description: a TOML file, the mapping that such a file holds, or None. It may give `name`, `topic`, `register`,
            `terms` (dataset, license, ...), and under `tables.<table>` the `key`, `noun`, `plural`, `spread` and under
            `tables.<table>.columns.<column>` any field of `description.Column`.

    Raises: TableError when the file or the description cannot be used; it says why.
    """
    file = Path(path)
    return _described(read_tables(file), slug_of(file.stem), _given(description))


def frame_tables(frames: Mapping[str, pandas.DataFrame], name: str, description: Described = None) -> LoadedTables:
    """The same for pandas frames, by table name."""
    raw = [from_frame(frame, table) for table, frame in frames.items()]
    return _described({table.name: table for table in raw}, slug_of(name), _given(description))


def _given(description: Described) -> Mapping[str, Any]:
    if description is None:
        return {}
    if isinstance(description, Mapping):
        return description
    file = Path(description)
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise TableError(f"{file}: the description cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise TableError(f"{file}: the description is no TOML: {error}") from error


def _described(raw: Mapping[str, RawTable], name: str, given: Mapping[str, Any]) -> LoadedTables:
    description = complete(str(given.get("name", name)), infer(raw, given))
    return conform(description, {table: raw[table].rows for table in description.tables})
