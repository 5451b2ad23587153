"""What an input holds before it is known how often and how deep it is asked about; and what could not be read."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import ValidationError

from astra_gym.env_synthesis.llm.items import Language, Origin, unread_id
from astra_gym.records import JSON
from astra_gym.types import Decomposition, Rejected, ToolEnvSpec

STAGE = "read"
_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Content:
    """One row, chunk, question, leaf, env or decomposition. The fields are those of `LlmItem`."""

    domain: str
    language: Language
    origin: Origin
    knowledge: str = ""
    question: str = ""
    examples: tuple[str, ...] = ()
    tool_spec: ToolEnvSpec | None = None
    decomposition: Decomposition | None = None
    answer_from: str = ""


def unread(file: str, place: int | str | None, problem: str, content: bytes) -> Rejected:
    """An input that is no content, with its file and its line (or its place in a JSON document)."""
    where = file if place is None else f"{file}:{place}"
    evidence: dict[str, JSON] = {"file": file} if place is None else {"file": file, "at": place}
    return Rejected(id=unread_id(file, content), stage=STAGE, reason=f"{where}: {problem}", evidence=evidence)


def told(error: ValidationError) -> str:
    """A validation error in words: field, what is wrong, what was found."""
    problems = []
    for problem in error.errors(include_url=False)[:_SHOWN]:
        field = ".".join(str(step) for step in problem["loc"])
        found = "" if problem["type"] == "missing" else f", found {problem['input']!r:.60}"
        problems.append(f"{field + ': ' if field else ''}{problem['msg'].removeprefix('Value error, ')}{found}")
    more = error.error_count() - len(problems)
    return "; ".join(problems) + (f"; and {more} more" if more > 0 else "")
