"""Reading data sets one record a line: line numbers, byte order marks, blank lines, and what to do with a bad line.

Each record becomes an `Item` whose id is the number of the record in its file. A file that starts with `[` is read as
one JSON array, as some data sets ship that way. What a record must hold is the door's business.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import orjson

from astra_gym.env_synthesis.sources.base import Item
from astra_gym.errors import SuiteError
from astra_gym.records import JSON
from astra_gym.types import Rejected

_BOM = b"\xef\xbb\xbf"
_NAME_CHARS = re.compile(r"[^a-z0-9]+")


@dataclass(frozen=True, slots=True)
class Line:
    """One record of a file and where it stands."""

    number: int
    """Line number, from 1; in a JSON array the position of the element, from 1."""
    index: int
    """Position among the records of the file, bad ones included, from 0."""
    record: JSON = None
    problem: str | None = None
    """Why the line cannot be read; then there is no record."""


def read_lines(path: Path, *, skip_bad: bool = False) -> Iterator[Line]:
    """The records of a JSONL file (or of one JSON array) in order; blank lines are passed over.

    Args:
        skip_bad: give a line that cannot be read as a `Line` with its `problem` instead of raising.

    Raises: SuiteError when the file cannot be opened, when an array file is broken, or at the first line that is not
        a JSON object while `skip_bad` is off; the message has file, line number and what was found.
    """
    try:
        with path.open("rb") as file:
            head = file.read(4096).removeprefix(_BOM).lstrip()
            file.seek(0)
            lines = _array(path, file.read()) if head.startswith(b"[") else _lines(file)
            for line in lines:
                if line.problem is not None and not skip_bad:
                    raise SuiteError(
                        f"{path}:{line.number}: {line.problem}; skip_bad=True (--skip-bad) passes over such lines"
                    )
                yield line
    except OSError as error:
        raise SuiteError(f"{path}: cannot be read: {error.strerror or error}") from error


def record_items(path: Path, prefix: str, *, skip_bad: bool, limit: int | None) -> Iterator[Item | Rejected]:
    """The first `limit` records of a file as items `<prefix>-<record number, from 0>-v0`, payload {line, record}.

    Raises: SuiteError as `read_lines`; with `skip_bad` a bad line is a `Rejected` of stage "read" in its place.
    """
    for line in islice(read_lines(path, skip_bad=skip_bad), limit):
        item_id = f"{prefix}-{line.index:05d}-v0"
        if line.problem is None:
            yield Item(item_id, {"line": line.number, "record": line.record})
        else:
            yield Rejected(id=item_id, stage="read", reason=f"{path.name}:{line.number}: {line.problem}")


def stem_prefix(door: str, path: Path, *, drop: Sequence[str] = ()) -> str:
    """`<door>-<stem>` in lower case and hyphens, without the words in `drop` and without the door's name twice."""
    stem = [word for word in slug(path.stem).split("-") if word and word not in (*drop, door)]
    return "-".join([door, *stem])


def slug(text: str) -> str:
    """`text` in lower case with every run of other characters as one hyphen: part of an env id."""
    return _NAME_CHARS.sub("-", text.lower()).strip("-")


def _lines(raw_lines: Iterator[bytes]) -> Iterator[Line]:
    index = 0
    for number, raw in enumerate(raw_lines, start=1):
        text = raw.removeprefix(_BOM).strip() if number == 1 else raw.strip()
        if text:
            yield _line(number, index, text)
            index += 1


def _line(number: int, index: int, text: bytes) -> Line:
    try:
        record = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        found = text[:60].decode("utf-8", "replace")
        return Line(number, index, problem=f"expected a JSON object, found {found!r} ({error})")
    return _checked(number, index, record)


def _checked(number: int, index: int, record: JSON) -> Line:
    if not isinstance(record, dict):
        return Line(number, index, problem=f"expected a JSON object, found {_kind(record)} {str(record)[:60]!r}")
    return Line(number, index, record)


def _array(path: Path, content: bytes) -> Iterator[Line]:
    try:
        records = orjson.loads(content.removeprefix(_BOM))
    except orjson.JSONDecodeError as error:
        raise SuiteError(f"{path}: starts with '[' but is not one JSON array: {error}") from error
    return (_checked(i + 1, i, record) for i, record in enumerate(records))


def _kind(value: JSON) -> str:
    if value is None:
        return "null"
    return {bool: "a boolean", int: "a number", float: "a number", str: "a string", list: "an array"}[type(value)]
