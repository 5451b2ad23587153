"""Where the bytes of a suite lie: an index of ids over a folder or a JSONL file, and the bytes of one spec.

A store does not build specs; `reader.py` does. The JSONL index takes each id from the head of its line and checks that
the line ends like an object, so that a gigabyte is indexed in about the time it takes to read it. A line that does not
look as `SuiteWriter` leaves it is parsed in full; damage inside a line shows when that spec is loaded.
"""

from __future__ import annotations

import os
import re
from array import array
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import BinaryIO, NamedTuple, Protocol

import orjson

from astra_gym.errors import SuiteError

MAX_LINE_BYTES = 64 << 20
"""A longer line is refused: whatever it is, it is no spec."""
CHUNK_BYTES = 1 << 20
SPEC_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*-v\d+")
ID_AT_HEAD = re.compile(rb'\s*\{\s*"id"\s*:\s*"([A-Za-z0-9][A-Za-z0-9_.-]*-v\d+)"\s*,')
IGNORED_FILES = frozenset({"schema.json"})
"""Files of a suite folder that end in .json and are no spec."""
UTF8_BOM = b"\xef\xbb\xbf"
FOREIGN_HEADS = {b"\x1f\x8b": "gzip data", b"\xff\xfe": "UTF-16 text", b"\xfe\xff": "UTF-16 text", b"PAR1": "Parquet"}


class Skipped(NamedTuple):
    """A spec that `skip_bad` left out."""

    line: int | None
    """Line of a JSONL file or row of a Parquet file, from 1; None in a folder."""
    reason: str
    """What is wrong with it; in a folder it starts with the file name."""


class Store(Protocol):
    """The specs of one place, by position."""

    path: Path
    ids: list[str]
    skipped: list[Skipped]
    """What the index left out; only with skip_bad."""

    def file(self, position: int) -> Path:
        """The file that holds a spec."""

    def where(self, position: int) -> tuple[str, int | None]:
        """Where a spec stands: `file:line` (or the file), and the line."""

    def read(self, position: int) -> bytes:
        """The JSON of one spec. Raises: SuiteError when it is gone or the file changed since it was indexed."""

    def changed(self) -> bool:
        """Whether the file was replaced, appended to or removed since it was indexed."""


class Signature(NamedTuple):
    """What tells one state of a file from another without reading it."""

    size: int
    mtime_ns: int
    inode: int

    @classmethod
    def of(cls, stat: os.stat_result) -> Signature:
        return cls(stat.st_size, stat.st_mtime_ns, stat.st_ino)

    @classmethod
    def at(cls, path: Path) -> Signature | None:
        """The signature of the file at `path`; None when it cannot be had."""
        try:
            return cls.of(path.stat())
        except OSError:
            return None


class FolderStore:
    """A folder of `<id>.json` files, in the order of their names. Files that are not JSON are left alone."""

    def __init__(self, path: Path, *, skip_bad: bool = False) -> None:
        self.path = path
        self.ids: list[str] = []
        self.skipped: list[Skipped] = []
        for file in sorted(path.glob("*.json")):
            if SPEC_ID.fullmatch(file.stem):
                self.ids.append(file.stem)
            elif file.name not in IGNORED_FILES:
                reason = "the file name is no env id, expected <name>-v<N>.json"
                if not skip_bad:
                    raise SuiteError(f"{file}: {reason}; rename it, or pass skip_bad=True to leave it out")
                self.skipped.append(Skipped(None, f"{file.name}: {reason}"))

    def file(self, position: int) -> Path:
        return self.path / f"{self.ids[position]}.json"

    def where(self, position: int) -> tuple[str, int | None]:
        return str(self.file(position)), None

    def read(self, position: int) -> bytes:
        file = self.file(position)
        try:
            return file.read_bytes().removeprefix(UTF8_BOM)
        except OSError as error:
            raise SuiteError(f"{file}: listed when the suite was opened, now unreadable: {error.strerror}") from None

    def changed(self) -> bool:
        """Always false: each file is read whole when it is asked for and carries its own certificate."""
        return False


class JsonlStore:
    """One spec a line. A UTF-8 byte order mark, CRLF line ends and blank lines are read as if they were not there."""

    def __init__(self, path: Path, *, skip_bad: bool = False) -> None:
        self.path = path
        self.ids: list[str] = []
        self.skipped: list[Skipped] = []
        self._offsets = array("Q")
        self._lengths = array("Q")
        self._lines = array("Q")
        first_lines: dict[str, int] = {}
        with path.open("rb", buffering=CHUNK_BYTES) as file:
            self._signature = Signature.of(os.fstat(file.fileno()))
            for number, offset, raw in read_lines(file, path):
                try:
                    spec_id = id_of_line(raw)
                    if spec_id in first_lines:
                        raise SuiteError(f"id {spec_id!r} stands in line {first_lines[spec_id]} already, expected once")
                except SuiteError as error:
                    if not skip_bad:
                        raise SuiteError(
                            f"{path}:{number}: {error}. Mend it, or pass skip_bad=True to read the rest"
                        ) from None
                    self.skipped.append(Skipped(number, str(error)))
                    continue
                first_lines[spec_id] = number
                self.ids.append(spec_id)
                self._offsets.append(offset)
                self._lengths.append(len(raw))
                self._lines.append(number)

    def file(self, position: int) -> Path:  # noqa: ARG002 - one file holds them all
        return self.path

    def where(self, position: int) -> tuple[str, int | None]:
        line = self._lines[position]
        return f"{self.path}:{line}", line

    def read(self, position: int) -> bytes:
        try:
            with self.path.open("rb", buffering=0) as file:
                if Signature.of(os.fstat(file.fileno())) == self._signature:
                    return os.pread(file.fileno(), self._lengths[position], self._offsets[position])
        except OSError as error:
            raise SuiteError(f"{self.path}: unreadable since the suite was opened: {error.strerror}") from None
        raise SuiteError(f"{self.path}: the file changed since the suite was opened; open or register it again")

    def changed(self) -> bool:
        return Signature.at(self.path) != self._signature


def read_lines(file: BinaryIO, path: Path) -> Iterator[tuple[int, int, bytes]]:
    """(line number from 1, byte offset, line with its line end) of every line that is not blank.

    Raises: SuiteError for a file that is plainly something else, or a line longer than `MAX_LINE_BYTES`.
    """
    head = file.read(4)
    for magic, what in FOREIGN_HEADS.items():
        if head.startswith(magic):
            raise SuiteError(f"{path}: this is {what}, expected UTF-8 text with one JSON object a line")
    offset = len(UTF8_BOM) if head.startswith(UTF8_BOM) else 0
    file.seek(offset)
    for number, raw in enumerate(iter(partial(file.readline, MAX_LINE_BYTES), b""), 1):
        if len(raw) == MAX_LINE_BYTES and not raw.endswith(b"\n"):
            raise SuiteError(f"{path}:{number}: the line is longer than {MAX_LINE_BYTES >> 20} MiB, expected one spec")
        if not raw.isspace():
            yield number, offset, raw
        offset += len(raw)


def id_of_line(raw: bytes) -> str:
    """The spec id of one line. Raises: SuiteError, without the place, when it is no whole JSON object with an id."""
    if raw.endswith((b"}\n", b"}\r\n")) and (match := ID_AT_HEAD.match(raw)):
        return match[1].decode()
    try:
        record = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        if not raw.endswith(b"\n"):
            raise SuiteError(
                f"the last line is cut off after {len(raw)} bytes; its write was probably interrupted"
            ) from None
        raise SuiteError(why_not_json(error)) from None
    found = record.get("id") if isinstance(record, dict) else None
    if not isinstance(found, str) or not SPEC_ID.fullmatch(found):
        raise SuiteError(
            f"expected an object with an id like 'name-v0', found {shown(record if found is None else found)}"
        )
    return found


def why_not_json(error: orjson.JSONDecodeError) -> str:
    """What is wrong with the JSON of one record, and where in it."""
    line = f"line {error.lineno} " if error.lineno > 1 else ""
    return f"not JSON at {line}column {error.colno}: {error.msg}"


def shown(value: object) -> str:
    """`value` for a message, cut short."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
