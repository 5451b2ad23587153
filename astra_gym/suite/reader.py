"""Open a suite and load its specs: parsed, checked against their certificates, by id."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from astra_gym.errors import CertificateError, SpecError, SuiteError, UnknownEnvError
from astra_gym.nearest import nearest
from astra_gym.suite.stores import FolderStore, JsonlStore, Signature, Skipped, Store, shown, why_not_json

if TYPE_CHECKING:
    from astra_gym.types import ToolEnvSpec

JSONL_SUFFIXES = frozenset({".jsonl", ".ndjson"})


class Suite:
    """The specs of one folder or file. Immutable; safe to share between threads and processes."""

    def __init__(self, store: Store, *, skip_bad: bool, require_certificate: bool) -> None:
        self._store = store
        self._skip_bad = skip_bad
        self._require_certificate = require_certificate
        self._positions = {spec_id: position for position, spec_id in enumerate(store.ids)}

    @property
    def path(self) -> Path:
        return self._store.path

    @property
    def ids(self) -> tuple[str, ...]:
        """Every id, in the order of the file (of the names, in a folder)."""
        return tuple(self._store.ids)

    @property
    def skipped(self) -> tuple[Skipped, ...]:
        """What `skip_bad` left out so far: by the index at opening, and by each iteration what could not be loaded."""
        return tuple(self._store.skipped)

    def __len__(self) -> int:
        return len(self._positions)

    def __contains__(self, spec_id: object) -> bool:
        return spec_id in self._positions

    def __iter__(self) -> Iterator[ToolEnvSpec]:
        """Every spec in order. With skip_bad, one that cannot be loaded is added to `skipped` instead of raising."""
        for position in range(len(self)):
            try:
                yield self._load(position)
            except (SuiteError, SpecError) as error:
                if not self._skip_bad or self.changed():
                    raise
                where, line = self._store.where(position)
                reason = str(error).removeprefix(f"{where}: ")
                skipped = Skipped(line, f"{Path(where).name}: {reason}" if line is None else reason)
                if skipped not in self._store.skipped:
                    self._store.skipped.append(skipped)

    def __reduce__(self) -> tuple[Callable[..., Suite], tuple[Any, ...]]:
        return _reopen, (self.path, self._skip_bad, self._require_certificate)

    def __repr__(self) -> str:
        return f"<Suite {str(self.path)!r}: {len(self)} specs, {len(self.skipped)} skipped>"

    def where(self, spec_id: str) -> str:
        """Where a spec stands: `file:line`, or its file in a folder."""
        return self._store.where(self._position(spec_id))[0]

    def signature(self, spec_id: str) -> Signature | None:
        """What changes when the file that holds a spec does; None when that file is gone."""
        return Signature.at(self._store.file(self._position(spec_id)))

    def changed(self) -> bool:
        """Whether the file is no longer the one that was opened; loading from it raises SuiteError."""
        return self._store.changed()

    def load(self, spec_id: str) -> ToolEnvSpec:
        """The spec with that id, its certificate compared with its content.

        Raises: UnknownEnvError naming the nearest ids; SuiteError when what stands there is no such spec;
        CertificateError when it was changed since it was certified, or never certified.
        """
        return self._load(self._position(spec_id))

    def _position(self, spec_id: str) -> int:
        if spec_id not in self._positions:
            near = nearest(spec_id, self._positions)
            raise UnknownEnvError(f"{self.path}: no spec {spec_id!r} among {len(self)}; the nearest are {near}")
        return self._positions[spec_id]

    def _load(self, position: int) -> ToolEnvSpec:
        from astra_gym.spec_loading import load_spec  # pydantic and the types take longer to import than suites to open

        where, expected = self._store.where(position)[0], self._store.ids[position]
        try:
            record = orjson.loads(self._store.read(position))
        except orjson.JSONDecodeError as error:
            raise SuiteError(f"{where}: {why_not_json(error)}") from None
        found = record.get("id") if isinstance(record, dict) else record
        if found != expected:
            raise SuiteError(f"{where}: expected the spec {expected!r}, found {shown(found)}")
        try:
            return load_spec(record, require_certificate=self._require_certificate)
        except CertificateError as error:
            raise CertificateError(f"{where}: {error}") from None
        except SpecError as error:
            raise SuiteError(f"{where}: {error}") from None


def open_suite(path: str | Path, *, skip_bad: bool = False, require_certificate: bool = True) -> Suite:
    """Open a folder of `<id>.json` files, a JSONL file or a Parquet file. Reads ids and offsets, no spec.

    Args:
        skip_bad: leave out what cannot be read and list it in `Suite.skipped`, instead of raising.
        require_certificate: refuse specs without a certificate; one that does not fit its content is always refused.

    Raises: SuiteError with the place, what was found and what would do; MissingExtraError for Parquet without pyarrow.
    """
    path = Path(path)
    store: Store
    try:
        if path.is_dir():
            store = FolderStore(path, skip_bad=skip_bad)
        elif path.suffix in JSONL_SUFFIXES:
            store = JsonlStore(path, skip_bad=skip_bad)
        elif path.suffix == ".parquet":
            from astra_gym.suite.parquet import ParquetStore  # needs an extra

            store = ParquetStore(path, skip_bad=skip_bad)
        elif path.exists():
            raise SuiteError(f"{path}: expected a folder of <id>.json files, a .jsonl or a .parquet file")
        else:
            raise SuiteError(f"{path}: no such file or folder")
    except OSError as error:
        raise SuiteError(f"{path}: {error.strerror or error}") from None
    if not store.ids:
        first = f"; the first of {len(store.skipped)} skipped: {store.skipped[0]}" if store.skipped else ""
        raise SuiteError(f"{path}: no spec in it, expected at least one{first}")
    return Suite(store, skip_bad=skip_bad, require_certificate=require_certificate)


def _reopen(path: Path, skip_bad: bool, require_certificate: bool) -> Suite:
    return open_suite(path, skip_bad=skip_bad, require_certificate=require_certificate)
