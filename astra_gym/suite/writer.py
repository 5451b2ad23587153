"""Write a suite: all at once and atomically, or a line at a time by a pipeline that may be killed.

The bytes of a spec are fixed by its content: compact UTF-8 JSON, fields in the order of the type (so the id comes
first, where the reader looks for it), fields at their default left out. Mappings inside (`data`, schemas) keep their
own order instead of being sorted, because a tool may walk through a table in its order: what was certified is stored.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

import orjson

from astra_gym.errors import SuiteError
from astra_gym.suite.stores import CHUNK_BYTES, FolderStore, JsonlStore, id_of_line

if TYPE_CHECKING:
    from astra_gym.types import ToolEnvSpec

JSONL_SUFFIX = ".jsonl"


def spec_bytes(spec: ToolEnvSpec, *, indent: bool = False) -> bytes:
    """The JSON of a spec, without a line end. Raises: SuiteError for a value that JSON cannot hold."""
    try:
        return orjson.dumps(spec.to_json(), option=orjson.OPT_INDENT_2 if indent else None)
    except (TypeError, ValueError) as error:
        raise SuiteError(f"{spec.id}: cannot be written as JSON: {error}") from None


def write_suite(path: str | Path, specs: Iterable[ToolEnvSpec], *, overwrite: bool = False) -> int:
    """Write specs in the given order to a `.jsonl` file, a `.parquet` file or a folder; returns how many.

    A file appears whole or not at all (written beside it, then renamed); in a folder each `<id>.json` does, indented so
    that people can read and compare it. `overwrite` replaces a suite that stands there: in a folder, its spec files.

    Raises: SuiteError when something stands at `path`, an id comes twice or no spec comes; MissingExtraError.
    """
    path = Path(path)
    if path.suffix in {JSONL_SUFFIX, ".parquet"}:
        if path.exists() and not overwrite:
            raise SuiteError(f"{path}: exists already; choose another name, or pass overwrite=True")
        path.parent.mkdir(parents=True, exist_ok=True)
        with _replacing(path) as partial:
            count = _write_file(partial, path, specs)
            if not count:
                raise SuiteError(f"{path}: no spec to write")
        return count
    if path.suffix:
        raise SuiteError(f"{path}: expected a name ending in .jsonl or .parquet, or a folder")
    return _write_folder(path, specs, overwrite)


def _write_file(partial: Path, path: Path, specs: Iterable[ToolEnvSpec]) -> int:
    rows = ((spec, spec_bytes(spec)) for spec in _unique(specs, path))
    if path.suffix == ".parquet":
        from astra_gym.suite.parquet import write_parquet  # needs an extra

        return write_parquet(partial, rows)
    count = 0
    with partial.open("wb") as file:
        for _, raw in rows:
            file.write(raw + b"\n")
            count += 1
    return count


def _write_folder(path: Path, specs: Iterable[ToolEnvSpec], overwrite: bool) -> int:
    path.mkdir(parents=True, exist_ok=True)
    before = set(FolderStore(path, skip_bad=True).ids)
    if before and not overwrite:
        raise SuiteError(f"{path}: holds {len(before)} specs already; choose another folder, or pass overwrite=True")
    written: set[str] = set()
    for spec in _unique(specs, path):
        with _replacing(path / f"{spec.id}.json") as partial:
            partial.write_bytes(spec_bytes(spec, indent=True) + b"\n")
        written.add(spec.id)
    if not written:
        raise SuiteError(f"{path}: no spec to write")
    for spec_id in before - written:
        (path / f"{spec_id}.json").unlink()
    return len(written)


def _unique(specs: Iterable[ToolEnvSpec], path: Path) -> Iterator[ToolEnvSpec]:
    seen: set[str] = set()
    for spec in specs:
        if spec.id in seen:
            raise SuiteError(f"{path}: id {spec.id!r} comes twice, expected each id once")
        seen.add(spec.id)
        yield spec


@contextmanager
def _replacing(path: Path) -> Iterator[Path]:
    """A path beside `path` to write to; renamed over it, flushed to disk, when the block ends without an exception."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        yield partial
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


class SuiteWriter:
    """Append specs to a JSONL suite, each as one whole line; one writer a file at a time.

    `SuiteWriter(path)` starts a new file. `SuiteWriter.resume(path)` goes on with one that may have been cut off in the
    middle of a line: that line is dropped, and `ids` says what is there, so that a pipeline repeats and loses nothing.
    """

    def __init__(self, path: str | Path, *, sync: bool = False) -> None:
        """Create the file. `sync` waits for the disk after each spec, to survive a power cut and not only a kill.

        Raises: SuiteError when the file exists, or the name does not end in .jsonl.
        """
        self._open(Path(path), sync, os.O_EXCL)

    @classmethod
    def resume(cls, path: str | Path, *, sync: bool = False) -> Self:
        """Go on with the suite at `path`, or start it when there is none.

        Raises: SuiteError when a line before the last is damaged, or another writer has the file open.
        """
        writer = cls.__new__(cls)
        writer._open(Path(path), sync, 0)
        try:
            writer.dropped_bytes = _mend_tail(writer._fd)
            writer.ids.update(JsonlStore(writer.path).ids)
        except BaseException:
            writer.close()
            raise
        return writer

    def _open(self, path: Path, sync: bool, flags: int) -> None:
        self.path = path
        self.ids: set[str] = set()
        """Ids of the specs in the file."""
        self.dropped_bytes = 0
        """Length of the half-written last line that `resume` removed."""
        self._sync = sync
        if path.suffix != JSONL_SUFFIX:
            raise SuiteError(f"{path}: only a {JSONL_SUFFIX} suite can be appended to")
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | flags, 0o644)
        except FileExistsError:
            raise SuiteError(f"{path}: exists already; go on with SuiteWriter.resume, or choose another name") from None
        except OSError as error:
            raise SuiteError(f"{path}: cannot be written: {error.strerror}") from None
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._fd)
            raise SuiteError(f"{path}: another process is writing to it; wait for it, or choose another name") from None

    def write(self, spec: ToolEnvSpec) -> None:
        """Append one spec, whole or not at all.

        Raises: SuiteError when its id is in the file already; OSError when the disk refuses.
        """
        if spec.id in self.ids:
            raise SuiteError(f"{self.path}: id {spec.id!r} is in the file already, expected each id once")
        end = os.fstat(self._fd).st_size
        line = memoryview(spec_bytes(spec) + b"\n")
        try:
            while line:
                line = line[os.write(self._fd, line) :]
            if self._sync:
                os.fsync(self._fd)
        except OSError:
            os.ftruncate(self._fd, end)
            raise
        self.ids.add(spec.id)

    def close(self) -> None:
        """Release the file; closing twice is fine."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _mend_tail(fd: int) -> int:
    """End the file at a line end: finish a whole last line, drop a half-written one. Returns the bytes dropped."""
    end = os.fstat(fd).st_size
    start, tail = end, b""
    while start and b"\n" not in tail:
        step = min(start, CHUNK_BYTES)
        start -= step
        tail = os.pread(fd, step, start) + tail
    last = tail[tail.rfind(b"\n") + 1 :]
    if not last:
        return 0
    try:
        id_of_line(last)
    except SuiteError:
        os.ftruncate(fd, end - len(last))
        return len(last)
    os.write(fd, b"\n")
    return 0
