"""A suite as one Parquet file: id, domain, scenario_type, hops and question to query by, and the spec as JSON text.

The spec stays one string because Arrow would merge the schemas of different tools into one struct. Needs pyarrow (the
extra `parquet`).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from itertools import accumulate, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from astra_gym.errors import MissingExtraError, SuiteError
from astra_gym.suite.stores import SPEC_ID, Signature, Skipped

try:
    import pyarrow as pa
    import pyarrow.parquet as pq
except ImportError as error:
    raise MissingExtraError("a Parquet suite needs pyarrow: pip install 'astra-gym[parquet]'") from error

if TYPE_CHECKING:
    from astra_gym.types import ToolEnvSpec

ROW_GROUP = 128
"""Specs a row group: what is read to load one."""
SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("domain", pa.string()),
        ("scenario_type", pa.string()),
        ("hops", pa.int32()),
        ("question", pa.string()),
        ("spec", pa.string()),
    ]
)


class ParquetStore:
    """One spec a row; the row group read last is kept, so that reading in order decodes each once."""

    def __init__(self, path: Path, *, skip_bad: bool = False) -> None:
        self.path = path
        self.ids: list[str] = []
        self.skipped: list[Skipped] = []
        self._rows: list[int] = []
        self._group: tuple[int, list[str]] = (-1, [])
        if not path.exists():
            raise SuiteError(f"{path}: no such file")
        self._signature = Signature.at(path)
        try:
            with pq.ParquetFile(path) as file:
                if missing := {"id", "spec"} - set(file.schema_arrow.names):
                    raise SuiteError(f"{path}: no column {sorted(missing)}, found {file.schema_arrow.names}")
                groups = [file.metadata.row_group(i).num_rows for i in range(file.metadata.num_row_groups)]
                found = file.read(columns=["id"]).column("id").to_pylist()
        except pa.ArrowException as error:
            raise SuiteError(f"{path}: not a whole Parquet file: {error}") from None
        self._ends = list(accumulate(groups))
        self._index(found, skip_bad)

    def _index(self, found: list[Any], skip_bad: bool) -> None:
        seen: dict[str, int] = {}
        for row, spec_id in enumerate(found):
            if not isinstance(spec_id, str) or not SPEC_ID.fullmatch(spec_id):
                reason = f"expected an id like 'name-v0', found {spec_id!r}"
            elif spec_id in seen:
                reason = f"id {spec_id!r} stands in row {seen[spec_id] + 1} already, expected once"
            else:
                seen[spec_id] = row
                self.ids.append(spec_id)
                self._rows.append(row)
                continue
            if not skip_bad:
                raise SuiteError(f"{self.path}:{row + 1}: {reason}. Mend it, or pass skip_bad=True to read the rest")
            self.skipped.append(Skipped(row + 1, reason))

    def file(self, position: int) -> Path:  # noqa: ARG002 - one file holds them all
        return self.path

    def where(self, position: int) -> tuple[str, int | None]:
        row = self._rows[position] + 1
        return f"{self.path}:{row}", row

    def read(self, position: int) -> bytes:
        if self.changed():
            raise SuiteError(f"{self.path}: the file changed since the suite was opened; open or register it again")
        row = self._rows[position]
        group = bisect_right(self._ends, row)
        number, specs = self._group
        if number != group:
            try:
                with pq.ParquetFile(self.path) as file:
                    specs = file.read_row_group(group, columns=["spec"]).column("spec").to_pylist()
            except (pa.ArrowException, OSError) as error:
                raise SuiteError(f"{self.path}: row group {group} cannot be read: {error}") from None
            self._group = (group, specs)
        spec = specs[row - self._ends[group] + len(specs)]
        if not isinstance(spec, str):
            raise SuiteError(f"{self.path}:{row + 1}: expected the spec as JSON text, found {type(spec).__name__}")
        return spec.encode()

    def changed(self) -> bool:
        return Signature.at(self.path) != self._signature


def write_parquet(path: Path, rows: Iterable[tuple[ToolEnvSpec, bytes]]) -> int:
    """Write specs, each with its JSON, to a new file at `path`; returns how many. Memory stays at one row group."""
    pending: Iterator[tuple[ToolEnvSpec, bytes]] = iter(rows)
    count = 0
    with pq.ParquetWriter(path, SCHEMA, compression="zstd") as writer:
        while chunk := list(islice(pending, ROW_GROUP)):
            records = [
                {
                    "id": spec.id,
                    "domain": spec.domain,
                    "scenario_type": spec.scenario_type,
                    "hops": spec.hops,
                    "question": spec.question,
                    "spec": raw.decode(),
                }
                for spec, raw in chunk
            ]
            writer.write_table(pa.Table.from_pylist(records, SCHEMA), row_group_size=ROW_GROUP)
            count += len(chunk)
    return count
