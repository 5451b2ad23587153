"""A stranger's test: every shipped env, played and mistreated."""

from __future__ import annotations

import copy
import pickle
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import gymnasium as gym
import orjson
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.wrappers import RecordEpisodeStatistics, TimeLimit
from jsonschema import Draft202012Validator

import astra_gym
from astra_gym.certify import Certifier
from astra_gym.registration import SHIPPED
from astra_gym.suite import open_suite
from astra_gym.types import Certificate, ToolEnvSpec

IDS = astra_gym.shipped_ids()


@pytest.fixture(scope="module")
def certifier() -> Iterator[Certifier]:
    with Certifier() as certifier:
        yield certifier


def spec_of(env_id: str) -> ToolEnvSpec:
    return open_suite(SHIPPED).load(env_id.removeprefix("astra/"))


def test_the_suite_is_as_wide_as_it_says() -> None:
    specs = [spec_of(env_id) for env_id in IDS]
    assert len(specs) >= 80
    assert len({spec.domain for spec in specs}) >= 5
    assert {spec.scenario_type for spec in specs} == {
        "Single-Hop",
        "Parallel Single-Hop",
        "Multi-Hop",
        "Parallel Multi-Hop",
    }
    assert {spec.hops for spec in specs} >= {1, 2, 3, 4, 5, 6}
    assert sum(path.stat().st_size for path in SHIPPED.glob("*.json")) < 4_000_000
    assert Counter(spec.question for spec in specs).most_common(1)[0][1] == 1
    assert all(spec.provenance.license for spec in specs)


def test_a_part_of_the_suite_was_authored_and_says_so() -> None:
    specs = [spec_of(env_id) for env_id in IDS]
    authored = [spec for spec in specs if spec.provenance.door == "llm"]
    assert len(authored) >= 24
    assert {spec.language for spec in authored} == {"en", "zh"}
    assert all(spec.provenance.license == "Apache-2.0" for spec in authored)
    assert all("authored by hand" in str(spec.provenance.details["note"]) for spec in authored)
    others = [spec for spec in specs if spec not in authored]
    assert {spec.provenance.door for spec in others} == {"tables"}
    assert [spec.id for spec in specs] == [spec.id for spec in (*others, *authored)]  # ids[:n] are made from tables


def test_the_schema_file_is_the_types_schema_and_accepts_every_spec() -> None:
    schema = orjson.loads((SHIPPED / "schema.json").read_bytes())
    assert schema == orjson.loads(orjson.dumps(ToolEnvSpec.model_json_schema()))
    validator = Draft202012Validator(schema)
    for path in SHIPPED.glob("*-v*.json"):
        validator.validate(orjson.loads(path.read_bytes()))


@pytest.mark.parametrize("env_id", IDS)
def test_every_shipped_env_is_certified_again(certifier: Certifier, env_id: str) -> None:
    spec = spec_of(env_id)
    outcome = certifier.certify(spec)
    assert isinstance(outcome, Certificate), outcome
    assert spec.certificate is not None
    assert outcome.content_hash == spec.certificate.content_hash


@pytest.mark.parametrize("env_id", IDS)
def test_every_shipped_env_is_a_well_behaved_gymnasium_env(env_id: str) -> None:
    env = gym.make(env_id)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(env.unwrapped, skip_render_check=True)
    oracle = astra_gym.rollout(env, astra_gym.OracleModel(), seed=3)
    assert oracle.total_reward == pytest.approx(1.0)
    assert oracle.final_answer_correct
    assert set(oracle.edges.values()) <= {"satisfied"}
    assert astra_gym.replay(oracle, env) == oracle

    env.reset(seed=3)
    env.step(oracle.actions[0])
    twins = [copy.deepcopy(env), pickle.loads(pickle.dumps(env))]
    steps = [e.step(oracle.actions[1]) for e in (env, *twins)]
    assert steps[0][:4] == steps[1][:4] == steps[2][:4]
    assert orjson.dumps(steps[0][4]["messages"]) == orjson.dumps(steps[2][4]["messages"])
    for e in (env, *twins):
        e.close()


@pytest.mark.parametrize("env_id", IDS[::8])
def test_gymnasiums_wrappers_and_vectors_take_a_shipped_env(env_id: str) -> None:
    env = RecordEpisodeStatistics(TimeLimit(gym.make(env_id), max_episode_steps=1))
    env.reset(seed=0)
    *_, truncated, info = env.step(env.action_space.sample())
    assert truncated
    assert info["episode"]["l"] == 1
    env.close()
    for mode in ("sync", None):
        vector = gym.make_vec(env_id, num_envs=2, vectorization_mode=mode)
        observations, _ = vector.reset(seed=[1, 2])
        assert len(observations) == 2
        _, rewards, terminated, truncated_, _ = vector.step(["I do not know.", "Nor do I."])
        assert rewards.shape == terminated.shape == truncated_.shape == (2,)
        assert terminated.all()
        vector.close()


def test_one_shipped_env_runs_in_gymnasiums_async_vector() -> None:
    vector = gym.make_vec(IDS[0], num_envs=2, vectorization_mode="async")
    try:
        vector.reset(seed=0)
        assert vector.step(["done", "done"])[2].all()
    finally:
        vector.close()


def test_the_random_policy_hardly_scores(tmp_path: Path) -> None:
    trajectories = []
    for env_id in IDS[::2]:
        env = gym.make(env_id)
        trajectories.append(astra_gym.rollout(env, astra_gym.RandomModel(), seed=1))
        env.close()
    assert sum(t.total_reward for t in trajectories) / len(trajectories) < 0.1
    path = tmp_path / "random.jsonl"
    astra_gym.write_trajectories(path, trajectories)
    assert list(astra_gym.read_trajectories(path)) == trajectories
