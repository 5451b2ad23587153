"""Play many envs with one model, several episodes at a time, and compare models: what `astra eval` and the demo do.

`evaluate` plays and yields trajectories in a fixed order, whatever the concurrency; `report` and `paired_difference`
turn them into means with intervals. What is kept on disk is left to `evaluation_log.py`, what is shown to `cli`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Container, Generator, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from queue import SimpleQueue
from threading import Event, Lock, local
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import gymnasium as gym

from astra_gym.comparison import Difference, EvaluationReport, ModelReport, compare, paired_difference, report
from astra_gym.env import ToolEnv
from astra_gym.errors import AstraError, SandboxError
from astra_gym.fault_injection import FaultOptions
from astra_gym.registration import make
from astra_gym.rollout import rollout
from astra_gym.summary import NOT_PLAYED
from astra_gym.types import Message, ToolEnvSpec, Trajectory

if TYPE_CHECKING:
    from astra_gym.models import ChatModel

__all__ = [
    "Difference",
    "EnvMaker",
    "EvaluationError",
    "EvaluationReport",
    "ModelReport",
    "compare",
    "episode_seed",
    "evaluate",
    "paired_difference",
    "report",
]

Env: TypeAlias = ToolEnvSpec | str
"""A spec, or the id of a registered env."""
MakeEnv: TypeAlias = Callable[[Env], gym.Env[str, str]]

SEED_STEP = 1_000_003
"""Between the seeds of two episodes of one env, so that evaluations of small seeds share no episode."""
AHEAD = 4
"""Episodes a thread that may be under way, or over and waiting for their turn to be yielded."""
MAX_FAILURES_IN_A_ROW = 16
"""Episodes that may fail one after the other before an evaluation stops: the endpoint is gone."""


_registry = Lock()
"""Held while an env is made by its id: `registration.py` keeps the suites used last in one dict."""


class EvaluationError(AstraError, RuntimeError):
    """An evaluation cannot go on; what was yielded before is sound."""


def episode_seed(seed: int, sample: int) -> int:
    """The seed of an env's episode number `sample` (from 0) in an evaluation of this seed; of the first, `seed`."""
    return seed + sample * SEED_STEP


def evaluate(
    envs: Iterable[Env],
    make_model: Callable[[], ChatModel],
    *,
    n_samples: int = 1,
    seed: int = 0,
    concurrency: int = 1,
    max_turns: int | None = None,
    make_env: MakeEnv | None = None,
    name: str | None = None,
    skip: Container[tuple[str, int]] = frozenset(),
    ordered: bool = True,
) -> Generator[Trajectory, None, None]:
    """Play `n_samples` episodes of each env and yield them env by env, sample by sample.

    With a model that depends on its messages and the episode's seed alone, as the rules do, the result is the same for
    every `concurrency`. An episode whose model or sandbox failed is yielded too (stop reason "model_error" or
    "infrastructure_error"): the means leave it out.

    Args:
        envs: taken one after the other in the caller's thread, a few ahead of what is being played.
        make_model: called once a thread; see `resolve_models`. Its models are not closed: they may share an engine.
        concurrency: threads; with 1 all runs in the caller's.
        max_turns: turns before truncation; default: what each env says.
        make_env: makes the env of an episode, for wrappers or options; called in the threads.
        name: of the model in the trajectories; default: its own.
        skip: (env id, `episode_seed`) of episodes that need not be played.
        ordered: False yields each episode as soon as it is over: nothing finished waits for a slow one.

    Raises: ValueError for arguments out of range; EvaluationError when `MAX_FAILURES_IN_A_ROW` episodes failed one
    after the other; whatever `envs`, `make_model` or `make_env` raise.
    """
    for what, value in (("n_samples", n_samples), ("concurrency", concurrency), ("max_turns", max_turns or 1)):
        if value < 1:
            raise ValueError(f"{what} must be at least 1, found {value}")
    make_env = make_env or EnvMaker(max_turns=max_turns)
    episodes = (
        _Episode(env, episode_seed(seed, sample), sample, make_env, name, max_turns)
        for env in envs
        for sample in range(n_samples)
        if (env if isinstance(env, str) else env.id, episode_seed(seed, sample)) not in skip
    )
    players = _Players(make_model)
    played = _one_by_one(episodes, players) if concurrency == 1 else _threaded(episodes, players, concurrency, ordered)
    return _watched(played)


@dataclass(frozen=True, slots=True)
class EnvMaker:
    """Makes the env of an episode with these options of `ToolEnv`; None leaves an option at its default."""

    max_turns: int | None = None
    isolation: str | None = None
    faults: FaultOptions = None

    def __call__(self, env: Env) -> gym.Env[str, str]:
        given = {"max_turns": self.max_turns, "isolation": self.isolation, "faults": self.faults}
        options: dict[str, Any] = {key: value for key, value in given.items() if value is not None}
        if isinstance(env, str):
            with _registry:
                return make(env, **options)
        return ToolEnv(env, **options)


@dataclass(frozen=True, slots=True)
class _Episode:
    """One episode to play."""

    env: Env
    seed: int
    sample: int
    make_env: MakeEnv
    name: str | None
    max_turns: int | None

    def play(self, model: ChatModel) -> Trajectory:
        with closing(self.make_env(self.env)) as env:
            try:
                trajectory = rollout(env, model, seed=self.seed)
            except SandboxError as error:  # the tools could not be started
                trajectory = _not_started(env, self.seed, str(error))
        metadata = {**trajectory.metadata, "sample": self.sample}
        if self.max_turns is not None:
            metadata["env_kwargs"] = {**metadata.get("env_kwargs", {}), "max_turns": self.max_turns}
        return trajectory.model_copy(update={"metadata": metadata, "model": self.name or model.name})


def _not_started(env: gym.Env[str, str], seed: int, error: str) -> Trajectory:
    spec = cast("ToolEnv", env.unwrapped).tool_spec
    return Trajectory(
        env_id=env.spec.id if env.spec else spec.id,
        seed=seed,
        actions=(),
        rewards=(),
        messages=(),
        tools=tuple(spec.tool_schemas),
        needed=len(spec.needed),
        solved=0,
        calls=0,
        stop_reason="infrastructure_error",
        metadata={
            "domain": spec.domain,
            "scenario_type": spec.scenario_type,
            "hops": spec.hops,
            "distractor_band": spec.distractor_band,
            "infrastructure_error": error,
        },
    )


class _Stopped(Exception):
    """The evaluation is over while an episode was still on."""


class _Players:
    """A model a thread, and the word to stop."""

    def __init__(self, make_model: Callable[[], ChatModel]) -> None:
        self._make_model = make_model
        self._thread = local()
        self._lock = Lock()
        self.stop = Event()

    def play(self, episode: _Episode) -> Trajectory:
        model: _Player | None = getattr(self._thread, "model", None)
        if model is None:
            with self._lock:
                made = self._make_model()
            model = self._thread.model = _Player(made, self.stop)
        return episode.play(model)


class _Player:
    """A model that stops when it is told to, before its next turn."""

    def __init__(self, model: ChatModel, stop: Event) -> None:
        self._model = model
        self._stop = stop
        self.begin_episode = model.begin_episode

    @property
    def name(self) -> str:
        return self._model.name

    @property
    def usage(self) -> Any:
        return getattr(self._model, "usage", None)

    def reply(self, messages: Sequence[Message], tools: Sequence[dict[str, Any]]) -> str:
        if self._stop.is_set():
            raise _Stopped
        return self._model.reply(messages, tools)


def _one_by_one(episodes: Iterable[_Episode], players: _Players) -> Generator[Trajectory, None, None]:
    for episode in episodes:
        yield players.play(episode)


def _threaded(
    episodes: Iterable[_Episode], players: _Players, concurrency: int, ordered: bool
) -> Generator[Trajectory, None, None]:
    pool = ThreadPoolExecutor(concurrency, thread_name_prefix="astra-gym-evaluate")
    finished: SimpleQueue[Future[Trajectory]] = SimpleQueue()
    submitted: deque[Future[Trajectory]] = deque()
    pending = 0

    def wait_for_one() -> Trajectory:
        return (submitted.popleft() if ordered else finished.get()).result()

    try:
        for episode in episodes:
            future = pool.submit(players.play, episode)
            submitted.append(future) if ordered else future.add_done_callback(finished.put)
            pending += 1
            if pending >= AHEAD * concurrency:
                pending -= 1
                yield wait_for_one()
        for _ in range(pending):
            yield wait_for_one()
    finally:
        players.stop.set()
        pool.shutdown(wait=True, cancel_futures=True)


def _watched(played: Generator[Trajectory, None, None]) -> Generator[Trajectory, None, None]:
    """The same, until too many failed in a row."""
    failures = 0
    with closing(played):
        for trajectory in played:
            failures = failures + 1 if trajectory.stop_reason in NOT_PLAYED else 0
            yield trajectory
            if failures >= MAX_FAILURES_IN_A_ROW:
                why = trajectory.metadata.get("error") or trajectory.metadata.get("infrastructure_error")
                raise EvaluationError(f"{failures} episodes failed one after the other; the last: {why}")
