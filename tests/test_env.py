"""`ToolEnv` plays a record: what turns show, earn and end, whatever the model writes; and it is a Gymnasium env."""

from __future__ import annotations

import copy
import json
import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import gymnasium as gym
import numpy as np
import orjson
import pytest
from gymnasium.error import ClosedEnvironmentError, ResetNeeded
from gymnasium.utils.env_checker import check_env
from gymnasium.wrappers import RecordEpisodeStatistics, TimeLimit
from hypothesis import given, settings
from hypothesis import strategies as st

from astra_gym.env import ToolEnv
from astra_gym.errors import CertificateError, SandboxError, SpecError
from astra_gym.reward import trajectory_reward
from astra_gym.tool_calls import MAX_CALLS
from astra_gym.types import (
    Certificate,
    GoldCall,
    RewardBreakdown,
    SubQuestion,
    ToolCall,
    ToolEnvSpec,
    ToolError,
    ToolFunction,
    ToolResult,
)
from tests.specs import ALL, BY_HAND, CHAIN, CHAIN_TURNS, GOLD_TURNS, JOIN, JOIN_TURNS, STATEFUL, number, say, text

FILM, PERSON, COUNTRY, ANSWER = CHAIN_TURNS
WRONG_FILM = say("get_film", title="Salt Road")


@pytest.fixture(params=["inprocess", "worker"])
def isolation(request: pytest.FixtureRequest) -> str:
    return request.param


def make(spec: ToolEnvSpec, **options: Any) -> ToolEnv:
    return ToolEnv(spec, **({"isolation": "inprocess", "require_certificate": False} | options))


def play(
    env: gym.Env[str, str], turns: Sequence[str], seed: int = 0
) -> list[tuple[str, float, bool, bool, dict[str, Any]]]:
    """Reset and play turns until the episode ends."""
    env.reset(seed=seed)
    steps = []
    for turn in turns:
        steps.append(env.step(turn))
        if steps[-1][2] or steps[-1][3]:
            break
    return steps


def total(steps: Sequence[tuple[str, float, bool, bool, dict[str, Any]]]) -> float:
    return sum(float(step[1]) for step in steps)


class Faulty:
    """A real executor with faults: answers listed calls (counted from 0) by what is given instead."""

    def __init__(self, executor: Any, faults: dict[int, Exception | ToolError]) -> None:
        self.executor, self.faults, self.count = executor, faults, 0
        self.isolation, self.missing_locks = executor.isolation, executor.missing_locks

    def reset(self, seed: int) -> None:
        self.executor.reset(seed)

    def __call__(self, call: ToolCall) -> ToolResult:
        fault = self.faults.get(self.count)
        self.count += 1
        if isinstance(fault, Exception):
            raise fault
        return self.executor(call) if fault is None else ToolResult(error=fault)

    def batch(self, calls: Sequence[ToolCall]) -> list[ToolResult]:
        return [self(call) for call in calls]

    def close(self) -> None:
        self.executor.close()


def faulty(spec: ToolEnvSpec, faults: dict[int, Exception | ToolError], **options: Any) -> ToolEnv:
    env = make(spec, **options)
    env.executor = Faulty(env.executor, faults)
    return env


# --- what turns earn


@pytest.mark.parametrize("spec", ALL, ids=lambda spec: spec.id)
def test_the_gold_turns_earn_one(spec, isolation):
    with make(spec, isolation=isolation) as env:
        steps = play(env, GOLD_TURNS[spec.id])
    _, _, terminated, truncated, info = steps[-1]
    assert total(steps) == pytest.approx(1.0, abs=1e-12)
    assert (terminated, truncated) == (True, False)
    assert info["stop_reason"] == "final_answer"
    assert info["final_answer_correct"] is True
    assert info["breakdown"].f1 == 1.0
    assert set(info["edges"].values()) == {"satisfied"}


@pytest.mark.parametrize(
    ("turns", "expected"),
    [
        ([FILM], 2 / 4),
        ([FILM, FILM], 2 / 5),
        ([WRONG_FILM], 0.0),
        ([WRONG_FILM, FILM, PERSON, COUNTRY], 6 / 7),
        ([FILM + PERSON + COUNTRY], 1.0),
        ([ANSWER], 0.0),
        (["<tool_call>{bad}</tool_call>", FILM], 2 / 5),
        ([say("no_such_tool"), FILM], 2 / 5),
        ([say("get_film", title=7), FILM], 2 / 5),
        ([say("get_film", title="No Such Film"), FILM], 2 / 5),
    ],
)
def test_the_return_is_the_f1_wherever_the_episode_is_cut(turns, expected):
    with make(CHAIN) as env:
        assert total(play(env, turns)) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"reward": "recall"}, 1 / 3),
        ({"reward": "precision"}, 1 / 2),
        ({"beta": 2.0}, 5 / (4 * 3 + 2)),
        ({"final_answer_weight": 0.5}, 0.5 * (2 / 5) + 0.5),
        ({"final_answer_weight": 1.0}, 1.0),
    ],
)
def test_the_reward_can_be_chosen(options, expected):
    with make(CHAIN, **options) as env:
        steps = play(env, [WRONG_FILM, FILM, ANSWER])
    assert total(steps) == pytest.approx(expected, abs=1e-12)


def test_a_wrong_final_answer_earns_nothing_more():
    with make(CHAIN, final_answer_weight=0.5) as env:
        *_, last = play(env, [FILM, "Bergen"])
    assert last[1] == pytest.approx(0.0, abs=1e-12)
    assert last[4]["final_answer_correct"] is False


actions = st.sampled_from(
    [
        FILM,
        PERSON,
        COUNTRY,
        WRONG_FILM,
        FILM + PERSON,
        COUNTRY * 3,
        "<tool_call>{",
        say("nothing"),
        "<think>hm</think>" + FILM,
    ]
)


@settings(max_examples=60, deadline=None)
@given(st.lists(actions, max_size=7), st.sampled_from(["Oslo", "Bergen", None]), st.sampled_from([0.0, 0.3]))
def test_the_sum_of_the_rewards_is_the_reward_of_the_trajectory(turns, answer, weight):
    with make(CHAIN, final_answer_weight=weight) as env:
        steps = play(env, [*turns, *([answer] if answer else [])])
        info = steps[-1][4] if steps else env.reset(seed=0)[1]
    correct = info.get("final_answer_correct")
    expected = trajectory_reward(info["breakdown"], final_answer_weight=weight, final_answer_correct=correct)
    assert total(steps) == pytest.approx(expected, abs=1e-12)


# --- what a turn shows


def test_every_call_of_a_turn_runs_in_order_and_is_answered():
    with make(JOIN) as env:
        (observation, _, _, _, info), *_ = play(
            env, ["Two at once. " + JOIN_TURNS[0] + "<tool_call>?</tool_call>" + say("x")]
        )
    heights = [orjson.loads(line) for line in observation.split("\n") if line.startswith("{")]
    assert [heights[0], heights[1]] == [
        {"mountain": "Galdhøpiggen", "height_m": 2469},
        {"mountain": "Kebnekaise", "height_m": 2097},
    ]
    assert [heights[2]["error"]["code"], heights[3]["error"]["code"]] == ["invalid_json", "unknown_tool"]
    assert (info["calls"], info["invalid_calls"], info["solved"]) == (4, 2, ("q1", "q2"))


def test_info_tells_where_the_episode_stands():
    with make(CHAIN) as env:
        question, info = env.reset(seed=0)
        assert question == CHAIN.question
        assert info == {
            "messages": [{"role": "user", "content": question}],
            "turn": 0,
            "calls": 0,
            "invalid_calls": 0,
            "needed": 3,
            "solved": (),
            "breakdown": RewardBreakdown(3),
            "edges": {"q1->q2": "open", "q2->q3": "open"},
        }
        env.step(FILM)
        *_, info = env.step("Next.\n" + PERSON)
    assert info == {
        "messages": [
            {
                "role": "assistant",
                "content": "Next.",
                "tool_calls": [
                    {
                        "id": "call_1",
                        "type": "function",
                        "function": {"name": "get_person", "arguments": '{"name":"Ingrid Dahl"}'},
                    }
                ],
            },
            {
                "role": "tool",
                "tool_call_id": "call_1",
                "content": '{"name":"Ingrid Dahl","born_in":"Norway","born":"1951-04-02"}',
            },
        ],
        "turn": 2,
        "calls": 2,
        "invalid_calls": 0,
        "needed": 3,
        "solved": ("q1", "q2"),
        "breakdown": RewardBreakdown(3, 2, 2),
        "edges": {"q1->q2": "satisfied", "q2->q3": "open"},
    }


def test_a_value_used_before_it_was_seen_is_guessed():
    with make(CHAIN) as env:
        *_, info = play(env, [FILM + PERSON])[-1]
    assert info["edges"] == {"q1->q2": "guessed", "q2->q3": "open"}


# --- what the model may write


@pytest.mark.parametrize(
    ("action", "code"),
    [
        ("<tool_call>" + "x" * 10_000_000 + "</tool_call>", "invalid_json"),
        ('<tool_call>{"name":"get_film","arguments":{"title":"\x00"}}</tool_call>', "invalid_json"),
        ('<tool_call>{"name":"get_film","arguments":{"title":"\ud800"}}</tool_call>', "tool_error"),
        ('<tool_call>{"name":"get_film","arguments":{"title":' + "[" * 100_000, "invalid_json"),
        ('<tool_call>{"name":"get_film","arguments":{"title":"a","title":"b"}}</tool_call>', "invalid_json"),
        ('<tool_call>{"name":"get_film","arguments":{"title":NaN}}</tool_call>', "invalid_json"),
        ('<tool_call>{"name":"get_film","arguments":{"title":99999999999999999999999}}</tool_call>', "invalid_json"),
        (say("get_film", title=3), "invalid_arguments"),
        (say("get_film"), "invalid_arguments"),
        (say("get_film", title="Winter Ferry", year=1987), "invalid_arguments"),
        (say("get_film", title={"a": [{}]}), "invalid_arguments"),
        (say("__import__", name="os"), "unknown_tool"),
        (say("x" * 60_000), "unknown_tool"),
        (say("\x00"), "unknown_tool"),
        (say("get_film", title="é" * 60_000), "tool_error"),
        (say("get_film", title="Unknown"), "tool_error"),
    ],
    ids=range(16),
)
def test_a_mistake_is_answered_by_a_readable_error(action, code, isolation):
    with make(CHAIN, isolation=isolation) as env:
        env.reset(seed=0)
        observation, reward, terminated, truncated, info = env.step(action)
        assert observation in env.observation_space
        (line,) = [line for line in observation.split("\n") if line.startswith("{")]
        error = orjson.loads(line)["error"]
        assert error["code"] == code
        assert 5 < len(error["message"]) < 1000
        assert (reward, terminated, truncated, info["calls"]) == (0.0, False, False, 1)
        assert info["invalid_calls"] == (code != "tool_error")
        orjson.dumps(info["messages"])
        assert env.step(FILM)[1] > 0


@pytest.mark.parametrize("action", ["", " ", "\x00", "\ud800", "x" * 10_000_000, "<think>" * 10, "</tool_call>", "{}"])
def test_text_without_a_call_is_a_final_answer(action):
    with make(CHAIN) as env:
        observation, reward, terminated, truncated, info = play(env, [action])[0]
    assert (observation, reward, terminated, truncated) == ("", 0.0, True, False)
    assert info["final_answer_correct"] is False
    orjson.dumps(info["messages"])


def test_too_many_calls_in_a_turn_are_not_run():
    with make(CHAIN) as env:
        observation, *_, info = play(env, [FILM * (MAX_CALLS + 5)])[0]
    assert observation.count("<tool_response>") == MAX_CALLS + 1
    assert info["calls"] == MAX_CALLS + 1


@pytest.mark.parametrize("action", [None, 3, {"role": "assistant", "content": "Oslo"}, b"Oslo"])
def test_an_action_that_is_no_text_is_the_callers_mistake(action):
    with make(CHAIN) as env:
        env.reset(seed=0)
        with pytest.raises(TypeError, match="an action is the assistant's text, found"):
            env.step(action)
        assert env.step(FILM)[1] > 0


# --- how episodes begin and end


def test_max_turns_truncates_with_the_reward_paid():
    with make(CHAIN, max_turns=2) as env:
        steps = play(env, [FILM, PERSON, COUNTRY])
    assert len(steps) == 2
    assert steps[-1][2:4] == (False, True)
    assert steps[-1][4]["stop_reason"] == "max_turns"
    assert steps[-1][4]["final_answer_correct"] is False
    assert total(steps) == pytest.approx(4 / 5)


def test_a_final_answer_in_the_last_turn_terminates():
    with make(CHAIN, max_turns=1) as env:
        assert play(env, [ANSWER])[0][2:4] == (True, False)


def test_stop_when_solved_ends_the_episode():
    with make(CHAIN, stop_when_solved=True) as env:
        steps = play(env, CHAIN_TURNS)
    assert len(steps) == 3
    assert steps[-1][2:4] == (True, False)
    assert steps[-1][4]["stop_reason"] == "solved"
    assert total(steps) == pytest.approx(1.0)


def test_tools_keep_state_within_an_episode_and_lose_it_after(isolation):
    balance = say("get_balance", account="Bo")
    move = say("transfer", source="Ada", target="Bo", amount=100)
    with make(STATEFUL, isolation=isolation) as env, make(STATEFUL, isolation=isolation) as other:
        for _ in range(2):
            env.reset()
            other.reset()
            assert '"balance":900' in env.step(balance)[0]
            env.step(move + move)
            assert '"balance":1100' in env.step(balance)[0]
            assert '"balance":900' in other.step(balance)[0]


def test_stepping_out_of_order_says_what_to_do():
    env = make(CHAIN)
    with pytest.raises(ResetNeeded, match="no episode has begun; call reset"):
        env.step(FILM)
    play(env, [ANSWER])
    with pytest.raises(ResetNeeded, match=r"ended \(final_answer\); call reset"):
        env.step(FILM)
    env.reset()
    env.step(FILM)
    env.close()
    env.close()
    for use in (lambda: env.step(FILM), env.reset):
        with pytest.raises(ClosedEnvironmentError, match="closed"):
            use()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"reward": "f2"}, "reward must be one of"),
        ({"beta": -1.0}, "beta must be"),
        ({"final_answer_weight": 2.0}, "final_answer_weight must be"),
        ({"max_turns": 0}, "max_turns must be at least 1"),
        ({"render_mode": "rgb_array"}, "render_mode must be one of"),
        ({"stop_when_solved": True, "final_answer_weight": 0.1}, "leaves no turn"),
    ],
)
def test_options_that_make_no_sense_are_refused(options, said):
    with pytest.raises(ValueError, match=said):
        make(CHAIN, **options)


def test_reset_takes_no_options():
    with make(CHAIN) as env:
        env.reset(options={})
        with pytest.raises(ValueError, match=r"reset takes no options, found \['level'\]"):
            env.reset(options={"level": 3})


# --- records and certificates


def test_a_record_needs_a_certificate_that_fits():
    good = CHAIN.model_copy(update={"certificate": Certificate(content_hash=CHAIN.content_hash(), checks=())})
    with ToolEnv(good, isolation="inprocess") as env:
        assert total(play(env, CHAIN_TURNS)) == pytest.approx(1.0)
    with pytest.raises(CertificateError, match="no certificate"):
        ToolEnv(CHAIN)
    tampered = good.model_copy(update={"question": "Another question?"})
    for options in ({}, {"require_certificate": False}):
        with pytest.raises(CertificateError, match="given to other content"):
            ToolEnv(tampered, **options)


def test_a_record_may_be_a_mapping_or_a_file(tmp_path):
    path = tmp_path / "chain.json"
    path.write_bytes(orjson.dumps(CHAIN.to_json()))
    for source in (CHAIN.to_json(), path, str(path)):
        assert make(source).tool_spec == CHAIN


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b'{"id": ', "not JSON"),
        (b"[]", "not an environment spec"),
        (orjson.dumps({**CHAIN.to_json(), "tools": []}), "tools: "),
        (orjson.dumps({**CHAIN.to_json(), "colour": "red"}), "colour: Extra inputs"),
        (None, "No such file"),
    ],
)
def test_a_record_that_cannot_be_read_says_where_and_why(tmp_path, content, said):
    path = tmp_path / "broken.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SpecError, match=said) as caught:
        make(path)
    assert str(path) in str(caught.value)


def test_something_else_is_no_record():
    with pytest.raises(SpecError, match="expected a ToolEnvSpec, a mapping or a path"):
        make(42)


# --- randomness, state and copies

DICE = ToolEnvSpec(
    id="test-dice-v0",
    question="Roll twice.",
    answer=number(1),
    sub_questions=(
        SubQuestion(id="q1", question="Roll.", answer=number(1), call=GoldCall(tool="roll"), result_path="/seen"),
    ),
    tools=(
        ToolFunction(
            name="roll",
            description="Roll a die of a thousand sides.",
            parameters={"type": "object", "properties": {}},
            source=(
                "import random\n\n"
                "def roll():\n"
                "    SEEN.append(random.randrange(1000))\n"
                "    return {'rolls': SEEN, 'seen': len(SEEN), 'set': sorted({str(x) for x in SEEN})}\n"
            ),
        ),
    ),
    data={"SEEN": []},
    max_turns=50,
    provenance=BY_HAND,
)
ROLL = say("roll")


def rolls(env: gym.Env[str, str], seed: int | None, n: int = 5) -> list[str]:
    env.reset(seed=seed)
    return [env.step(ROLL)[0] for _ in range(n)]


def test_the_seed_decides_the_tools_randomness(isolation):
    with make(DICE, isolation=isolation) as env:
        first = rolls(env, 3)
        unseeded = rolls(env, None)
        assert rolls(env, 3) == first
        assert rolls(env, None) == unseeded
        assert len({str(first), str(unseeded), str(rolls(env, 4))}) == 3


REPLAY = """
import sys, orjson
from astra_gym.env import ToolEnv
from tests.specs import ALL, GOLD_TURNS
from tests.test_env import DICE, ROLL
out = []
for spec, turns in [(DICE, [ROLL] * 4), *((s, GOLD_TURNS[s.id]) for s in ALL)]:
    with ToolEnv(spec, isolation=sys.argv[1], require_certificate=False) as env:
        out.append(repr(env.reset(seed=11)))
        out.append(env.action_space.seed(5) and env.action_space.sample())
        out += [repr(env.step(turn)) for turn in turns]
sys.stdout.write(orjson.dumps(out).decode())
"""


def test_seed_and_actions_give_the_same_bytes_in_every_process():
    outputs = set()
    for hash_seed, where in (("0", "inprocess"), ("1", "inprocess"), ("2", "worker")):
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        done = subprocess.run([sys.executable, "-c", REPLAY, where], env=environment, capture_output=True, check=True)
        outputs.add(done.stdout)
    assert len(outputs) == 1
    assert len(orjson.loads(outputs.pop())) == 4 * 2 + 4 + sum(map(len, GOLD_TURNS.values()))


COPIES = {
    "pickle": lambda env: pickle.loads(pickle.dumps(env)),
    "deepcopy": copy.deepcopy,
    "state": lambda env: restored(env, json.loads(json.dumps(env.get_state()))),
    "orjson state": lambda env: restored(env, orjson.loads(orjson.dumps(env.get_state()))),
}


def restored(env: ToolEnv, state: dict[str, Any]) -> ToolEnv:
    twin = make(env.tool_spec)
    twin.set_state(state)
    return twin


@pytest.mark.parametrize("duplicate", COPIES.values(), ids=COPIES)
@pytest.mark.parametrize("begin", ["seeded", "unseeded", "not at all", "ended"])
def test_a_copy_goes_on_as_the_original_does(duplicate, begin):
    env = make(DICE)
    if begin != "not at all":
        env.reset(seed=5)
    if begin == "unseeded":
        env.reset()
    if begin in ("seeded", "unseeded"):
        env.step(ROLL)
        env.step(ROLL + "<tool_call>{bad}")
    if begin == "ended":
        env.step("done")
    twin = duplicate(env)
    if begin in ("seeded", "unseeded"):
        assert twin.step(ROLL) == env.step(ROLL)
    else:
        for one in (env, twin):
            with pytest.raises(ResetNeeded):
                one.step(ROLL)
    if begin != "not at all":
        assert twin.reset() == env.reset()
    assert twin.reset(seed=8) == env.reset(seed=8)
    assert twin.step(ROLL * 2) == env.step(ROLL * 2)
    assert twin.np_random_seed == env.np_random_seed


def test_a_copy_keeps_options_spaces_and_gymnasium_spec():
    env = make(CHAIN, reward="recall", max_turns=1, render_mode="ansi")
    env.spec = gym.envs.registration.EnvSpec("copied/test-v0", entry_point=ToolEnv)
    env.action_space.seed(9)
    env.reset(seed=0)
    twin = copy.deepcopy(env)
    assert twin.spec == env.spec
    assert twin.action_space.sample() == env.action_space.sample()
    assert twin.step(FILM) == env.step(FILM)
    assert twin.render() == env.render()
    env.close()
    with pytest.raises(ClosedEnvironmentError):
        pickle.loads(pickle.dumps(env)).reset()


def test_a_state_belongs_to_its_record():
    env = make(CHAIN)
    env.reset(seed=0)
    with pytest.raises(ValueError, match=r"expected a state of 'test-join-v0', found one of 'test-chain-v0'"):
        make(JOIN).set_state(env.get_state())


# --- faults that are not the model's

BROKEN_PIPE = SandboxError("the worker is gone")


def test_a_fault_of_the_sandbox_is_retried_with_the_state_as_it_was():
    with faulty(STATEFUL, {1: BROKEN_PIPE}) as env:
        steps = play(env, GOLD_TURNS[STATEFUL.id])
    assert total(steps) == pytest.approx(1.0)


def test_a_worker_that_is_killed_is_replaced_with_the_state_as_it_was():
    first, *others = GOLD_TURNS[STATEFUL.id]
    with make(STATEFUL, isolation="worker") as env:
        env.reset(seed=0)
        earned = env.step(first)[1]
        os.kill(env.executor._worker.pid, signal.SIGKILL)
        for turn in others:
            _, reward, _, _, info = env.step(turn)
            earned += reward
    assert earned == pytest.approx(1.0)
    assert "infrastructure_error" not in info


def test_a_fault_within_a_turn_runs_the_whole_turn_again():
    move = say("transfer", source="Ada", target="Bo", amount=250)
    with faulty(STATEFUL, {1: BROKEN_PIPE}) as env:
        steps = play(env, [move + say("get_balance", account="Bo")])
    assert '"balance":1150' in steps[0][0]
    assert steps[0][4]["calls"] == 2


def test_a_second_fault_truncates_without_touching_the_reward():
    with faulty(CHAIN, {1: BROKEN_PIPE, 2: BROKEN_PIPE, 3: BROKEN_PIPE}) as env:
        steps = play(env, CHAIN_TURNS)
        observation, reward, terminated, truncated, info = steps[-1]
        assert len(steps) == 2
        assert (reward, terminated, truncated) == (0.0, False, True)
        assert info["stop_reason"] == "infrastructure_error"
        assert info["infrastructure_error"] == "the sandbox failed: the worker is gone"
        assert "internal_error" in observation
        assert info["calls"] == 1
        assert total(steps) == pytest.approx(info["breakdown"].f1)
        env.reset()


@pytest.mark.parametrize("code", ["tool_crashed", "internal_error"])
def test_a_crash_ends_the_episode_as_a_fault(code):
    with faulty(CHAIN, {1: ToolError(code, "signal 11")}) as env:
        *_, (_, reward, terminated, truncated, info) = play(env, CHAIN_TURNS)
    assert (reward, terminated, truncated) == (0.0, False, True)
    assert (info["stop_reason"], info["infrastructure_error"]) == ("infrastructure_error", "signal 11")


def test_a_timeout_truncates_and_is_marked_as_not_repeatable():
    with faulty(CHAIN, {1: ToolError("tool_timeout", "over 2 s")}) as env:
        *_, (_, reward, terminated, truncated, info) = play(env, CHAIN_TURNS)
    assert reward == pytest.approx(2 / 5 - 2 / 4)
    assert (terminated, truncated, info["nondeterministic"], info["stop_reason"]) == (False, True, True, "truncated")


def test_an_injected_fault_is_excused_once_the_call_is_made_again():
    with faulty(CHAIN, {1: ToolError("injected_fault", "try again")}) as env:
        steps = play(env, [FILM, PERSON, PERSON, COUNTRY, ANSWER])
    assert total(steps) == pytest.approx(1.0)
    assert steps[-1][4]["calls"] == 4
    assert steps[-1][4]["breakdown"].calls == 3
    with faulty(CHAIN, {1: ToolError("injected_fault", "try again")}) as env:
        assert total(play(env, [FILM, PERSON, COUNTRY])) == pytest.approx(4 / 6)


LOOPING = CHAIN.model_copy(
    update={
        "tools": (
            *CHAIN.tools,
            ToolFunction(
                name="spin",
                description="Never ends.",
                parameters={"type": "object", "properties": {}},
                source="def spin():\n    while True:\n        pass\n",
            ),
        )
    }
)


def test_a_tool_that_never_ends_is_answered_within_its_budget(isolation):
    with make(LOOPING, isolation=isolation) as env:
        env.reset(seed=0)
        observation, _, _, truncated, info = env.step(say("spin"))
        assert "limit_exceeded" in observation
        assert (truncated, info["calls"], info["invalid_calls"]) == (False, 1, 0)
        assert env.step(FILM)[1] > 0


# --- Gymnasium


@pytest.fixture(params=ALL, ids=lambda spec: spec.id)
def env_id(request: pytest.FixtureRequest) -> Iterator[str]:
    env_id = f"tests/{request.param.id}"
    options = {"spec": request.param, "require_certificate": False, "isolation": "inprocess"}
    gym.register(env_id, entry_point="astra_gym.env:ToolEnv", kwargs=options)
    yield env_id
    del gym.registry[env_id]


def test_the_env_checker_has_nothing_to_say(env_id):
    with gym.make(env_id) as env:
        check_env(env.unwrapped)


def test_gymnasiums_wrappers_work(env_id):
    turns = GOLD_TURNS[env_id.removeprefix("tests/")]
    with RecordEpisodeStatistics(gym.make(env_id)) as env:
        info = play(env, turns)[-1][4]
        assert info["episode"]["r"] == pytest.approx(1.0)
        assert info["episode"]["l"] == len(turns)
    with TimeLimit(gym.make(env_id), 1) as env:
        steps = play(env, turns)
        assert steps[0][2:4] == (False, True)
        assert total(steps) == pytest.approx(steps[0][4]["breakdown"].f1)


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_gymnasiums_vector_envs_work(env_id, mode, isolation):
    turns = GOLD_TURNS[env_id.removeprefix("tests/")]
    envs = gym.make_vec(env_id, num_envs=2, vectorization_mode=mode, isolation=isolation)
    observations, infos = envs.reset(seed=0)
    question = next(spec for spec in ALL if env_id.endswith(spec.id)).question
    assert observations == (question, question)
    earned = np.zeros(2)
    for turn in turns:
        observations, rewards, terminations, truncations, infos = envs.step((turn, turns[0]))
        earned += rewards
    assert earned[0] == pytest.approx(1.0)
    assert terminations.tolist() == [True, False]
    assert truncations.tolist() == [False, False]
    assert infos["calls"].tolist()[0] == infos["breakdown"][0].calls
    assert infos["stop_reason"].tolist() == ["final_answer", None]
    assert infos["_stop_reason"].tolist() == [True, False]
    observations, *_ = envs.step((turns[0], turns[0]))
    assert observations[0] == question
    assert observations in envs.observation_space
    envs.close()


def test_the_transcript_is_returned_or_printed(capsys):
    with make(CHAIN, render_mode="ansi") as env:
        play(env, [FILM, ANSWER])
        shown = env.render()
    assert shown.startswith(f"[user] {CHAIN.question}\n[assistant] {FILM}\n<tool_response>")
    assert shown.endswith(f"[assistant] {ANSWER}")
    with make(CHAIN, render_mode="human") as env:
        play(env, [FILM, ANSWER])
        assert env.render() is None
        copy.deepcopy(env).close()
    assert capsys.readouterr().out == shown + "\n"
    with make(CHAIN) as env:
        env.reset()
        assert env.render() is None


def test_the_action_space_knows_the_tools_and_samples_them():
    with make(CHAIN) as env:
        assert env.action_space.tools == CHAIN.tool_schemas
        env.action_space.seed(0)
        env.reset(seed=0)
        for _ in range(8):
            info = env.step(env.action_space.sample())[4]
        assert info["invalid_calls"] == 0


def test_a_long_question_is_within_the_observation_space():
    spec = CHAIN.model_copy(update={"question": "Why? " * 100_000, "answer": text("So")})
    with make(spec) as env:
        assert env.reset(seed=0)[0] in env.observation_space
