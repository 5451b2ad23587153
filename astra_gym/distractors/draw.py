"""Which candidates an env takes, in the order in which they come, and why others are refused.

Refused is what has a name, a description or a source that the env has already (renaming would change the document that
the band is about, and there are enough others), what the env's library would change, a document in which an answer
stands, and what gives an answer away when it is called (`solvable.py`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Literal

from astra_gym.distractors.bands import Band
from astra_gym.distractors.pool import PoolTool, ToolPool, library_names
from astra_gym.distractors.solvable import GoldRun, leaks_an_answer, solving
from astra_gym.sandbox import IsolatedRunner
from astra_gym.types import ToolEnvSpec

Likeness = Band | Literal["random"]
"""The band that a tool was drawn from; "random" when bands were not asked."""


class Draw:
    """What has been drawn for one env so far."""

    def __init__(self, spec: ToolEnvSpec, pool: ToolPool, runner: IsolatedRunner) -> None:
        self.spec = spec
        self.taken: list[PoolTool] = []
        self.bands: dict[str, Likeness] = {}
        self.refused: Counter[str] = Counter()
        self._pool = pool
        self._runner = runner
        self._names = {tool.name for tool in spec.tools}
        self._texts = {tool.description for tool in spec.tools} | {tool.source for tool in spec.tools}
        self._library = library_names(spec)
        self._gold: GoldRun | None = None

    def take(self, wanted: dict[Likeness, tuple[Iterator[int], int]]) -> None:
        """Take from each band the first so many candidates that are not refused; the bands share a run of the sandbox.

        Args:
            wanted: pool numbers in the order to try, and how many to take; used up.
        """
        while batch := self._next(wanted):
            self._gold = self._gold or GoldRun.of(self.spec, self._runner)
            reasons = solving(self._gold, [candidate for _, candidate in batch], self._runner)
            for band, candidate in batch:
                name = candidate.tool.name
                if name in reasons:
                    self.refused["answers" if reasons[name].startswith("answers") else "cannot be run"] += 1
                    self._names.remove(name)
                else:
                    self.bands[name] = band
                    self.taken.append(candidate)
                    wanted[band] = (wanted[band][0], wanted[band][1] - 1)

    def _next(self, wanted: dict[Likeness, tuple[Iterator[int], int]]) -> list[tuple[Likeness, PoolTool]]:
        """For each band as many candidates as it still lacks, as far as there are any, with their names reserved."""
        batch: list[tuple[Likeness, PoolTool]] = []
        for band, (numbers, lacking) in wanted.items():
            for number in numbers if lacking else ():
                candidate = self._pool.tools[number]
                if reason := self._reason(candidate):
                    self.refused[reason] += 1
                    continue
                self._names.add(candidate.tool.name)
                batch.append((band, candidate))
                lacking -= 1
                if not lacking:
                    break
        return batch

    def _reason(self, candidate: PoolTool) -> str | None:
        """Why a candidate cannot stand beside the tools that are there, if that shows without running it."""
        if candidate.tool.name in self._names:
            return "name"
        if candidate.tool.description in self._texts or candidate.written in self._texts:
            return "same tool"
        if candidate.free_names & self._library:
            return "library"
        return "leak" if leaks_an_answer(self.spec, candidate) else None
