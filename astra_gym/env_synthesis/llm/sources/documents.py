"""Documents as knowledge: a folder of text and Markdown files, cut where their headings and paragraphs end.

A chunk is a piece of the text as it stands, word for word, so that file, offset and length find it again; the headings
above it are told apart from it. No character of a document is left out but for blank ends.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from astra_gym.env_synthesis.llm.sources.lines import binary_problem, decoding_problem
from astra_gym.errors import PipelineError
from astra_gym.suite.stores import UTF8_BOM

SUFFIXES = frozenset({".txt", ".text", ".md", ".markdown", ".rst"})
MAX_DOCUMENT_BYTES = 64 << 20
_HEADING = re.compile(r"(#{1,6})[ \t]+(\S.*?)[ \t#]*")
_FENCE = re.compile(r"[ \t]{0,3}(```|~~~)")
_SENTENCE_END = re.compile(r"[.!?][\"')\]]?\s|[。！？；]\s?|\n")


@dataclass(frozen=True, slots=True)
class Document:
    """One file, or why it is none."""

    file: str
    """Name relative to the folder that was named."""
    text: str = ""
    problem: str | None = None
    content: bytes = b""
    """The bytes (their head, when they are too many) of a file with a problem."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of a document: `text == document[offset : offset + len(text)]`."""

    text: str
    offset: int
    line: int
    """Line of the document at which it begins, from 1."""
    heading: str
    """The headings in force where it begins, outermost first, between " > "."""


def read_documents(path: Path) -> Iterator[Document]:
    """The documents of a folder and all below it, by name, or the one file. Hidden files are passed over.

    Raises: PipelineError when `path` cannot be read.
    """
    try:
        if not path.is_dir():
            yield _read(path, path.name)
            return
        for file in sorted(path.rglob("*")):
            name = file.relative_to(path)
            if file.is_file() and not any(part.startswith(".") for part in name.parts):
                yield _read(file, name.as_posix())
    except OSError as error:
        raise PipelineError(f"{error.filename or path}: cannot be read: {error.strerror or error}") from error


def _read(path: Path, name: str) -> Document:
    if path.suffix.lower() not in SUFFIXES:
        return Document(name, problem=f"no document: expected one of {sorted(SUFFIXES)}, found {path.suffix!r}")
    with path.open("rb") as file:
        content = file.read(MAX_DOCUMENT_BYTES + 1)
    head = content[:4096]
    if len(content) > MAX_DOCUMENT_BYTES:
        return Document(name, problem=f"more than {MAX_DOCUMENT_BYTES >> 20} MB; split it", content=head)
    content = content.removeprefix(UTF8_BOM)
    nul = content.find(0)
    problem = binary_problem(head) or (f"expected text, found a NUL byte at offset {nul}" if nul >= 0 else None)
    if problem := problem or decoding_problem(content):
        return Document(name, problem=problem, content=content)
    text = content.decode()
    return Document(name, text) if text.strip() else Document(name, problem="an empty document", content=content)


def chunks(text: str, most: int) -> Iterator[Chunk]:
    """Cut `text` into pieces of at most `most` characters, at headings, else paragraphs, else sentences.

    A section starts a new chunk once the one before it is half full, so that short sections stay together.
    """
    line = counted = 0
    for start, end, heading in _spans(text, most):
        for offset, body in _cut(text, start, end, most):
            line += text.count("\n", counted, offset)
            counted = offset
            yield Chunk(body, offset, line + 1, heading)


def _spans(text: str, most: int) -> Iterator[tuple[int, int, str]]:
    """(start, end, heading) of whole paragraphs that go together; a paragraph longer than `most` is one by itself."""
    start, end, heading = 0, 0, ""
    for block in _blocks(text):
        full = block.end - start > most
        if end > start and (full or (block.opens_section and end - start >= most // 2)):
            yield start, end, heading
            start = block.start
        if start == block.start:
            heading = block.heading
        end = block.end
    yield start, end, heading


@dataclass(frozen=True, slots=True)
class _Block:
    """A paragraph, with the headings that stand right above it, and the blank lines after it."""

    start: int
    end: int
    heading: str
    opens_section: bool


def _blocks(text: str) -> Iterator[_Block]:
    """The paragraphs of `text`, without gaps between them. A fenced block of code is not torn at its blank lines."""
    stack: list[tuple[int, str]] = []
    start = position = 0
    fence = ""
    opens = filled = ended = False
    for line in text.splitlines(keepends=True):
        found = None if fence else _HEADING.fullmatch(line.rstrip("\r\n"))
        blank = not line.strip()
        if filled and not fence and (found or (ended and not blank)):
            yield _Block(start, position, _path(stack), opens)
            start, opens, filled, ended = position, False, False, False
        if found:
            level = len(found[1])
            stack = [entry for entry in stack if entry[0] < level] + [(level, found[2])]
            opens = True
        elif blank:
            ended = filled and not fence
        else:
            filled = True
            if mark := _FENCE.match(line):
                fence = "" if fence == mark[1] else fence or mark[1]
        position += len(line)
    yield _Block(start, position, _path(stack), opens)


def _path(stack: list[tuple[int, str]]) -> str:
    return " > ".join(title for _, title in stack)


def _cut(text: str, start: int, end: int, most: int) -> Iterator[tuple[int, str]]:
    """(offset, piece) of `text[start:end]` without blank ends, each of at most `most` characters."""
    while start < end:
        stop = end
        if end - start > most:
            ends = [found.end() for found in _SENTENCE_END.finditer(text, start, start + most)]
            stop = ends[-1] if ends and ends[-1] > start + most // 2 else start + most
        piece = text[start:stop]
        if body := piece.strip():
            yield start + len(piece) - len(piece.lstrip()), body
        start = stop
