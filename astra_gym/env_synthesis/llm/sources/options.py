"""What a user sets for a source: depth, repeats, the mix of shapes, terms. Data alone; `reading.py` applies it."""

from __future__ import annotations

from typing import NamedTuple

from pydantic import Field, model_validator

from astra_gym.env_synthesis.llm.items import NO_LICENSE, Language, Mode
from astra_gym.records import Record
from astra_gym.types import ScenarioType


class HopRange(NamedTuple):
    """Bounds of the longest chain of dependencies."""

    low: int
    high: int


HOP_DEFAULTS: dict[Mode, HopRange] = {
    "corpus": HopRange(3, 5),
    "domain": HopRange(3, 5),
    "context": HopRange(3, 5),
    "question": HopRange(1, 10),
    "taxonomy": HopRange(2, 2),
    "augment": HopRange(3, 10),
    "given": HopRange(1, 20),
}
"""What is asked for where the user says nothing. A given question is as deep as it is."""
SWEPT: frozenset[Mode] = frozenset({"corpus", "domain"})
"""Modes that ask once for each hop value in the range; the others ask once, for a value in the range."""


class SourceOptions(Record):
    """Options of a source. Every item depends on these and on its own content only."""

    domain: str | None = None
    """For inputs that name none; in mode `domain` without a file, the one domain."""
    language: Language = "en"
    """Of rows that do not say otherwise (`"language": "zh"`)."""
    min_hops: int | None = Field(default=None, ge=1)
    """Least length of the longest chain; None: the mode's own (`HOP_DEFAULTS`)."""
    max_hops: int | None = Field(default=None, ge=1)
    repeats: int = Field(default=1, ge=1)
    """Requests for each content (and hop value, in modes that sweep)."""
    scenarios: dict[ScenarioType, float] = Field(default_factory=dict)
    """Weights of the shapes asked for, drawn by each item's content; empty leaves the shape to the writer."""
    grounded: bool | None = None
    """Whether answers must stand in the knowledge; None: in mode `corpus` only."""
    chunk_chars: int = Field(default=4000, ge=200)
    """Documents: most characters of one chunk."""
    mask_examples: float = Field(default=0.0, ge=0, le=1)
    """Taxonomy: share of the leaves whose examples the writer does not see, drawn by content."""
    seed: int = 0
    """Another seed draws other shapes and masks other examples."""
    license: str = Field(default=NO_LICENSE, min_length=1)
    """SPDX identifier of the licence under which the input, and what is made of it, may be used: the user's to say."""
    attribution: str = ""
    """Whom that licence asks to be named."""

    @model_validator(mode="after")
    def _check(self) -> SourceOptions:
        if self.min_hops is not None and self.max_hops is not None and self.min_hops > self.max_hops:
            raise ValueError(f"min_hops {self.min_hops} is above max_hops {self.max_hops}")
        if odd := {name: weight for name, weight in self.scenarios.items() if not 0 <= weight < float("inf")}:
            raise ValueError(f"weights of scenarios must be finite and not negative, found {odd}")
        if self.scenarios and not any(self.scenarios.values()):
            raise ValueError(f"some scenario needs a weight above 0, found {self.scenarios}")
        return self

    def hops(self, mode: Mode) -> HopRange:
        """The range in force for `mode`: the user's bounds, the mode's own where the user says nothing."""
        default = HOP_DEFAULTS[mode]
        low = default.low if self.min_hops is None else self.min_hops
        high = default.high if self.max_hops is None else self.max_hops
        if self.min_hops is None:
            low = min(low, high)
        return HopRange(low, max(low, high))
