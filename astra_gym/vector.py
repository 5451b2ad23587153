"""ToolVectorEnv: many episodes of one environment record at a time, spread over a few processes.

The vector env that `gymnasium.make_vec` makes by default; it behaves as `SyncVectorEnv` does with the same seeds.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias, cast

import numpy as np
import numpy.typing as npt
from gymnasium.error import ClosedEnvironmentError, ResetNeeded
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from astra_gym.env import ToolEnv
from astra_gym.spec_loading import load_spec
from astra_gym.types import ToolEnvSpec
from astra_gym.vector_shard import COLUMNS, COUNTS, ENDINGS, FAULT_COLUMNS, Batch, Shard
from astra_gym.vector_worker import ShardWorker, WorkerGoneError, request

Array: TypeAlias = npt.NDArray[Any]

ENVS_PER_WORKER = 16
"""A process is worth starting for so many envs."""
INFO_KEYS = ("turn", "calls", "invalid_calls", "needed", "solved", *sorted(ENDINGS))
ALL_INFO_KEYS = (*COLUMNS, *sorted(ENDINGS))


class ToolVectorEnv(VectorEnv[tuple[str, ...], Sequence[str], Array]):
    """`num_envs` episodes of one record: shapes are (num_envs,), observations a tuple of texts.

    A worker process that dies takes its episodes with it: they come back truncated with `infrastructure_error`, in a
    new process.
    """

    def __init__(
        self,
        spec: ToolEnvSpec | Mapping[str, Any] | str | Path,
        num_envs: int = 1,
        *,
        num_workers: int | None = None,
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        info_keys: Sequence[str] = INFO_KEYS,
        max_episode_steps: int | None = None,
        require_certificate: bool = True,
        **env_options: Any,
    ) -> None:
        """Make the envs.

        Args:
            spec: as for `ToolEnv`.
            num_workers: processes to spread the envs over; 0 steps them in this one. Default: one for each 16 envs, at
                most as many as there are processors.
            info_keys: which entries of `ToolEnv`'s info to collect; `ALL_INFO_KEYS` adds the messages, the breakdowns
                and the edges, which cost more than a step does. With injected faults theirs are added.
            max_episode_steps: what `gymnasium.make` would make a `TimeLimit` of; bounds `max_turns`.
            env_options: options of `ToolEnv`; no render_mode "human".

        Raises: SpecError, CertificateError, ValueError as `ToolEnv` does.
        """
        loaded = load_spec(spec, require_certificate=require_certificate)
        if unknown := sorted(set(info_keys) - {*ALL_INFO_KEYS, *FAULT_COLUMNS}):
            raise ValueError(f"info_keys: expected some of {list(ALL_INFO_KEYS)}, found {unknown}")
        if num_envs < 1:
            raise ValueError(f"num_envs must be at least 1, found {num_envs}")
        if max_episode_steps is not None:
            env_options["max_turns"] = min(max_episode_steps, env_options.get("max_turns") or loaded.max_turns)
        single = ToolEnv(loaded, **env_options, require_certificate=False)
        if single.faults is not None:
            info_keys = tuple(dict.fromkeys((*info_keys, *FAULT_COLUMNS)))
        if single.render_mode == "human":
            raise ValueError('render_mode "human" is for one env; "ansi" gives the transcript of each')
        self.num_envs = num_envs
        self.render_mode = single.render_mode
        self.metadata = {**single.metadata, "autoreset_mode": AutoresetMode(autoreset_mode)}
        self.single_action_space, self.single_observation_space = single.action_space, single.observation_space
        self.action_space = batch_space(single.action_space, num_envs)
        self.observation_space = batch_space(single.observation_space, num_envs)
        self._make_shard = _ShardMaker(loaded, env_options, info_keys, AutoresetMode(autoreset_mode))
        workers = _default_workers(num_envs) if num_workers is None else max(0, min(num_workers, num_envs))
        self._local = None if workers else self._make_shard.here(num_envs)
        self._parts = [slice(num_envs * i // workers, num_envs * (i + 1) // workers) for i in range(workers)]
        """Which envs stand in which worker process."""
        self._workers = [self._make_shard.apart(part.stop - part.start) for part in self._parts]
        self._finalizer = weakref.finalize(self, _close_all, self._workers)
        try:
            _checked([worker.answer() for worker in self._workers], gone=True)
        except BaseException:
            self._finalizer()
            raise
        self._all = [True] * num_envs
        self._begun = False

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[tuple[str, ...], dict[str, Any]]:
        """Begin an episode in each env.

        Args:
            seed: an int (env i gets seed + i), one for each env, or None.
            options: `{"reset_mask": bool array of shape (num_envs,)}` resets some envs only.

        Raises: SandboxError when the tools cannot be started.
        """
        self._check_open()
        mask = _reset_mask(options, self.num_envs)
        seeds = [seed + i for i in range(self.num_envs)] if isinstance(seed, int) else seed
        seeds = [None] * self.num_envs if seeds is None else list(seeds)
        if len(seeds) != self.num_envs:
            raise ValueError(f"expected {self.num_envs} seeds, found {len(seeds)}")
        super().reset(seed=seed if isinstance(seed, int) else None)
        batch = self._everywhere("reset", seeds, mask)
        self._begun = True
        return tuple(batch.observations), self._infos(batch, mask)

    def step(self, actions: Sequence[str]) -> tuple[tuple[str, ...], Array, Array, Array, dict[str, Any]]:
        """One assistant turn in each env: observations, rewards, terminations, truncations, infos."""
        self._check_open()
        if not self._begun:
            raise ResetNeeded("call reset() before step()")
        actions = list(actions)
        if len(actions) != self.num_envs:
            raise ValueError(f"expected {self.num_envs} actions, found {len(actions)}")
        for index, action in enumerate(actions):
            if not isinstance(action, str):
                raise TypeError(f"action {index} must be the assistant's text, found {type(action).__name__}")
        batch = self._everywhere("step", actions)
        return (
            tuple(batch.observations),
            np.array(batch.rewards, dtype=np.float64),
            np.array(batch.terminations, dtype=np.bool_),
            np.array(batch.truncations, dtype=np.bool_),
            self._infos(batch, self._all),
        )

    def call(self, name: str, *args: Any, **kwargs: Any) -> tuple[Any, ...]:
        """A method's results, or an attribute, of each env."""
        self._check_open()
        if self._local is not None:
            return tuple(self._local.call(name, *args, **kwargs))
        answers = _checked(self._ask([request("call", name, *args, **kwargs)] * len(self._workers)), gone=True)
        return tuple(value for answer in answers for value in answer)

    def get_attr(self, name: str) -> tuple[Any, ...]:
        """An attribute of each env."""
        return self.call(name)

    def render(self) -> tuple[Any, ...] | None:
        """The transcript of each env, when the render mode is "ansi"."""
        return self.call("render")

    def close_extras(self, **_: Any) -> None:
        """Stop this env's processes."""
        if self._local is not None:
            self._local.close()
        self._finalizer()

    def _check_open(self) -> None:
        if self.closed:
            raise ClosedEnvironmentError("the vector env is closed; make it again")

    def _everywhere(self, method: str, *columns: Sequence[Any]) -> Batch:
        """Call a method of every shard with its part of each column, all at a time, and join what they give back."""
        if self._local is not None:
            return cast("Batch", getattr(self._local, method)(*columns))
        answers = self._ask([request(method, *(column[part] for column in columns)) for part in self._parts])
        return Batch.joined(
            [self._replace(i, a) if isinstance(a, WorkerGoneError) else a for i, a in enumerate(answers)]
        )

    def _ask(self, requests: Sequence[bytes]) -> list[Any]:
        """What each worker answers, or the `WorkerGoneError` of one that is gone. Raises: what a worker raised."""
        try:
            for worker, asked in zip(self._workers, requests, strict=True):
                worker.send(asked)
            answers = [worker.answer() for worker in self._workers]
        except BaseException:  # such as Ctrl-C: what is still to come must not be taken for the next answer
            for worker in self._workers:
                worker.kill()
            raise
        return _checked(answers)

    def _replace(self, index: int, error: WorkerGoneError) -> Batch:
        """Start a new process for the envs of one that is gone; they report the fault."""
        count = self._parts[index].stop - self._parts[index].start
        self._workers[index].close()
        self._workers[index] = worker = self._make_shard.apart(count)
        seeds = [int(seed) for seed in self.np_random.integers(2**31, size=count)]
        worker.send(request("begin_after_fault", seeds, str(error)))
        _, batch = _checked([worker.answer(), worker.answer()], gone=True)
        return cast("Batch", batch)

    def _infos(self, batch: Batch, mask: Sequence[bool]) -> dict[str, Any]:
        """Gymnasium's form: under each key an array of shape (num_envs,), under `_key` which envs have it."""
        present = np.array(mask, dtype=np.bool_)
        infos: dict[str, Any] = {}
        for key, values in batch.columns.items():
            if key == "edges":
                for index in np.flatnonzero(present).tolist():
                    infos = self._add_info(infos, {key: values[index]}, index)
            elif key in COUNTS:
                infos[key], infos[f"_{key}"] = np.where(present, np.array(values, dtype=int), 0), present.copy()
            else:
                infos[key], infos[f"_{key}"] = _objects(values, mask), present.copy()
        for index, entries in batch.sparse.items():
            if mask[index]:
                infos = self._add_info(infos, entries, index)
        return infos


@dataclass(frozen=True, slots=True)
class _ShardMaker:
    """What all shards have in common."""

    spec: ToolEnvSpec
    options: Mapping[str, Any]
    info_keys: Sequence[str]
    mode: AutoresetMode

    def here(self, count: int) -> Shard:
        return Shard(self.spec, count, self.options, self.info_keys, self.mode)

    def apart(self, count: int) -> ShardWorker:
        return ShardWorker(self.spec, count, self.options, self.info_keys, self.mode)


def _default_workers(num_envs: int) -> int:
    processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(processors, num_envs // ENVS_PER_WORKER)


def _reset_mask(options: Mapping[str, Any] | None, num_envs: int) -> list[bool]:
    """Which envs to reset: all, or those of `options["reset_mask"]`."""
    if unknown := sorted(set(options or ()) - {"reset_mask"}):
        raise ValueError(f"reset takes the option reset_mask only, found {unknown}")
    if not options:
        return [True] * num_envs
    mask = options["reset_mask"]
    if not isinstance(mask, np.ndarray) or mask.dtype != np.bool_ or mask.shape != (num_envs,) or not mask.any():
        raise ValueError(
            f"reset_mask must be a bool array of shape ({num_envs},) with one True or more, found {mask!r}"
        )
    return [bool(chosen) for chosen in mask]


def _checked(answers: list[Any], *, gone: bool = False) -> list[Any]:
    """The answers. Raises: the first that is an exception; a `WorkerGoneError` only when `gone`."""
    for answer in answers:
        if isinstance(answer, Exception) and (gone or not isinstance(answer, WorkerGoneError)):
            raise answer
    return answers


def _objects(values: Sequence[Any], mask: Sequence[bool]) -> Array:
    """An array of objects, None where the mask is not set. (`np.array` would take lists apart.)"""
    array = np.full(len(values), None, dtype=object)
    for index, chosen in enumerate(mask):
        if chosen:
            array[index] = values[index]
    return array


def _close_all(workers: Sequence[ShardWorker]) -> None:
    for worker in workers:
        worker.close()
