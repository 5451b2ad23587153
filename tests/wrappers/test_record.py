"""`RecordTrajectory` keeps episodes as they were played, in memory and as JSONL that replays."""

from __future__ import annotations

import pickle

import gymnasium as gym
import orjson
import pytest
from gymnasium.error import ResetNeeded
from gymnasium.wrappers import TimeLimit

from astra_gym.env import ToolEnv
from astra_gym.types import Trajectory
from astra_gym.wrappers import RecordTrajectory
from tests.specs import CHAIN, CHAIN_TURNS, JOIN, JOIN_TURNS

FILM, PERSON, COUNTRY, ANSWER = CHAIN_TURNS


def make(**options):
    return ToolEnv(CHAIN, isolation="inprocess", require_certificate=False, **options)


def read(path):
    return [Trajectory.model_validate(orjson.loads(line)) for line in path.read_bytes().splitlines()]


def test_an_episode_is_kept_as_it_was_played(tmp_path):
    path = tmp_path / "episodes.jsonl"
    env = RecordTrajectory(make(), path, metadata={"run": 7})
    _, first = env.reset(seed=3)
    infos = [first, *(env.step(turn)[4] for turn in CHAIN_TURNS)]
    recorded = env.trajectory
    assert recorded.actions == CHAIN_TURNS
    assert recorded.total_reward == pytest.approx(1.0)
    assert recorded.messages == tuple(message for info in infos for message in info["messages"])
    assert (recorded.env_id, recorded.seed, recorded.stop_reason) == (CHAIN.id, 3, "final_answer")
    assert (recorded.needed, recorded.solved, recorded.calls) == (3, 3, 3)
    assert recorded.solved_ids == ("q1", "q2", "q3")
    assert recorded.edges == {"q1->q2": "satisfied", "q2->q3": "satisfied"}
    assert recorded.final_answer_correct is True
    assert list(recorded.tools) == CHAIN.tool_schemas
    assert recorded.metadata["run"] == 7
    env.close()
    assert read(path) == [recorded]


def test_a_record_replays(tmp_path):
    env = RecordTrajectory(make(), tmp_path / "episodes.jsonl")
    env.reset()
    for turn in ["<tool_call>{", "\ud800" + FILM, PERSON + FILM, "\ud800"]:
        env.step(turn)
    (recorded,) = read(tmp_path / "episodes.jsonl")
    again = RecordTrajectory(make())
    again.reset(seed=recorded.seed)
    for turn in recorded.actions:
        again.step(turn)
    assert again.trajectory == recorded


def test_an_episode_that_is_left_is_written_as_truncated(tmp_path):
    path = tmp_path / "episodes.jsonl"
    env = RecordTrajectory(make(), path)
    env.reset(seed=0)
    env.step(FILM)
    env.reset(seed=1)
    env.reset(seed=2)
    env.step(FILM)
    env.step(ANSWER)
    env.reset(seed=3)
    env.step(PERSON)
    env.close()
    env.close()
    assert [(t.seed, len(t.actions), t.stop_reason) for t in read(path)] == [
        (0, 1, "truncated"),
        (2, 2, "final_answer"),
        (3, 1, "truncated"),
    ]


def test_a_time_limit_inside_is_seen(tmp_path):
    env = RecordTrajectory(TimeLimit(make(), 1), tmp_path / "episodes.jsonl")
    env.reset(seed=0)
    env.step(FILM)
    (recorded,) = read(tmp_path / "episodes.jsonl")
    assert (recorded.stop_reason, recorded.total_reward) == ("truncated", 0.5)


def test_it_goes_through_gymnasium_make_and_copies():
    gym.register(
        "tests/recorded-v0",
        entry_point="astra_gym.env:ToolEnv",
        kwargs={"spec": JOIN, "isolation": "inprocess", "require_certificate": False},
        additional_wrappers=(RecordTrajectory.wrapper_spec(path=None, metadata={"a": 1}),),
    )
    try:
        env = gym.make("tests/recorded-v0")
        assert isinstance(env, RecordTrajectory)
        env.reset(seed=0)
        env.step(JOIN_TURNS[0])
        twin = pickle.loads(pickle.dumps(env))
        for one in (env, twin):
            one.step(JOIN_TURNS[1])
        assert twin.trajectory == env.trajectory
        assert env.trajectory.env_id == "tests/recorded-v0"
    finally:
        del gym.registry["tests/recorded-v0"]


def test_it_records_tool_envs_after_a_reset():
    with pytest.raises(TypeError, match="records a ToolEnv, found CartPoleEnv"):
        RecordTrajectory(gym.make("CartPole-v1"))
    with pytest.raises(ResetNeeded, match="call reset"):
        _ = RecordTrajectory(make()).trajectory


def test_an_episode_with_options_of_its_own_replays():
    import astra_gym

    env = RecordTrajectory(gym.make(astra_gym.shipped_ids()[0], reward="recall", max_turns=2))
    env.reset(seed=1)
    env.step('<tool_call>{"name": "none", "arguments": {}}</tool_call>')
    env.step('<tool_call>{"name": "none", "arguments": {}}</tool_call>')
    recorded = env.trajectory
    assert recorded.stop_reason == "max_turns"
    assert recorded.metadata["env_kwargs"] == {"reward": "recall", "max_turns": 2}
    assert astra_gym.replay(recorded) == recorded
