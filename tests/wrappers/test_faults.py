"""`ToolFaults`: which calls fail, what the model sees and earns, and that copies and replays have the same faults."""

from __future__ import annotations

import copy
import json
import pickle
from functools import partial
from typing import Any

import gymnasium as gym
import pytest
from gymnasium.utils.env_checker import check_env

import astra_gym
from astra_gym.env import ToolEnv
from astra_gym.errors import SandboxError
from astra_gym.fault_injection import FAULT_KINDS, PAPER, FaultOptionsError, Faults, FaultyExecutor
from astra_gym.models import OracleModel, ScriptedModel
from astra_gym.rollout import replay, rollout
from astra_gym.suite import write_suite
from astra_gym.types import FaultedResult, ToolCall, ToolResult
from astra_gym.vector import ToolVectorEnv
from astra_gym.verifier import EpisodeVerifier
from astra_gym.wrappers import RecordTrajectory, ToolFaults, make_faulty
from tests.specs import CHAIN, CHAIN_TURNS, STATEFUL, STATEFUL_TURNS, say
from tests.suites import copies

FILM, PERSON, COUNTRY, ANSWER = CHAIN_TURNS
ERRORS = ("timeout", "server_error", "rate_limit")
WORDS = {"timeout": "in time", "server_error": "503", "rate_limit": "429"}


def make(spec=CHAIN, **options: Any) -> ToolEnv:
    return ToolEnv(spec, **({"isolation": "inprocess", "require_certificate": False} | options))


def play(env, turns, seed=0):
    env.reset(seed=seed)
    steps = []
    for turn in turns:
        steps.append(env.step(turn))
        if steps[-1][2] or steps[-1][3]:
            break
    return steps


def total(steps) -> float:
    return sum(step[1] for step in steps)


def certain(*kinds: str, **more: Any) -> dict[str, Any]:
    """Every call is hit."""
    return {"rate": 1.0, "kinds": kinds, **more}


# --- what is hit


@pytest.mark.parametrize("rate", [0.0, 0.2, 0.7, 1.0])
def test_the_rate_is_kept(rate):
    env = make(faults={"rate": rate, "kinds": ERRORS}, max_turns=10_000)
    hits = 0
    for seed in range(40):
        play(env, [say("get_film", title=f"unknown {n}") for n in range(50)], seed)
        hits += len(env.episode.faults)
    assert hits / 2000 == pytest.approx(rate, abs=0.04)  # 4.5 standard deviations


def test_every_kind_is_drawn_about_evenly():
    env = make(faults=certain(*ERRORS), max_turns=10_000)
    play(env, [say("get_film", title=f"unknown {n}") for n in range(900)])
    counts = {kind: sum(fault["kind"] == kind for fault in env.episode.faults) for kind in ERRORS}
    assert sum(counts.values()) == 900
    assert min(counts.values()) > 230


@pytest.mark.parametrize("kind", ERRORS)
def test_an_error_says_what_it_is_and_no_tool_runs(kind):
    env = make(STATEFUL, faults=certain(kind))
    (observation, reward, *_, info), (retried, *_) = play(env, [STATEFUL_TURNS[0]] * 2)
    assert WORDS[kind] in observation
    assert '"code":"injected_fault"' in observation
    assert "try it again" in observation
    assert reward == 0.0
    assert info["faults"] == 1
    assert info["fault_calls"] == [{"call": 0, "turn": 1, "tool": "transfer", "kind": kind}]
    assert '"source_balance":750' in retried  # moved once


def test_a_mistake_of_the_model_stays_its_own():
    env = make(faults=certain(*FAULT_KINDS))
    mistakes = ["<tool_call>{", say("no_such_tool"), say("get_film", name="Winter Ferry"), say("get_film")]
    steps = play(env, mistakes)
    assert steps[-1][4]["invalid_calls"] == 4
    assert steps[-1][4]["breakdown"].calls == 4
    assert steps[-1][4]["faults"] == 0


def test_another_seed_of_the_episode_or_of_the_faults_hits_other_calls():
    turns = [say("get_film", title=f"unknown {n}") for n in range(8)]

    def hit(seed: int, faults: dict[str, Any]) -> tuple[Any, ...]:
        env = make(faults=faults)
        play(env, turns, seed)
        return tuple((fault["call"], fault["kind"]) for fault in env.episode.faults)

    assert len({hit(seed, {"rate": 0.5}) for seed in range(20)}) > 10
    assert len({hit(0, {"rate": 0.5, "seed": seed}) for seed in (None, *range(20))}) > 10
    assert hit(3, {"rate": 0.5}) == hit(3, {"rate": 0.5})


# --- what it earns


def test_a_retried_call_is_not_hit_again_and_not_counted():
    env = make(faults=certain(*ERRORS))
    steps = play(env, [FILM, FILM, PERSON, PERSON, COUNTRY, COUNTRY, ANSWER])
    assert total(steps) == pytest.approx(1.0)
    assert steps[-1][4]["edges"] == {"q1->q2": "satisfied", "q2->q3": "satisfied"}
    assert [fault["call"] for fault in steps[-1][4]["fault_calls"]] == [0, 2, 4]
    assert (steps[-1][4]["calls"], steps[-1][4]["breakdown"].calls) == (6, 3)


def test_a_call_that_is_given_up_counts():
    env = make(faults=certain(*ERRORS))
    steps = play(env, [FILM, "I do not know."])
    assert steps[-1][4]["breakdown"].calls == 1
    assert total(steps) == 0.0


def test_a_call_can_be_hit_more_than_once():
    env = make(faults=certain("timeout", max_per_call=3))
    steps = play(env, [FILM] * 4)
    assert ["injected_fault" in step[0] for step in steps] == [True, True, True, False]
    assert steps[-1][4]["breakdown"].calls == 1
    assert steps[-1][4]["breakdown"].solved == 1


@pytest.mark.parametrize("kind", ERRORS)
def test_an_unrecoverable_fault_stays_is_forgiven_once_and_says_so(kind):
    env = make(faults=certain(kind, recoverable=False))
    steps = play(env, [FILM, FILM, FILM, FILM])
    assert all(WORDS[kind] in step[0] and "will not help" in step[0] for step in steps)
    assert [step[4]["breakdown"].calls for step in steps] == [0, 1, 2, 3]
    assert steps[-1][4]["breakdown"].solved == 0


def test_only_the_call_that_was_hit_is_lost_for_good():
    env = make(faults={"rate": 0.4, "kinds": ["timeout"], "recoverable": False})
    seed = next(
        s
        for s in range(99)
        if [bool(step[4]["faults"]) for step in play(env, [FILM, PERSON], s)] == [True] * 2
        and env.episode.faults[-1]["call"] == 0
    )
    steps = play(env, [FILM, PERSON, FILM, FILM], seed)
    assert [step[4]["faults"] for step in steps] == [1, 1, 2, 3]
    assert steps[-1][4]["breakdown"].solved == 1


# --- stale and empty


def test_a_stale_result_is_the_last_one_of_the_same_tool():
    env = make(faults=certain("stale"))
    other = say("get_film", title="Salt Road")
    steps = play(env, [other, FILM, FILM, PERSON])
    assert "Paulo Reis" in steps[0][0]  # nothing to be stale yet
    assert steps[1][0] == steps[0][0]
    assert "Ingrid Dahl" in steps[2][0]
    assert [step[4]["breakdown"].calls for step in steps] == [1, 2, 2, 3]
    assert steps[-1][4]["fault_calls"] == [{"call": 1, "turn": 2, "tool": "get_film", "kind": "stale"}]


def test_a_stale_result_that_is_used_fails_as_any_wrong_value():
    env = make(faults=certain("stale"))
    steps = play(env, [say("get_film", title="Salt Road"), FILM, say("get_person", name="Paulo Reis"), "Lisbon"])
    assert total(steps) == 0.0
    assert steps[-1][4]["breakdown"].calls == 3


@pytest.mark.parametrize(("excuse", "counts"), [("on_retry", [1, 1]), ("at_once", [0, 1]), ("never", [1, 2])])
def test_a_faulted_result_earns_nothing_whatever_it_shows(excuse, counts):
    verifier = EpisodeVerifier(CHAIN)
    call, output = ToolCall("get_film", {"title": "Winter Ferry"}), {"director": "Ingrid Dahl"}
    assert verifier.observe(call, FaultedResult(output, kind="stale", excuse=excuse), 1) is None
    first = verifier.calls
    assert (verifier.solved, verifier.invalid_calls) == ((), 0)
    assert verifier.observe(call, ToolResult(output), 2) == "q1"
    assert [first, verifier.calls] == counts


def test_what_would_be_the_right_result_anyway_is_no_fault():
    env = make(faults=certain("stale"))
    steps = play(env, [FILM, FILM])
    assert steps[1][4]["faults"] == 0


def test_a_tools_own_error_is_not_hidden_by_a_silent_fault():
    env = make(faults=certain("stale", "empty"))
    steps = play(env, [FILM, say("get_film", title="no such film")])
    assert "no film called" in steps[1][0]
    assert [fault["call"] for fault in steps[1][4]["fault_calls"]] == [0]


def test_an_empty_result_holds_nothing_and_is_forgiven_on_retry():
    env = make(faults=certain("empty"))
    steps = play(env, [FILM, FILM])
    assert "{}" in steps[0][0]
    assert "error" not in steps[0][0]
    assert steps[0][1] == 0.0
    assert steps[1][4]["breakdown"].calls == 1
    assert steps[1][4]["breakdown"].solved == 1


def test_where_tools_keep_state_nothing_is_run_to_compare():
    env = make(STATEFUL, faults=certain("stale", "empty"))
    steps = play(env, [STATEFUL_TURNS[0], STATEFUL_TURNS[0], STATEFUL_TURNS[1], STATEFUL_TURNS[1]])
    assert [fault["kind"] for fault in steps[-1][4]["fault_calls"]] == ["empty", "empty"]
    assert total(steps) == pytest.approx(1.0)
    assert '"balance":1150' in steps[-1][0]


# --- the same again


def faulty_envs() -> list[gym.Env[str, str]]:
    return [
        make(faults={"rate": 0.5}),
        ToolFaults(make(), rate=0.5),
        ToolFaults(make(isolation="worker"), rate=0.5),
        make_faulty(make(), '{"rate": 0.5}'),
    ]


TURNS = [FILM + PERSON, FILM, PERSON + "<tool_call>{", PERSON + COUNTRY, COUNTRY + FILM, COUNTRY, ANSWER]


def test_option_wrapper_json_and_worker_are_the_same():
    for seed in range(6):
        played = [play(env, TURNS, seed) for env in faulty_envs()]
        for other in played[1:]:
            assert other == played[0]


def test_some_faults_happen_in_what_the_next_tests_play():
    assert sum(play(make(faults={"rate": 0.5}), TURNS, seed)[-1][4]["faults"] for seed in range(6)) > 6


@pytest.mark.parametrize(
    "how", [lambda env: pickle.loads(pickle.dumps(env)), copy.deepcopy], ids=["pickle", "deepcopy"]
)
@pytest.mark.parametrize("number", range(4))
def test_a_copy_goes_on_with_the_same_faults(how, number):
    env = faulty_envs()[number]
    env.reset(seed=5)
    env.step(TURNS[0])
    twin = how(env)
    assert twin.unwrapped.faults == env.unwrapped.faults
    assert twin.unwrapped.episode.faults == env.unwrapped.episode.faults
    for turn in TURNS[1:]:
        assert twin.step(turn) == env.step(turn)
    assert play(twin, TURNS, 9) == play(env, TURNS, 9)


def test_a_state_brings_its_faults_and_is_refused_by_an_env_with_others():
    env = make(faults={"rate": 0.5})
    play(env, TURNS[:3], 4)
    state = json.loads(json.dumps(env.get_state()))
    twin = make(faults={"rate": 0.5})
    twin.set_state(state)
    assert twin.step(TURNS[3]) == env.step(TURNS[3])
    with pytest.raises(ValueError, match="expected a state with the faults None"):
        make().set_state(state)
    old = {key: value for key, value in make().get_state().items() if key != "faults"}
    make().set_state(old)


class Breaking:
    """A real executor whose sandbox fails once, at one call."""

    def __init__(self, executor: Any, at: int) -> None:
        self.executor, self.left = executor, at
        self.isolation, self.missing_locks = executor.isolation, executor.missing_locks
        self.reset, self.batch, self.close = executor.reset, self._batch, executor.close

    def __call__(self, call: Any) -> Any:
        self.left -= 1
        if self.left == -1:
            raise SandboxError("the worker is gone")
        return self.executor(call)

    def _batch(self, calls: Any) -> Any:
        return [self(call) for call in calls]


@pytest.mark.parametrize("at", range(5))
def test_faults_are_the_same_after_the_sandbox_had_to_be_started_again(at):
    for seed in range(4):
        want = play(make(faults={"rate": 0.5}), TURNS, seed)
        env = make(faults={"rate": 0.5})
        assert isinstance(env.executor, FaultyExecutor)
        env.executor.inner = Breaking(env.executor.inner, at)
        assert play(env, TURNS, seed) == want


def test_setting_faults_ends_the_episode():
    env = make()
    play(env, [FILM])
    env.faults = "paper"
    assert env.faults == PAPER
    with pytest.raises(gym.error.ResetNeeded):
        env.step(FILM)
    env.faults = None
    assert "faults" not in play(env, [FILM])[0][4]


# --- through gymnasium, vector envs, rollouts


@pytest.fixture
def suite(tmp_path):
    path = tmp_path / "suite.jsonl"
    write_suite(path, copies(2))
    yield astra_gym.register_suite(path, "faulty-tests")
    astra_gym.unregister_suite("faulty-tests")


def test_a_rollout_records_its_faults_and_replays(suite):
    faults = 0
    for env in (
        gym.make(suite[0], faults={"rate": 0.6}),
        ToolFaults(gym.make(suite[0]), rate=0.6, kinds=("stale", "timeout")),
        make_faulty(astra_gym.make(suite[0]), json.dumps({"rate": 0.6, "recoverable": False})),
    ):
        for seed in range(5):
            trajectory = rollout(env, OracleModel(), seed=seed)
            assert trajectory.metadata["env_kwargs"]["faults"] == env.unwrapped.faults.to_json()
            assert trajectory.metadata["faults"] == len(trajectory.metadata["fault_calls"])
            faults += trajectory.metadata["faults"]
            assert replay(trajectory) == trajectory
        env.close()
    assert faults > 10
    assert "faults" not in rollout(gym.make(suite[0]), OracleModel()).metadata


def test_a_replay_without_the_faults_would_not_come_out(suite):
    trajectory = rollout(gym.make(suite[0], faults=1.0), ScriptedModel(FILM, FILM, ANSWER))
    with pytest.raises(ValueError, match="does not replay"):
        replay(trajectory, gym.make(suite[0]))


def test_the_oracle_recovers_from_faults_that_say_so():
    for seed in range(10):
        trajectory = rollout(make(faults={"rate": 0.6, "kinds": ERRORS}, max_turns=32), OracleModel(), seed=seed)
        assert trajectory.breakdown.f1 == 1.0
        assert trajectory.final_answer_correct


def test_recorded_trajectories_tell_of_faults(tmp_path):
    env = RecordTrajectory(ToolFaults(make(), **certain("timeout")), tmp_path / "episodes.jsonl")
    play(env, [FILM, FILM, ANSWER])
    metadata = env.trajectory.metadata
    assert metadata["faults"] == 1
    assert metadata["env_kwargs"] == {"faults": Faults(rate=1.0, kinds=("timeout",)).to_json()}


@pytest.mark.parametrize("workers", [0, 2])
def test_vector_envs_have_the_same_faults(suite, workers):
    envs = gym.make_vec(suite[0], num_envs=4, num_workers=workers, faults={"rate": 0.5})
    assert isinstance(envs, ToolVectorEnv)
    envs.reset(seed=10)
    singles = [play(gym.make(suite[0], faults={"rate": 0.5}), TURNS, 10 + i) for i in range(4)]
    for number, turn in enumerate(TURNS):
        observations, rewards, *_, infos = envs.step([turn] * 4)
        for i in range(4):
            if number < len(singles[i]):
                assert observations[i] == singles[i][number][0]
                assert rewards[i] == pytest.approx(singles[i][number][1])
                assert infos["faults"][i] == singles[i][number][4]["faults"]
                assert infos["fault_calls"][i] == singles[i][number][4]["fault_calls"]
    envs.close()


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_gymnasiums_vector_envs_take_the_wrapper(suite, mode):
    wrappers = [partial(ToolFaults, rate=1.0, kinds=("timeout",))]
    envs = gym.make_vec(suite[0], num_envs=2, vectorization_mode=mode, wrappers=wrappers)
    envs.reset(seed=0)
    observations, *_, infos = envs.step([FILM, FILM])
    assert all("in time" in text for text in observations)
    assert infos["faults"].tolist() == [1, 1]
    envs.close()


def test_the_wrapper_is_kept_in_the_envs_spec(suite):
    env = ToolFaults(gym.make(suite[0]), rate=0.5, kinds=("timeout",))
    again = gym.make(env.spec)
    assert isinstance(again, ToolFaults)
    assert again.faults == env.faults
    assert play(again, TURNS, 3) == play(env, TURNS, 3)


def test_the_env_checker_has_nothing_to_say(suite):
    check_env(gym.make(suite[0], faults={"rate": 0.5}).unwrapped)


# --- options


def test_options_in_every_form():
    assert Faults.of(None) is None
    assert Faults.of("") is None
    assert Faults.of("paper") == PAPER
    assert Faults.of(0.3) == Faults(rate=0.3)
    assert Faults.of({}) == Faults() == Faults(rate=0.2)
    assert Faults.of('{"rate": 0.3}') == Faults(rate=0.3)
    assert Faults.of(json.dumps(PAPER.to_json())) == PAPER
    env = make()
    assert make_faulty(env, "") is env
    assert make_faulty(env, None) is env


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rate": 1.5}, r"rate: .*less than or equal to 1.*found 1.5"),
        ({"rate": float("nan")}, "rate"),
        ({"kinds": ["timeout", "fire"]}, r"kinds.1: .*found 'fire'"),
        ({"kinds": []}, "kinds"),
        ({"rat": 0.5}, r"rat: .*the options are rate, kinds, recoverable, max_per_call, seed"),
        ({"max_per_call": 0}, "max_per_call"),
        ("papers", "expected 'paper' or a JSON object, found 'papers'"),
        ("[1]", "expected a rate, a mapping"),
        (True, "expected a rate, a mapping"),
    ],
)
def test_options_that_make_no_sense_are_named(options, message):
    with pytest.raises(FaultOptionsError, match=message):
        make(faults=options)


def test_faults_are_set_once_and_on_tool_envs():
    with pytest.raises(FaultOptionsError, match="has faults already"):
        ToolFaults(ToolFaults(make()))
    with pytest.raises(FaultOptionsError, match="has faults already"):
        ToolFaults(make(faults=0.5))
    with pytest.raises(TypeError, match="needs a ToolEnv, found CartPoleEnv"):
        ToolFaults(gym.make("CartPole-v1"))
