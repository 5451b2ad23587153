"""`Mixer`: a record with some tools of other envs among its own, drawn by band, seeded by its id.

Which candidates resemble the env's tools how much is said in `bands.py`, which of them are refused in `draw.py`.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field, ValidationError, field_validator

from astra_gym.distractors.bands import BANDS, LEVELS, Band, BandIndex
from astra_gym.distractors.draw import Draw, Likeness
from astra_gym.distractors.embedding import Embedding, resolve_embedding, tool_document
from astra_gym.distractors.pool import DistractorError, ToolPool
from astra_gym.records import JSON, Record
from astra_gym.sandbox import IsolatedRunner
from astra_gym.types import ToolEnvSpec, ToolFunction

Variant = Literal["none", "random", "banded"]


class Mixing(Record):
    """What is mixed in."""

    variant: Variant = "banded"
    """By band, as many of any likeness ("random"), or nothing: the three arms of the paper's ablation."""
    k: int = Field(default=3, ge=1, le=20)
    """Tools at most of each band; "random" draws k for each band named."""
    bands: tuple[Band, ...] = Field(default=BANDS, min_length=1)
    seed: int = 0
    embedding: str = "tfidf"
    """Which embedding the bands were made with."""

    @field_validator("bands")
    @classmethod
    def _most_alike_first(cls, bands: tuple[Band, ...]) -> tuple[Band, ...]:
        return tuple(band for band in BANDS if band in bands)

    @classmethod
    def of(cls, **options: Any) -> Self:
        """The settings with these fields. Raises: DistractorError naming the one that is wrong."""
        try:
            return cls.model_validate(options)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            where = ".".join(map(str, first["loc"])) or "options"
            raise DistractorError(f"distractors: {where}: {first['msg']}, found {first['input']!r}") from None

    @property
    def tag(self) -> str:
        """What the id of a mixed env has in front of its version: "d3hml", "r9" and the seed when it is not 0."""
        initials = "".join(band[0] for band in self.bands)
        tag = f"d{self.k}{initials}" if self.variant == "banded" else f"r{self.k * len(self.bands)}"
        return f"{tag}s{self.seed}" if self.seed else tag


@dataclass(frozen=True, slots=True)
class Mixed:
    """A record with distractors, without a certificate, and what was drawn."""

    spec: ToolEnvSpec
    bands: dict[str, Likeness]
    """By the name of the tool that was mixed in; empty when the record is the one that was given."""
    refused: Counter[str] = field(default_factory=Counter)
    """Candidates that were drawn and refused, by reason."""


class Mixer:
    """Mixes tools of one pool into records. Holds a sandbox worker: use as a context manager, or call `close`.

    Copies (pickles) start with a worker of their own.
    """

    def __init__(self, pool: ToolPool, mixing: Mixing | None = None, *, embedding: Embedding | None = None) -> None:
        """
        Args:
            embedding: what embeds the tool documents, when `mixing.embedding` is not a name to resolve.

        Raises: MissingExtraError, ModelError as `resolve_embedding`.
        """
        self.pool = pool
        self.mixing = mixing or Mixing()
        self._bands: BandIndex | None = None
        if self.mixing.variant == "banded":
            embed = embedding or resolve_embedding(self.mixing.embedding)
            self._bands = BandIndex(embed([tool_document(tool.tool) for tool in pool.tools]))
        self._other_domains: dict[str, npt.NDArray[np.bool_]] = {}
        self._runner: IsolatedRunner | None = None

    def __getstate__(self) -> dict[str, object]:
        return self.__dict__ | {"_runner": None}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """End the worker; the next `mix` starts another."""
        if self._runner is not None:
            self._runner.close()
            self._runner = None

    def mix(self, spec: ToolEnvSpec) -> Mixed:
        """`spec` among distractors. The same pool, settings and record give the same bytes, in every process.

        A record for which there is no candidate comes back as it is.

        Raises: DistractorError when the record does not suit; SandboxError when its own tools cannot be run.
        """
        if spec.distractor_band != "none":
            raise DistractorError(f"{spec.id}: has distractors already; mix from the suite as it was without")
        if self.mixing.variant == "none":
            return Mixed(spec, {})
        self._runner = self._runner or IsolatedRunner()
        draw = Draw(spec, self.pool, self._runner)
        wanted: dict[Likeness, tuple[Iterator[int], int]] = {}
        for band, numbers in self._candidates(spec):
            count = self.mixing.k if band != "random" else self.mixing.k * len(self.mixing.bands)
            wanted[band] = (_shuffled(numbers, self._rng(spec, band)), count)
        draw.take(wanted)
        if not draw.taken:
            return Mixed(spec, {}, draw.refused)
        return Mixed(self._put_in(spec, draw), dict(draw.bands), draw.refused)

    def _rng(self, spec: ToolEnvSpec, purpose: str) -> random.Random:
        return random.Random(f"{self.mixing.seed}|{spec.id}|{purpose}")

    def _candidates(self, spec: ToolEnvSpec) -> Iterator[tuple[Likeness, npt.NDArray[np.intp]]]:
        """Pool numbers of the candidates by band, those of the env's own domain left out."""
        elsewhere = self._elsewhere(spec.domain)
        if self._bands is None:
            yield "random", np.flatnonzero(elsewhere)
            return
        levels = self._bands.of(self.pool.numbers(spec))
        for band in self.mixing.bands:
            yield band, np.flatnonzero(elsewhere & (levels == LEVELS[band]))

    def _elsewhere(self, domain: str) -> npt.NDArray[np.bool_]:
        """Which tools of the pool no env of this domain has."""
        if domain not in self._other_domains:
            self._other_domains[domain] = np.array([domain not in tool.domains for tool in self.pool.tools])
        return self._other_domains[domain]

    def _put_in(self, spec: ToolEnvSpec, draw: Draw) -> ToolEnvSpec:
        """The record with the tools that were drawn at random places among its own."""
        rng = self._rng(spec, "places")
        tools: list[ToolFunction] = list(spec.tools)
        for taken in draw.taken:
            tools.insert(rng.randint(0, len(tools)), taken.tool)
        data: dict[str, JSON] = dict(spec.data)
        for taken in draw.taken:
            data |= {name: table for name, table in taken.data.items() if name not in data}
        stem, _, version = spec.id.rpartition("-")
        mixed = spec.model_copy(
            update={
                "id": f"{stem}-{self.mixing.tag}-{version}",
                "tools": tuple(tools),
                "data": data,
                "certificate": None,
                "provenance": self._provenance(spec, draw),
            }
        )
        return ToolEnvSpec.model_validate(mixed.to_json())

    def _provenance(self, spec: ToolEnvSpec, draw: Draw) -> object:
        """As it was, with what was mixed in and the licences of where it comes from."""
        band = next(band for band in ("random", *BANDS) if band in draw.bands.values())
        note = {
            "of": spec.id,
            "band": band,
            **self.mixing.model_dump(mode="json", exclude={"embedding"} if self._bands is None else None),
            "tools": {taken.tool.name: [draw.bands[taken.tool.name], taken.origin] for taken in draw.taken},
            "datasets": sorted({taken.dataset for taken in draw.taken}),
        }
        if draw.refused:
            note["refused"] = dict(sorted(draw.refused.items()))
        own = spec.provenance
        license = _all_of([own.license, *sorted(taken.license for taken in draw.taken)])
        return own.model_copy(update={"license": license, "details": {**own.details, "distractors": note}})


def _shuffled(numbers: npt.NDArray[np.intp], rng: random.Random) -> Iterator[int]:
    """The numbers in random order, drawn as they are asked for: most never are."""
    for place in range(len(numbers)):
        other = rng.randrange(place, len(numbers))
        numbers[[place, other]] = numbers[[other, place]]
        yield int(numbers[place])


def _all_of(licenses: Sequence[str]) -> str:
    """The SPDX expression for content under all of these licences."""
    parts: dict[str, None] = {}
    for one in licenses:
        parts |= dict.fromkeys([one] if "(" in one or " OR " in one else one.split(" AND "))
    alone = len(parts) == 1
    return " AND ".join(part if alone or " OR " not in part or part.startswith("(") else f"({part})" for part in parts)
