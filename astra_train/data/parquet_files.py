"""Parquet written whole or not at all, and read with errors that name the row."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any

import orjson

from astra_gym.errors import MissingExtraError
from astra_gym.records import JSON
from astra_train.data.errors import DataError

try:
    import pyarrow as pa
    import pyarrow.parquet as pq
except ImportError as error:
    raise MissingExtraError("training data is Parquet and needs pyarrow: pip install 'astra-gym[train]'") from error

ROW_GROUP = 512
_NOTES = b"astra_train"


def write_rows(
    path: str | Path, schema: pa.Schema, rows: Iterable[Mapping[str, JSON]], notes: Mapping[str, JSON] | None = None
) -> int:
    """Write rows to a new file that replaces `path` when it is complete; returns how many.

    Args:
        notes: kept in the file's metadata; `read_notes` gives them back.

    Raises: DataError when the file cannot be written or there is no row; then what stood at `path` stands there still.
    """
    path = Path(path)
    if path.suffix != ".parquet":
        raise DataError(f"{path}: expected a name ending in .parquet")
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    schema = schema.with_metadata({_NOTES: orjson.dumps(dict(notes or {}))})
    count = 0
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        pending = iter(rows)
        with pq.ParquetWriter(partial, schema, compression="zstd") as writer:
            while chunk := list(islice(pending, ROW_GROUP)):
                writer.write_table(pa.Table.from_pylist([dict(row) for row in chunk], schema))
                count += len(chunk)
        if not count:
            raise DataError(f"{path}: no row to write")
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        partial.replace(path)
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"{path}: cannot be written: {error}; what stood there before is untouched") from error
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
    return count


def read_rows(path: str | Path, columns: Sequence[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    """(row number from 1, row) of every row, one row group at a time.

    Raises: DataError when the file is missing, damaged or lacks one of `columns`.
    """
    try:
        with pq.ParquetFile(path) as file:
            names = file.schema_arrow.names
            if missing := [name for name in columns if name not in names]:
                raise DataError(f"{path}: no column {missing}, found {names}; `astra data` writes these files")
            number = 0
            for group in range(file.metadata.num_row_groups):
                for row in file.read_row_group(group, columns=list(columns)).to_pylist():
                    number += 1
                    yield number, row
    except FileNotFoundError:
        raise DataError(f"{path}: no such file; `astra data` writes it") from None
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"{path}: not a whole Parquet file: {error}") from None


def read_notes(path: str | Path) -> dict[str, JSON]:
    """The notes that the file was written with; empty when it has none. Raises: DataError."""
    try:
        metadata = pq.read_schema(path).metadata or {}
    except FileNotFoundError:
        raise DataError(f"{path}: no such file; `astra data` writes it") from None
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"{path}: not a whole Parquet file: {error}") from None
    notes: dict[str, JSON] = orjson.loads(metadata.get(_NOTES, b"{}"))
    return notes
