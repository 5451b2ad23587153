"""Lines of a text file, one at a time and never more than a bounded piece of it in memory.

A line that is too long, not UTF-8 or binary is reported in its place, and the next one is read; what a line must hold
is the business of who reads it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from astra_gym.errors import PipelineError
from astra_gym.suite.stores import FOREIGN_HEADS, UTF8_BOM

MAX_LINE_BYTES = 4 << 20
"""A longer line is no row that a prompt could hold."""
_HEAD = 4096
_PIECE = 1 << 16


@dataclass(frozen=True, slots=True)
class TextLine:
    """A line of a file, without its end."""

    number: int
    """From 1."""
    text: str = ""
    problem: str | None = None
    """Why it cannot be read; then there is no text."""
    digest: bytes = b""
    """Of a line with a problem: the hash of its bytes."""


def text_lines(path: Path, most: int = MAX_LINE_BYTES) -> Iterator[TextLine]:
    """The lines of `path` that are not blank. One of over `most` bytes has a problem; a binary file is one such line.

    Binary is what begins like a known format or has a NUL byte in its first line.

    Raises: PipelineError when the file cannot be opened or read.
    """
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD)
            if problem := binary_problem(head.partition(b"\n")[0]):
                yield TextLine(1, problem=problem, digest=hashlib.sha256(head).digest())
                return
            file.seek(len(UTF8_BOM) if head.startswith(UTF8_BOM) else 0)
            for line in _lines(file, most):
                if line.problem is not None or line.text.strip():
                    yield line
    except OSError as error:
        raise PipelineError(f"{path}: cannot be read: {error.strerror or error}") from error


def binary_problem(head: bytes) -> str | None:
    """Why a file that starts with `head` is no UTF-8 text, or None."""
    for magic, name in FOREIGN_HEADS.items():
        if head.startswith(magic):
            return f"expected UTF-8 text, found {name}"
    if (at := head.find(b"\0")) >= 0:
        return f"expected UTF-8 text, found a binary file (a NUL byte at offset {at})"
    return None


def decoding_problem(content: bytes) -> str | None:
    """Where and why `content` is not UTF-8, or None."""
    try:
        content.decode()
    except UnicodeDecodeError as error:
        found = content[error.start : error.start + 4].hex(" ")
        return f"expected UTF-8, found the bytes {found} at offset {error.start} (another encoding? convert it first)"
    return None


def _lines(file: BinaryIO, most: int) -> Iterator[TextLine]:
    number = 0
    while raw := file.readline(most + 1):
        number += 1
        if len(raw) > most and not raw.endswith(b"\n"):
            yield _too_long(file, number, raw, most)
            continue
        content = raw.rstrip(b"\r\n")
        problem = decoding_problem(content)
        if b"\0" in content:
            problem = f"expected text, found a NUL byte at offset {content.find(0)} of the line"
        if problem is not None:
            yield TextLine(number, problem=problem, digest=hashlib.sha256(content).digest())
        else:
            yield TextLine(number, content.decode())


def _too_long(file: BinaryIO, number: int, start: bytes, most: int) -> TextLine:
    """Pass over the rest of a line, keeping its length and its hash."""
    digest, length = hashlib.sha256(start), len(start)
    while piece := file.readline(_PIECE):
        digest.update(piece)
        length += len(piece)
        if piece.endswith(b"\n"):
            break
    problem = f"a line of {length / 2**20:.1f} MB; {most >> 20} MB at most make a row (a document? put it in a folder)"
    return TextLine(number, problem=problem, digest=digest.digest())
