"""Many episodes: in order, the same whatever the concurrency, and nothing lost when a model or a sandbox fails."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import gymnasium as gym
import orjson
import pytest
from gymnasium.envs.registration import registry

import astra_gym
from astra_gym.env import ToolEnv
from astra_gym.errors import ModelError, SandboxError
from astra_gym.evaluation import (
    AHEAD,
    MAX_FAILURES_IN_A_ROW,
    SEED_STEP,
    EnvMaker,
    EvaluationError,
    episode_seed,
    evaluate,
)
from astra_gym.models import ChatModel, OracleModel, RandomModel, ScriptedModel, resolve_models
from astra_gym.rollout import replay
from astra_gym.suite import write_suite
from astra_gym.summary import summarize
from astra_gym.types import Message, ToolEnvSpec, Trajectory
from tests.specs import ALL, CHAIN, CHAIN_TURNS
from tests.suites import certified, copies

INSIDE = EnvMaker(isolation="inprocess")


def specs(count: int = 12) -> list[ToolEnvSpec]:
    """The three hand-written specs over and over, under different ids."""
    return [
        certified(ALL[i % 3].model_copy(update={"id": f"{ALL[i % 3].id.removesuffix('-v0')}-{i}-v0"}))
        for i in range(count)
    ]


def lines(trajectories: Iterator[Trajectory]) -> list[bytes]:
    return [orjson.dumps(trajectory.to_json()) for trajectory in trajectories]


@pytest.mark.parametrize("name", ["oracle", "random", "every-tool"])
@pytest.mark.parametrize("faults", [None, 0.3])
def test_sixteen_threads_write_the_bytes_of_one(name: str, faults: float | None) -> None:
    envs, make_env = specs(), EnvMaker(isolation="inprocess", faults=faults)

    def played(concurrency: int) -> list[bytes]:
        options: dict[str, Any] = {"n_samples": 12, "seed": 3, "concurrency": concurrency, "make_env": make_env}
        return lines(evaluate(envs, resolve_models(name), **options))

    serial = played(1)
    assert len(serial) == 144
    assert played(16) == serial
    assert played(3) == serial


def test_without_an_order_a_slow_episode_holds_nothing_back() -> None:
    others = threading.Semaphore(0)

    class FirstWaits(ScriptedModel):
        def begin_episode(self, spec: ToolEnvSpec, seed: int) -> None:
            super().begin_episode(spec, seed)
            if spec.id == "copy-0-v0":
                others.acquire(timeout=60)

    def make_model() -> ChatModel:
        return FirstWaits(*CHAIN_TURNS)

    played = evaluate(copies(7), make_model, concurrency=2, make_env=INSIDE, ordered=False)
    seen = [next(played).env_id for _ in range(6)]
    others.release()
    assert seen == [f"copy-{i}-v0" for i in range(1, 7)]
    assert [t.env_id for t in played] == ["copy-0-v0"]


def test_worker_processes_serve_threads_alike() -> None:
    envs, make_env = specs(6), EnvMaker(isolation="worker")
    serial, threaded = (
        lines(evaluate(envs, OracleModel, n_samples=3, concurrency=c, make_env=make_env)) for c in (1, 8)
    )
    assert serial == threaded == lines(evaluate(envs, OracleModel, n_samples=3, make_env=INSIDE))


def test_episodes_come_env_by_env_and_each_replays() -> None:
    played = list(evaluate(specs(2), RandomModel, n_samples=3, seed=5, make_env=INSIDE, max_turns=4))
    assert [t.env_id for t in played] == ["test-chain-0-v0"] * 3 + ["test-join-1-v0"] * 3
    assert [t.metadata["sample"] for t in played] == [0, 1, 2] * 2
    assert [t.seed for t in played[:3]] == [5, 5 + SEED_STEP, 5 + 2 * SEED_STEP]
    assert len({t.actions for t in played[:3]}) == 3, "other seeds, other play"
    assert played[0].model == "random"
    with ToolEnv(CHAIN.model_copy(update={"id": "test-chain-0-v0"}), require_certificate=False) as env:
        assert replay(played[1], env) == played[1]


def test_small_seeds_share_no_episode() -> None:
    seeds = [episode_seed(seed, sample) for seed in range(100) for sample in range(64)]
    assert len(set(seeds)) == len(seeds)
    assert episode_seed(7, 0) == 7


def test_the_limit_of_turns_and_the_name_stand_in_the_trajectory() -> None:
    (trajectory,) = evaluate(specs(1), OracleModel, max_turns=2, name="mine", make_env=EnvMaker(max_turns=2))
    assert trajectory.stop_reason == "max_turns"
    assert trajectory.metadata["env_kwargs"] == {"max_turns": 2}
    assert trajectory.model == "mine"


def test_a_distractor_band_is_recorded_where_there_is_one() -> None:
    provenance = CHAIN.provenance.model_copy(update={"details": {"distractors": {"band": "high"}}})
    mixed = certified(CHAIN.model_copy(update={"provenance": provenance}))
    plain, banded = evaluate([certified(CHAIN), mixed], OracleModel, make_env=INSIDE)
    assert banded.metadata["distractor_band"] == "high"
    assert plain.metadata["distractor_band"] == "none"


@pytest.fixture
def registered(tmp_path: Path) -> Iterator[list[str]]:
    before = dict(registry)
    write_suite(tmp_path / "s.jsonl", specs())
    yield astra_gym.register_suite(tmp_path / "s.jsonl", "mine", isolation="inprocess")
    registry.clear()
    registry.update(before)


def test_registered_ids_are_played_by_threads_too(registered: list[str]) -> None:
    serial, threaded = (list(evaluate(registered, OracleModel, n_samples=4, concurrency=c)) for c in (1, 16))
    assert serial == threaded
    assert [t.env_id for t in serial[::4]] == registered
    assert summarize(serial).solve_rate == 1.0
    assert replay(serial[-1]) == serial[-1]


def test_what_is_done_is_not_played_again() -> None:
    envs = specs(3)
    full = list(evaluate(envs, OracleModel, n_samples=2, make_env=INSIDE))
    skip = {(t.env_id, t.seed) for t in full[:3]}
    assert list(evaluate(envs, OracleModel, n_samples=2, skip=skip, make_env=INSIDE)) == full[3:]


class Counting(ScriptedModel):
    """Says how many were made and which threads played them."""

    made = 0
    threads: ClassVar[set[int]] = set()

    def __init__(self) -> None:
        super().__init__(*CHAIN_TURNS)
        type(self).made += 1

    def reply(self, messages: Sequence[Message], tools: Sequence[dict[str, Any]]) -> str:
        self.threads.add(threading.get_ident())
        return super().reply(messages, tools)

    def close(self) -> None:
        raise AssertionError("what is shared is not for `evaluate` to close")


@pytest.mark.parametrize("concurrency", [1, 4])
def test_a_thread_has_a_model_of_its_own(concurrency: int) -> None:
    Counting.made = 0
    Counting.threads = set()
    played = evaluate(copies(40), Counting, concurrency=concurrency, make_env=INSIDE)
    assert summarize(played).solve_rate == 1.0
    assert Counting.made == len(Counting.threads) <= concurrency
    assert (threading.get_ident() in Counting.threads) == (concurrency == 1)


def test_envs_are_taken_only_a_little_ahead() -> None:
    taken: list[str] = []

    def envs() -> Iterator[ToolEnvSpec]:
        for spec in copies(100):
            taken.append(spec.id)
            yield spec

    played = evaluate(envs(), OracleModel, concurrency=2, make_env=INSIDE)
    assert not taken, "nothing is played before it is asked for"
    next(played)
    assert len(taken) == AHEAD * 2
    played.close()
    assert len(taken) == AHEAD * 2


class Endless(ScriptedModel):
    """Answers in the first env at once and calls a tool in the others for ever."""

    def begin_episode(self, spec: ToolEnvSpec, *_: Any) -> None:
        self._first = spec.id == "copy-0-v0"

    def reply(self, *_: Any) -> str:
        return "Oslo" if self._first else CHAIN_TURNS[0]


def test_leaving_stops_the_episodes_under_way() -> None:
    def make_env(spec: ToolEnvSpec | str) -> gym.Env[str, str]:
        return ToolEnv(spec, isolation="inprocess", max_turns=10**9)

    before = set(threading.enumerate())
    played = evaluate(copies(8), Endless, concurrency=2, make_env=make_env)
    assert next(played).env_id == "copy-0-v0"
    played.close()
    left = {thread.name for thread in set(threading.enumerate()) - before}
    assert left <= {"astra-gym-watchdog"}


class Failing(ScriptedModel):
    """Fails on some envs."""

    def __init__(self, fails: Callable[[str], bool]) -> None:
        super().__init__(*CHAIN_TURNS)
        self.fails = fails

    def begin_episode(self, spec: ToolEnvSpec, seed: int) -> None:
        super().begin_episode(spec, seed)
        self._id = spec.id

    def reply(self, messages: Sequence[Message], tools: Sequence[dict[str, Any]]) -> str:
        if self.fails(self._id):
            raise ModelError("the endpoint is down")
        return super().reply(messages, tools)


@pytest.mark.parametrize("concurrency", [1, 4])
def test_a_model_error_is_counted_and_never_a_zero(concurrency: int) -> None:
    def make_model() -> ChatModel:
        return Failing(lambda env_id: env_id.startswith("copy-1"))

    summary = summarize(evaluate(copies(20), make_model, concurrency=concurrency, make_env=INSIDE))
    assert (summary.episodes, summary.failed) == (9, 11)
    assert summary.f1 == summary.solve_rate == 1.0


@pytest.mark.parametrize("concurrency", [1, 4])
def test_an_endpoint_that_is_gone_stops_the_evaluation(concurrency: int) -> None:
    kept: list[Trajectory] = []
    with pytest.raises(EvaluationError, match="16 episodes failed one after the other; the last: the endpoint is down"):
        kept.extend(evaluate(copies(100), lambda: Failing(lambda _: True), concurrency=concurrency, make_env=INSIDE))
    assert len(kept) == MAX_FAILURES_IN_A_ROW


class NoSandbox(ToolEnv):
    """An env whose tools cannot be started."""

    def reset(self, **_: Any) -> tuple[str, dict[str, Any]]:
        raise SandboxError("no worker could be started")


def test_tools_that_cannot_be_started_are_an_infrastructure_error() -> None:
    (trajectory,) = evaluate(specs(1), OracleModel, make_env=lambda spec: NoSandbox(spec))
    assert trajectory.stop_reason == "infrastructure_error"
    assert trajectory.metadata["infrastructure_error"] == "no worker could be started"
    assert (trajectory.needed, trajectory.metadata["distractor_band"]) == (3, "none")
    assert summarize([trajectory]).failed == 1


@pytest.mark.parametrize("concurrency", [1, 4])
def test_a_bug_of_the_model_is_not_hidden(concurrency: int) -> None:
    class Broken(ScriptedModel):
        def reply(self, *_: Any) -> str:
            raise KeyError("a bug")

    with pytest.raises(KeyError, match="a bug"):
        list(evaluate(specs(), Broken, concurrency=concurrency, make_env=INSIDE))


@pytest.mark.parametrize("options", [{"n_samples": 0}, {"concurrency": 0}, {"max_turns": -1}])
def test_arguments_out_of_range_are_refused_at_once(options: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="must be at least 1"):
        evaluate([], OracleModel, **options)  # type: ignore[arg-type]
