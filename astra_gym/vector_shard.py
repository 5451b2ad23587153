"""Some of a vector env's episodes, stepped one after the other: in this process, or in one of its worker processes.

Follows `gymnasium.vector.SyncVectorEnv` in when an env is reset and where the last observation goes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any

from gymnasium.vector import AutoresetMode

from astra_gym.env import ToolEnv
from astra_gym.episode import Episode
from astra_gym.types import ToolEnvSpec

COLUMNS: dict[str, Callable[[Episode], Any]] = {
    "turn": lambda episode: len(episode.actions),
    "calls": lambda episode: episode.calls,
    "invalid_calls": lambda episode: episode.verifier.invalid_calls,
    "needed": lambda episode: episode.verifier.needed,
    "solved": lambda episode: episode.verifier.solved,
    "breakdown": lambda episode: episode.breakdown,
    "edges": lambda episode: episode.verifier.edges,
    "messages": lambda episode: episode.messages(),
}
"""Entries that `ToolEnv`'s info always has, by key."""
FAULT_COLUMNS: dict[str, Callable[[Episode], Any]] = {
    "faults": lambda episode: len(episode.faults),
    "fault_calls": lambda episode: list(episode.faults),
}
"""Entries that it has besides when faults are injected."""
COUNTS = frozenset({"turn", "calls", "invalid_calls", "needed", "faults"})
"""Those that are integers."""
ENDINGS = frozenset({"stop_reason", "final_answer_correct", "infrastructure_error", "nondeterministic"})
"""Entries that it has only at the end of an episode."""


@dataclass(slots=True)
class Batch:
    """What the envs of a shard give back, in their order."""

    observations: list[str]
    rewards: list[float]
    terminations: list[bool]
    truncations: list[bool]
    columns: dict[str, list[Any]]
    """Info entries of every env."""
    sparse: dict[int, dict[str, Any]] = field(default_factory=dict)
    """Info entries of single envs, by their index in the shard."""

    @staticmethod
    def joined(batches: Sequence[Batch]) -> Batch:
        """The batches as one, the envs numbered through."""
        starts = accumulate((len(batch.observations) for batch in batches), initial=0)
        return Batch(
            [x for batch in batches for x in batch.observations],
            [x for batch in batches for x in batch.rewards],
            [x for batch in batches for x in batch.terminations],
            [x for batch in batches for x in batch.truncations],
            {key: [x for batch in batches for x in batch.columns[key]] for key in batches[0].columns},
            {
                start + i: entry
                for start, batch in zip(starts, batches, strict=False)
                for i, entry in batch.sparse.items()
            },
        )


class Shard:
    """`count` envs of one record. `reset` and `step` do to all of them what the vector env is asked to."""

    def __init__(
        self, spec: ToolEnvSpec, count: int, options: Mapping[str, Any], info_keys: Sequence[str], mode: AutoresetMode
    ) -> None:
        self._envs = [ToolEnv(spec, **{**options, "require_certificate": False}) for _ in range(count)]
        columns = COLUMNS | FAULT_COLUMNS
        self._columns = {key: columns[key] for key in info_keys if key in columns}
        self._endings = ENDINGS.intersection(info_keys)
        self._mode = mode
        self._observations = [""] * count
        self._ended = [True] * count

    def reset(self, seeds: Sequence[int | None], mask: Sequence[bool]) -> Batch:
        """Reset the envs whose `mask` is set; the others keep their observation."""
        for index, (env, seed, chosen) in enumerate(zip(self._envs, seeds, mask, strict=True)):
            if chosen:
                self._reset(index, env, seed)
        zeros, falses = [0.0] * len(self._envs), [False] * len(self._envs)
        return self._batch(zeros, falses, falses, {})

    def step(self, actions: Sequence[str]) -> Batch:
        """One turn in every env, or its reset where the mode says so."""
        rewards, terminations, truncations = [0.0] * len(actions), [False] * len(actions), [False] * len(actions)
        finals: dict[int, dict[str, Any]] = {}
        for index, (env, action) in enumerate(zip(self._envs, actions, strict=True)):
            if self._ended[index] and self._mode is AutoresetMode.NEXT_STEP:
                self._reset(index, env, None)
                continue
            observation, rewards[index], terminated, truncated = env.advance(action)
            self._observations[index] = observation
            terminations[index], truncations[index] = terminated, truncated
            if terminated or truncated:
                self._ended[index] = True
                if self._mode is AutoresetMode.SAME_STEP:
                    finals[index] = {"final_obs": observation, "final_info": self._info(env.episode)}
                    self._reset(index, env, None)
        return self._batch(rewards, terminations, truncations, finals)

    def begin_after_fault(self, seeds: Sequence[int], reason: str) -> Batch:
        """Take over from a shard that was lost: every episode is reported as truncated by the fault."""
        for index, (env, seed) in enumerate(zip(self._envs, seeds, strict=True)):
            self._reset(index, env, seed)
        falses = [False] * len(seeds)
        batch = self._batch([0.0] * len(seeds), falses, [True] * len(seeds), {})
        fault = {"stop_reason": "infrastructure_error", "final_answer_correct": False, "infrastructure_error": reason}
        ending = {key: value for key, value in fault.items() if key in self._endings}
        if self._mode is AutoresetMode.SAME_STEP:
            info = [self._info(env.episode) | ending for env in self._envs]
            batch.sparse = {i: {"final_obs": "", "final_info": info[i]} for i in range(len(seeds))}
        else:
            batch.observations, self._ended = [""] * len(seeds), [True] * len(seeds)
            batch.sparse = {index: dict(ending) for index in range(len(seeds))}
        return batch

    def call(self, name: str, *args: Any, **kwargs: Any) -> list[Any]:
        """A method's results, or an attribute, of each env."""
        found = [getattr(env, name) for env in self._envs]
        return [value(*args, **kwargs) if callable(value) else value for value in found]

    def close(self) -> None:
        for env in self._envs:
            env.close()

    def _reset(self, index: int, env: ToolEnv, seed: int | None) -> None:
        self._observations[index], _ = env.reset(seed=seed)
        self._ended[index] = False

    def _batch(
        self,
        rewards: list[float],
        terminations: list[bool],
        truncations: list[bool],
        sparse: dict[int, dict[str, Any]],
    ) -> Batch:
        episodes = [env.episode for env in self._envs]
        columns = {key: [read(episode) for episode in episodes] for key, read in self._columns.items()}
        for index, episode in enumerate(episodes):
            if episode.ending and (shown := self._endings & episode.ending.keys()):
                sparse.setdefault(index, {}).update((key, episode.ending[key]) for key in shown)
        return Batch(list(self._observations), rewards, terminations, truncations, columns, sparse)

    def _info(self, episode: Episode) -> dict[str, Any]:
        ending = {key: value for key, value in episode.ending.items() if key in self._endings}
        return {key: read(episode) for key, read in self._columns.items()} | ending
