"""One item of a synthesis run: what the writer is asked to make a question from, and in which bounds.

Where items come from is decided in `sources/`; what becomes of one in the stages. An item's id depends on its content
alone: not on its line, on the items beside it or on the machine, so that a run resumes by it.
"""

from __future__ import annotations

import hashlib
import re
from typing import Literal, TypeAlias

from pydantic import Field, model_validator

from astra_gym.env_synthesis.sources.jsonl import slug
from astra_gym.records import JSON, Record, content_hash
from astra_gym.types import Decomposition, ScenarioType, ToolEnvSpec

Mode: TypeAlias = Literal["corpus", "domain", "context", "question", "taxonomy", "augment", "given"]
Language: TypeAlias = Literal["en", "zh"]
_HASH_DIGITS = 12
_SLUG_CHARS = 32
_NOT_CONTENT = frozenset({"id", "origin", "license", "attribution"})
NO_LICENSE = "NOASSERTION"
"""SPDX for: nothing is said of the licence."""


class Origin(Record):
    """Where an item's text stands, so that it can be found again, relative to what the user named."""

    file: str
    line: int | None = None
    """Line, from 1, of a row or question, or at which a chunk of a document begins."""
    offset: int | None = None
    """Of a chunk of a document: its first character, from 0."""
    length: int | None = None
    """Of a chunk: its characters, so that `text[offset : offset + length]` is the item's knowledge."""
    heading: str = ""
    """Of a chunk: the headings above it, outermost first, between " > "."""


class LlmItem(Record):
    """One request for an environment. Holds: the fields its mode needs, and 1 <= min_hops <= max_hops."""

    id: str
    mode: Mode
    domain: str
    language: Language = "en"
    knowledge: str = ""
    """Text that the question is about: a corpus, a context, a leaf of a taxonomy. Empty in mode `domain`."""
    grounded: bool = False
    """Whether the answers must stand in `knowledge`; else the writer may invent plausible ones."""
    question: str = ""
    """Mode `question`: what is to be decomposed, word for word."""
    examples: tuple[str, ...] = ()
    """Mode `taxonomy`: questions of the kind asked for."""
    min_hops: int = Field(default=1, ge=1)
    """Bounds of the longest chain of dependencies (`Decomposition.hops`); equal when one value is asked for."""
    max_hops: int = Field(default=10, ge=1)
    scenario: ScenarioType | None = None
    """The shape asked for; None leaves it to the writer."""
    repeat: int = Field(default=0, ge=0)
    """The how-manieth request of the same content; the sample index of the writer's request."""
    tool_spec: ToolEnvSpec | None = None
    """Mode `augment`: the env whose tools get a new question. Mode `given`: the env of the decomposition, if any."""
    decomposition: Decomposition | None = None
    """Mode `given`: the decomposition already made."""
    answer_from: str = ""
    """Mode `given`: the final answer as an expression over ids; "" leaves it to the entailment judge."""
    origin: Origin | None = None
    license: str = NO_LICENSE
    """SPDX identifier of the licence of what is made of the item. An env whose tools are reused keeps its own."""
    attribution: str = ""
    """Whom that licence asks to be named."""

    @model_validator(mode="after")
    def _check(self) -> LlmItem:
        if self.min_hops > self.max_hops:
            raise ValueError(f"{self.id}: min_hops {self.min_hops} is above max_hops {self.max_hops}")
        if not self.domain.strip():
            raise ValueError(f"{self.id}: an item needs a domain")
        if missing := [name for name in _NEEDED[self.mode] if not getattr(self, name)]:
            raise ValueError(f"{self.id}: mode {self.mode!r} needs {missing}")
        if self.grounded and not self.knowledge:
            raise ValueError(f"{self.id}: grounded answers need knowledge to stand in")
        return self

    @classmethod
    def make(cls, mode: Mode, **fields: JSON) -> LlmItem:
        """An item with the id of its content.

        Raises: pydantic's ValidationError when the fields do not make an item of `mode`.
        """
        draft = cls(id="new", mode=mode, **fields)
        return draft.model_copy(update={"id": draft.content_id()})

    def content_id(self) -> str:
        """`<mode>-<domain>-<12 hex digits>`; the digits are of everything but the id, the origin and its terms."""
        content = self.model_dump(mode="json", exclude=set(_NOT_CONTENT | {"tool_spec"}), exclude_defaults=True)
        content["tools"] = None if self.tool_spec is None else self.tool_spec.content_hash()
        digits = content_hash(content).removeprefix("sha256:")[:_HASH_DIGITS]
        name = slug(self.domain)[:_SLUG_CHARS].strip("-")
        return "-".join(part for part in (self.mode, name, digits) if part)


_NEEDED: dict[Mode, tuple[str, ...]] = {
    "corpus": ("knowledge",),
    "domain": (),
    "context": ("knowledge",),
    "question": ("question",),
    "taxonomy": ("knowledge",),
    "augment": ("tool_spec",),
    "given": ("decomposition",),
}
_PLAIN_NAME = re.compile(r"[^A-Za-z0-9_.-]+")


def unread_id(file: str, content: bytes) -> str:
    """The id of an input that is no item: of the file's name and the bytes that stand there, not of their place."""
    digits = hashlib.sha256(file.encode() + b"\0" + content).hexdigest()[:_HASH_DIGITS]
    return f"unread-{_PLAIN_NAME.sub('-', file).strip('-.')[-_SLUG_CHARS:]}-{digits}"
