"""Taxonomies: nested JSON whose leaves describe a kind of question and give examples of it.

A leaf is an object with `description` (a text) or `examples` (a list of {"query": text}); everything above it is a path
of names, which becomes the domain.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import orjson
from pydantic import ConfigDict, Field, ValidationError

from astra_gym.env_synthesis.llm.items import Origin
from astra_gym.env_synthesis.llm.sources.contents import Content, told, unread
from astra_gym.env_synthesis.llm.sources.documents import MAX_DOCUMENT_BYTES
from astra_gym.env_synthesis.llm.sources.lines import binary_problem, decoding_problem
from astra_gym.env_synthesis.llm.sources.options import SourceOptions
from astra_gym.errors import PipelineError
from astra_gym.records import JSON, Record, canonical_json
from astra_gym.suite.stores import UTF8_BOM
from astra_gym.types import Rejected

_MARKS = frozenset({"description", "examples"})
_MOST_LEVELS = 32


class Example(Record):
    model_config = ConfigDict(extra="ignore", strict=True)

    query: str = Field(min_length=1)


class Leaf(Record):
    """A kind of question."""

    model_config = ConfigDict(extra="ignore", strict=True)

    description: str = Field(min_length=1)
    examples: list[Example] = Field(default_factory=list)


def read_taxonomy(path: Path, options: SourceOptions) -> Iterator[Content | Rejected]:
    """The leaves of a taxonomy, or of every `.json` file of a folder, in order. A leaf that is none is `Rejected`.

    Raises: PipelineError when the file cannot be read.
    """
    files = sorted(path.rglob("*.json")) if path.is_dir() else [path]
    for file in files:
        name = file.relative_to(path).as_posix() if path.is_dir() else path.name
        yield from _read_file(file, name, options)


def _read_file(file: Path, name: str, options: SourceOptions) -> Iterator[Content | Rejected]:
    try:
        with file.open("rb") as stream:
            content = stream.read(MAX_DOCUMENT_BYTES + 1).removeprefix(UTF8_BOM)
    except OSError as error:
        raise PipelineError(f"{file}: cannot be read: {error.strerror or error}") from error
    problem = binary_problem(content[:4096]) or decoding_problem(content)
    if problem is None and len(content) > MAX_DOCUMENT_BYTES:
        problem = f"more than {MAX_DOCUMENT_BYTES >> 20} MB; split it"
    try:
        tree = None if problem else orjson.loads(content)
    except orjson.JSONDecodeError as error:
        problem = f"not JSON: {error}"
    if problem is not None:
        yield unread(name, None, problem, content)
        return
    yield from _leaves(tree, (), name, options)


def _leaves(node: JSON, path: tuple[str, ...], file: str, options: SourceOptions) -> Iterator[Content | Rejected]:
    where = "/" + "/".join(path)
    if not isinstance(node, dict) or not node or len(path) > _MOST_LEVELS:
        found = "nothing" if node in ({}, None) else f"{canonical_json(node).decode():.60}"
        problem = f"expected an object of further levels, or a leaf with `description` and `examples`, found {found}"
        yield unread(file, where, problem, canonical_json([list(path), node]))
    elif _MARKS & node.keys() and not isinstance(node.get("description"), dict):
        yield _leaf(node, path, file, options)
    else:
        for key, child in node.items():
            yield from _leaves(child, (*path, key), file, options)


def _leaf(node: dict[str, JSON], path: tuple[str, ...], file: str, options: SourceOptions) -> Content | Rejected:
    where = "/" + "/".join(path)
    try:
        leaf = Leaf.model_validate(node)
    except ValidationError as error:
        problem = f"{told(error)}; the leaf has the fields {sorted(node)}"
        return unread(file, where, problem, canonical_json([list(path), node]))
    domain = "-".join(path) or options.domain
    if not domain:
        return unread(file, where, "a leaf at the top has no name; put it below one", canonical_json(node))
    return Content(
        domain,
        options.language,
        Origin(file=file, heading=" > ".join(path)),
        knowledge=leaf.description,
        examples=tuple(example.query for example in leaf.examples),
    )
