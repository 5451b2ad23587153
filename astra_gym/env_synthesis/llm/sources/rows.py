"""Rows with a domain, a corpus or a question: a JSON object a line, or plain text, a domain or a question a line."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import orjson
from pydantic import ConfigDict, ValidationError

from astra_gym.env_synthesis.llm.items import Language, Origin
from astra_gym.env_synthesis.llm.sources.contents import Content, told, unread
from astra_gym.env_synthesis.llm.sources.documents import SUFFIXES, chunks, read_documents
from astra_gym.env_synthesis.llm.sources.lines import TextLine, text_lines
from astra_gym.env_synthesis.llm.sources.options import SourceOptions
from astra_gym.records import Record
from astra_gym.types import Rejected

Reader = Callable[[Path, SourceOptions], Iterator[Content | Rejected]]


class _Row(Record):
    """A row may hold more than is read from it."""

    model_config = ConfigDict(extra="ignore", strict=True)

    domain: str | None = None
    language: Language | None = None


class CorpusRow(_Row):
    knowledge_corpus: str


class QuestionRow(_Row):
    question: str


class DomainRow(_Row):
    domain: str


class RowError(ValueError):
    """A row that reads well but says too little; the message says what is missing and what would do."""


def read_corpora(path: Path, options: SourceOptions) -> Iterator[Content | Rejected]:
    """Modes `corpus` and `context`: rows {domain, knowledge_corpus}, or documents in chunks."""
    if path.is_dir() or path.suffix.lower() in SUFFIXES:
        yield from _read_documents(path, options)
        return

    def content(line: TextLine, origin: Origin) -> Content:
        row = CorpusRow.model_validate(_object(line.text))
        knowledge = row.knowledge_corpus.strip()
        if not knowledge:
            raise RowError("`knowledge_corpus` is empty; mode 'domain' asks without a corpus")
        return Content(_domain(row, options), row.language or options.language, origin, knowledge=knowledge)

    yield from _each_line(path, content)


def read_domains(path: Path, options: SourceOptions) -> Iterator[Content | Rejected]:
    """Mode `domain`: rows {domain}, or plain text with a domain a line."""

    def content(line: TextLine, origin: Origin) -> Content:
        if path.suffix.lower() in SUFFIXES:
            return Content(line.text.strip(), options.language, origin)
        row = DomainRow.model_validate(_object(line.text))
        return Content(_domain(row, options), row.language or options.language, origin)

    yield from _each_line(path, content)


def read_questions(path: Path, options: SourceOptions) -> Iterator[Content | Rejected]:
    """Mode `question`: rows {question, domain}, or plain text with a question a line."""

    def content(line: TextLine, origin: Origin) -> Content:
        if path.suffix.lower() in SUFFIXES:
            row = QuestionRow(question=line.text, domain=options.domain or "general")
        else:
            row = QuestionRow.model_validate(_object(line.text))
        question = row.question.strip()
        if not any(letter.isalnum() for letter in question):
            raise RowError(f"a question needs words, found {question!r}")
        return Content(_domain(row, options), row.language or options.language, origin, question=question)

    yield from _each_line(path, content)


def _read_documents(path: Path, options: SourceOptions) -> Iterator[Content | Rejected]:
    for document in read_documents(path):
        if document.problem is not None:
            yield unread(document.file, None, document.problem, document.content)
            continue
        for chunk in chunks(document.text, options.chunk_chars):
            origin = Origin(
                file=document.file, line=chunk.line, offset=chunk.offset, length=len(chunk.text), heading=chunk.heading
            )
            domain = options.domain or Path(document.file).stem
            yield Content(domain, options.language, origin, knowledge=chunk.text)


def _each_line(path: Path, content: Callable[[TextLine, Origin], Content]) -> Iterator[Content | Rejected]:
    for line in text_lines(path):
        if line.problem is not None:
            yield unread(path.name, line.number, line.problem, line.digest)
            continue
        try:
            yield content(line, Origin(file=path.name, line=line.number))
        except ValidationError as error:
            yield unread(path.name, line.number, f"{told(error)}{_fields(line.text)}", line.text.encode())
        except RowError as error:
            yield unread(path.name, line.number, str(error), line.text.encode())


def _object(text: str) -> object:
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise RowError(f"expected a JSON object, found {text.strip()[:60]!r} ({error})") from None
    if not isinstance(found, dict):
        raise RowError(f"expected a JSON object, found {text.strip()[:60]!r}")
    return found


def _fields(text: str) -> str:
    return f"; the row has the fields {sorted(orjson.loads(text))}" if text.lstrip().startswith("{") else ""


def _domain(row: _Row, options: SourceOptions) -> str:
    if domain := (row.domain or options.domain or "").strip():
        return domain
    raise RowError("no `domain`; name it in the row, or for all rows with --domain")
