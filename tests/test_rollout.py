"""Episodes from end to end: played, written, read, and played again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import gymnasium as gym
import pytest
from gymnasium.envs.registration import registry
from gymnasium.wrappers import RecordEpisodeStatistics, TimeLimit, TransformReward

import astra_gym
from astra_gym.env import ToolEnv
from astra_gym.errors import ModelError, SandboxError, UnknownEnvError
from astra_gym.models import OpenAIModel, OracleModel, RandomModel, ScriptedModel
from astra_gym.rollout import TrajectoryError, first_difference, read_trajectories, replay, rollout, write_trajectories
from astra_gym.suite import write_suite
from astra_gym.tool_calls import render_turn
from astra_gym.types import Message, ToolCall, ToolEnvSpec, ToolError, ToolResult, Trajectory
from tests.models.chat_server import completion, failure, serving
from tests.specs import ALL, CHAIN, JOIN
from tests.suites import certified


def call(name: str, /, **arguments: Any) -> str:
    return render_turn("", [ToolCall(name, arguments)])


FILM = call("get_film", title="Winter Ferry")
PERSON = call("get_person", name="Ingrid Dahl")
COUNTRY = call("get_country", name="Norway")
MakeEnv = Callable[..., ToolEnv]


@pytest.fixture
def make_env() -> Iterator[MakeEnv]:
    """Makes bare envs of uncertified specs and closes them."""
    made: list[ToolEnv] = []

    def make(spec: ToolEnvSpec = CHAIN, **options: Any) -> ToolEnv:
        made.append(ToolEnv(spec, require_certificate=False, isolation="inprocess", **options))
        return made[-1]

    yield make
    for env in made:
        env.close()


@pytest.fixture
def registered(tmp_path: Path) -> Iterator[list[str]]:
    """The ids `mine/...` of the three hand-written specs."""
    before = dict(registry)
    write_suite(tmp_path / "s.jsonl", [certified(spec) for spec in ALL])
    yield astra_gym.register_suite(tmp_path / "s.jsonl", "mine", isolation="inprocess")
    registry.clear()
    registry.update(before)


# --- playing -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("parallel", [True, False])
@pytest.mark.parametrize("spec", ALL, ids=lambda spec: spec.id)
def test_the_oracle_earns_everything(make_env: MakeEnv, spec: ToolEnvSpec, parallel: bool) -> None:
    trajectory = rollout(make_env(spec), OracleModel(parallel=parallel))
    assert trajectory.total_reward == pytest.approx(1.0)
    assert trajectory.solved == trajectory.needed == trajectory.calls
    assert trajectory.stop_reason == "final_answer"
    assert trajectory.final_answer_correct
    assert set(trajectory.edges.values()) == {"satisfied"}
    assert set(trajectory.solved_ids) == {sub.id for sub in spec.needed}


def test_the_parallel_oracle_takes_a_turn_a_level(make_env: MakeEnv) -> None:
    assert len(rollout(make_env(JOIN), OracleModel()).actions) == 3
    assert len(rollout(make_env(JOIN), OracleModel(parallel=False)).actions) == 4


@pytest.mark.parametrize(
    ("turns", "expected"),
    [
        ([FILM, PERSON, COUNTRY, "Oslo"], 1.0),
        ([FILM, FILM, PERSON, COUNTRY, "Oslo"], 6 / 7),
        ([FILM, PERSON, "Norway"], 4 / 5),
        ([FILM, "I give up"], 2 / 4),
        (["Oslo"], 0.0),
        ([call("get_film", title="Salt Road"), "Oslo"], 0.0),
        (["<tool_call>oops</tool_call>", FILM, "Oslo"], 2 / 5),
    ],
)
def test_the_return_is_the_f1_of_the_trajectory(make_env: MakeEnv, turns: Sequence[str], expected: float) -> None:
    trajectory = rollout(make_env(), ScriptedModel(*turns))
    assert trajectory.total_reward == pytest.approx(expected)
    assert trajectory.breakdown.f1 == pytest.approx(expected)


def test_the_random_model_hardly_earns(make_env: MakeEnv) -> None:
    env = make_env()
    rewards = [rollout(env, RandomModel(), seed=seed).total_reward for seed in range(30)]
    assert sum(rewards) / len(rewards) < 0.1


def test_the_messages_are_the_conversation(make_env: MakeEnv) -> None:
    trajectory = rollout(make_env(), ScriptedModel(FILM, "Oslo"), system_prompt="Be brief.")
    assert [message["role"] for message in trajectory.messages] == ["system", "user", "assistant", "tool", "assistant"]
    assert trajectory.messages[0]["content"] == "Be brief."
    assert trajectory.messages[1]["content"] == CHAIN.question
    assert '"Ingrid Dahl"' in trajectory.messages[3]["content"]
    assert trajectory.messages[4] == {"role": "assistant", "content": "Oslo"}
    assert trajectory.tools == tuple(CHAIN.tool_schemas)
    assert trajectory.actions == (FILM, "Oslo")
    assert trajectory.model == "scripted"


class Listener(ScriptedModel):
    """Keeps what it was given to read."""

    def reply(self, messages: Sequence[Message], tools: Sequence[dict[str, Any]]) -> str:
        self.read = [message["role"] for message in messages]
        return super().reply(messages, tools)


def test_a_model_reads_all_that_came_before(make_env: MakeEnv) -> None:
    model = Listener(FILM, PERSON, "Oslo")
    rollout(make_env(), model)
    assert model.read == ["user", "assistant", "tool", "assistant", "tool"]


def test_what_the_tables_group_by_is_recorded(make_env: MakeEnv) -> None:
    trajectory = rollout(make_env(JOIN), ScriptedModel("<tool_call>?</tool_call>", "42"))
    assert trajectory.metadata == {
        "domain": "geography",
        "scenario_type": "Parallel Multi-Hop",
        "hops": JOIN.hops,
        "distractor_band": "none",
        "invalid_calls": 1,
    }


def test_lone_surrogates_are_played_and_written(make_env: MakeEnv, tmp_path: Path) -> None:
    trajectory = rollout(make_env(), ScriptedModel(call("get_film", title="x") + "\ud800", "\udfff"))
    write_trajectories(tmp_path / "t.jsonl", [trajectory])
    assert list(read_trajectories(tmp_path / "t.jsonl")) == [trajectory]


# --- ends ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrap", "options", "reason"),
    [
        (lambda env: env, {"max_steps": 2}, "truncated"),
        (lambda env: TimeLimit(env, 2), {}, "truncated"),
        (lambda env: RecordEpisodeStatistics(TimeLimit(env, 2)), {}, "truncated"),
    ],
)
def test_an_episode_cut_from_outside_keeps_what_it_earned(
    make_env: MakeEnv, wrap: Callable[[gym.Env[str, str]], gym.Env[str, str]], options: dict[str, Any], reason: str
) -> None:
    trajectory = rollout(wrap(make_env()), OracleModel(), **options)
    assert trajectory.stop_reason == reason
    assert trajectory.total_reward == pytest.approx(4 / 5)
    assert trajectory.final_answer_correct is None


def test_the_env_says_why_it_ended(make_env: MakeEnv) -> None:
    assert rollout(make_env(max_turns=2), OracleModel()).stop_reason == "max_turns"
    assert rollout(make_env(stop_when_solved=True), OracleModel()).stop_reason == "solved"


def test_a_wrapper_that_changes_the_reward_is_heard(make_env: MakeEnv) -> None:
    trajectory = rollout(TransformReward(make_env(), lambda reward: 10 * reward), OracleModel())
    assert trajectory.total_reward == pytest.approx(10.0)
    assert trajectory.breakdown.f1 == 1.0


def test_a_model_that_fails_ends_the_episode_or_raises(make_env: MakeEnv) -> None:
    trajectory = rollout(make_env(), ScriptedModel(FILM))
    assert trajectory.stop_reason == "model_error"
    assert "the script has 1 turns" in trajectory.metadata["error"]
    assert trajectory.total_reward == pytest.approx(0.5)
    with pytest.raises(ModelError, match="the script has 1 turns"):
        rollout(make_env(), ScriptedModel(FILM), strict=True)


class GoneExecutor:
    """A sandbox whose workers die as soon as they get a call."""

    isolation = "none"
    missing_locks = ()

    def reset(self, seed: int) -> None: ...

    def __call__(self, call: ToolCall) -> ToolResult:
        raise SandboxError(f"the worker died of {call.name}")

    def batch(self, calls: Sequence[ToolCall]) -> list[ToolResult]:
        return [self(call) for call in calls]

    def close(self) -> None: ...


def test_a_broken_sandbox_is_not_the_models_fault(make_env: MakeEnv) -> None:
    env = make_env()
    env.executor = GoneExecutor()
    trajectory = rollout(env, OracleModel())
    assert trajectory.stop_reason == "infrastructure_error"
    assert "infrastructure_error" in trajectory.metadata


class FaultyExecutor:
    """The env's own executor, but each call meets a fault the first time."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner
        self.isolation, self.missing_locks = inner.isolation, inner.missing_locks
        self.seen: set[str] = set()

    def reset(self, seed: int) -> None:
        self.inner.reset(seed)

    def __call__(self, call: ToolCall) -> ToolResult:
        if (key := repr(call)) in self.seen:
            result: ToolResult = self.inner(call)
            return result
        self.seen.add(key)
        return ToolResult(error=ToolError("injected_fault", "the service is busy; try again"))

    def batch(self, calls: Sequence[ToolCall]) -> list[ToolResult]:
        return [self(call) for call in calls]

    def close(self) -> None:
        self.inner.close()


def test_the_oracle_gets_through_faults_and_they_cost_nothing(make_env: MakeEnv) -> None:
    env = make_env(JOIN)
    env.executor = FaultyExecutor(env.executor)
    trajectory = rollout(env, OracleModel())
    assert len(trajectory.actions) == 5
    assert trajectory.total_reward == pytest.approx(1.0)


def test_an_endpoint_plays_an_episode(make_env: MakeEnv) -> None:
    replies = [
        completion(None, [("get_film", {"title": "Winter Ferry"})]),
        completion("Next.", [("get_person", {"name": "Ingrid Dahl"})]),
        completion(None, [("get_country", {"name": "Norway"})]),
        completion("The answer is Oslo."),
    ]
    with serving(*replies) as server, OpenAIModel("authored", base_url=server.base_url) as model:
        trajectory = rollout(make_env(), model)
        roles = [message["role"] for message in server.requests[-1]["messages"]]
    assert trajectory.total_reward == pytest.approx(1.0)
    assert trajectory.final_answer_correct
    assert trajectory.metadata["usage"]["requests"] == 4
    assert trajectory.metadata["usage"]["total_tokens"] == 60
    assert roles == ["user", *["assistant", "tool"] * 3]
    assert replay(trajectory, make_env()) == trajectory


def test_an_endpoint_that_fails_midway_is_masked_not_scored_zero(make_env: MakeEnv) -> None:
    replies = [completion(None, [("get_film", {"title": "Winter Ferry"})]), failure(401, "key expired")]
    with serving(*replies) as server, OpenAIModel("authored", base_url=server.base_url) as model:
        trajectory = rollout(make_env(), model)
    assert trajectory.stop_reason == "model_error"
    assert "key expired" in trajectory.metadata["error"]
    assert replay(trajectory, make_env()) == trajectory


# --- replay --------------------------------------------------------------------------------------------------------


def test_a_trajectory_replays_by_its_id(registered: list[str]) -> None:
    for env_id in registered:
        env = gym.make(env_id)
        for model in (OracleModel(), RandomModel()):
            trajectory = rollout(env, model, seed=5, system_prompt="Think.")
            assert trajectory.env_id == env_id
            assert replay(trajectory) == trajectory
            assert replay(Trajectory.model_validate(trajectory.to_json())) == trajectory
        env.close()


@pytest.mark.parametrize(
    "options", [{"reward": "recall"}, {"beta": 2.0}, {"final_answer_weight": 0.5}, {"max_turns": 1}]
)
def test_scoring_options_are_part_of_the_record(registered: list[str], options: dict[str, Any]) -> None:
    env = gym.make(registered[0], **options)
    trajectory = rollout(env, ScriptedModel(FILM, "Oslo"))
    env.close()
    assert trajectory.metadata["env_kwargs"] == options
    assert replay(trajectory) == trajectory


@pytest.mark.parametrize(
    ("turns", "options"), [([FILM], {}), ([], {}), ([FILM, "Oslo"], {"max_steps": 1}), ([FILM], {"max_steps": 0})]
)
def test_an_episode_that_did_not_end_replays_too(
    make_env: MakeEnv, turns: Sequence[str], options: dict[str, Any]
) -> None:
    trajectory = rollout(make_env(), ScriptedModel(*turns), **options)
    assert replay(trajectory, make_env()) == trajectory


@pytest.mark.parametrize(
    ("changes", "difference"),
    [
        ({"rewards": (0.5, 0.3, 0.2, 0.0)}, r"reward of step 1: recorded '0\.3', now '0\.3000000"),
        ({"rewards": (0.5,)}, "reward of step 1: recorded 1 in all, now 4"),
        ({"solved": 2}, "solved: recorded '2', now '3'"),
        ({"edges": {}}, "edges: "),
        ({"stop_reason": "max_turns"}, "stop_reason: recorded '\"max_turns\"', now '\"final_answer\"'"),
        ({"stop_reason": "model_error"}, "stop_reason: "),
        ({"final_answer_correct": False}, "final_answer_correct: recorded 'false', now 'true'"),
        ({"actions": (FILM, PERSON, "Oslo")}, "message 5: "),
        ({"actions": (FILM, PERSON, COUNTRY)}, "message 7: recorded 8 in all, now 7"),
        ({"seed": 1, "model": "another"}, None),
    ],
)
def test_the_first_difference_is_named(make_env: MakeEnv, changes: dict[str, Any], difference: str | None) -> None:
    trajectory = rollout(make_env(), OracleModel()).model_copy(update=changes)
    if difference is None:
        assert replay(trajectory, make_env()) == trajectory
    else:
        with pytest.raises(TrajectoryError, match=rf"test-chain-v0 seed 0 does not replay: {difference}"):
            replay(trajectory, make_env())


def test_another_answer_of_a_tool_is_a_difference(make_env: MakeEnv) -> None:
    trajectory = rollout(make_env(), OracleModel())
    data = {**CHAIN.data, "FILMS": {"Winter Ferry": {"director": "Ingrid Dahl", "year": 1988}}}
    with pytest.raises(TrajectoryError, match=r"message 2: recorded .*1987.*, now .*1988"):
        replay(trajectory, make_env(CHAIN.model_copy(update={"data": data})))


def test_replaying_what_is_not_registered_says_what_to_do(make_env: MakeEnv) -> None:
    trajectory = rollout(make_env(), ScriptedModel("Oslo"))
    with pytest.raises(UnknownEnvError, match=r"'test-chain-v0' cannot be made .*register its suite .*or pass the env"):
        replay(trajectory)


def test_equal_trajectories_have_no_difference(make_env: MakeEnv) -> None:
    trajectory = rollout(make_env(), OracleModel())
    assert first_difference(trajectory, trajectory) is None


# --- files ---------------------------------------------------------------------------------------------------------


def test_trajectories_are_written_read_and_appended(make_env: MakeEnv, tmp_path: Path) -> None:
    path = tmp_path / "runs" / "t.jsonl"
    played = [rollout(make_env(spec), OracleModel(), seed=7) for spec in ALL]
    assert write_trajectories(path, played[:2]) == 2
    assert write_trajectories(path, played[2:], append=True) == 1
    assert list(read_trajectories(path)) == played
    assert write_trajectories(path, played[:1]) == 1
    assert list(read_trajectories(path)) == played[:1]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda raw: raw[:-20], r"t\.jsonl:2: not JSON at column \d+"),
        (lambda raw: raw.replace(b'"seed"', b'"sead"', 1), r"t\.jsonl:1: not a trajectory: seed: Field required"),
        (lambda raw: b"[]\n" + raw, r"t\.jsonl:1: not a trajectory: record: "),
        (lambda raw: b"\x1f\x8b" + raw, r"t\.jsonl: this is gzip data"),
    ],
)
def test_a_damaged_file_is_named_with_its_line(
    make_env: MakeEnv, tmp_path: Path, damage: Callable[[bytes], bytes], message: str
) -> None:
    path = tmp_path / "t.jsonl"
    write_trajectories(path, [rollout(make_env(), OracleModel(), seed=seed) for seed in (1, 2)])
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(TrajectoryError, match=message):
        list(read_trajectories(path))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(TrajectoryError, match=r"t\.jsonl: No such file"):
        list(read_trajectories(tmp_path / "t.jsonl"))
