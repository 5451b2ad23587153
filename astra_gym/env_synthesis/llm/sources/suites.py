"""What exists already: envs whose tools get new questions (`augment`), and decompositions already made (`given`)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import orjson
from pydantic import ValidationError

from astra_gym.env_synthesis.llm.items import Language, Origin
from astra_gym.env_synthesis.llm.sources.contents import Content, told, unread
from astra_gym.env_synthesis.llm.sources.lines import text_lines
from astra_gym.env_synthesis.llm.sources.options import SourceOptions
from astra_gym.errors import PipelineError
from astra_gym.records import JSON
from astra_gym.suite import open_suite
from astra_gym.suite.stores import IGNORED_FILES, MAX_LINE_BYTES
from astra_gym.types import Decomposition, Rejected, ToolEnvSpec

_LANGUAGES: tuple[str, ...] = get_args(Language)


def read_envs(path: Path, options: SourceOptions) -> Iterator[Content | Rejected]:
    """Mode `augment`: the certified envs of a suite. What cannot be loaded comes last.

    Raises: SuiteError when `path` holds no suite.
    """
    suite = open_suite(path, skip_bad=True)
    for spec in suite:
        line = suite.where(spec.id).rpartition(":")[2]
        origin = Origin(file=path.name, line=int(line) if line.isdigit() else None)
        language: Language = "zh" if spec.language == "zh" else "en"
        yield Content(spec.domain or options.domain or "general", language, origin, tool_spec=spec)
    for skipped in suite.skipped:
        yield unread(path.name, skipped.line, skipped.reason, skipped.reason.encode())


def read_given(path: Path, options: SourceOptions) -> Iterator[Content | Rejected]:
    """Mode `given`: records of `Decomposition` or `ToolEnvSpec`, a JSON object a line or a file of a folder.

    Beside the fields of those a record may hold `answer_from`.
    """
    if path.is_dir():
        for file in sorted(path.glob("*.json")):
            if file.name not in IGNORED_FILES:
                yield _given(_content(file), file.name, None, options)
        return
    for line in text_lines(path, MAX_LINE_BYTES):
        if line.problem is not None:
            yield unread(path.name, line.number, line.problem, line.digest)
        else:
            yield _given(line.text.encode(), path.name, line.number, options)


def _content(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise PipelineError(f"{file}: cannot be read: {error.strerror or error}") from error


def _given(raw: bytes, file: str, line: int | None, options: SourceOptions) -> Content | Rejected:
    try:
        record = orjson.loads(raw)
        if not isinstance(record, dict):
            return unread(file, line, f"expected a JSON object, found {raw[:60].decode(errors='replace')!r}", raw)
        answer_from = record.pop("answer_from", "")
        if not isinstance(answer_from, str):
            return unread(file, line, f"`answer_from` must be a text, found {answer_from!r:.60}", raw)
        spec, decomposition = _parse(record)
    except orjson.JSONDecodeError as error:
        return unread(file, line, f"expected a JSON object, found {raw[:60].decode(errors='replace')!r} ({error})", raw)
    except ValidationError as error:
        return unread(file, line, f"no decomposition: {told(error)}", raw)
    if decomposition.language not in _LANGUAGES:
        problem = f"language {decomposition.language!r}; expected one of {list(_LANGUAGES)}"
        return unread(file, line, problem, raw)
    return Content(
        decomposition.domain or options.domain or "general",
        "zh" if decomposition.language == "zh" else "en",
        Origin(file=file, line=line),
        tool_spec=spec,
        decomposition=decomposition,
        answer_from=answer_from,
    )


def _parse(record: dict[str, JSON]) -> tuple[ToolEnvSpec | None, Decomposition]:
    if "tools" not in record:
        return None, Decomposition.model_validate(record)
    spec = ToolEnvSpec.model_validate(record)
    return spec, decomposition_of(spec)


def decomposition_of(spec: ToolEnvSpec) -> Decomposition:
    """The decomposition of an env, gold calls included, without its tools."""
    return Decomposition(**{name: getattr(spec, name) for name in Decomposition.model_fields})
