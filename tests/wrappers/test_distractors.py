"""`Distractors` puts tools of other envs into an env that is played."""

from __future__ import annotations

import copy
import pickle

import gymnasium as gym
import pytest

import astra_gym
from astra_gym.certify import certify, with_certificate
from astra_gym.distractors import DistractorError
from astra_gym.env import ToolEnv
from astra_gym.models import OracleModel
from astra_gym.rollout import replay, rollout
from astra_gym.suite import write_suite
from astra_gym.wrappers import Distractors, RecordTrajectory, ToolFaults
from tests.distractors.specs import OTHERS
from tests.specs import CHAIN, CHAIN_TURNS
from tests.suites import certified


@pytest.fixture(scope="module")
def suite(tmp_path_factory):
    path = tmp_path_factory.mktemp("suite") / "suite.jsonl"
    write_suite(path, [with_certificate(CHAIN, certify(CHAIN)), *map(certified, OTHERS)])
    yield path
    astra_gym.unregister_suite("distracted")


@pytest.fixture
def env_id(suite):
    return next(env_id for env_id in astra_gym.register_suite(suite, "distracted") if CHAIN.id in env_id)


def test_the_model_sees_them_and_the_oracle_plays_on(suite, env_id):
    env = Distractors(gym.make(env_id), suite, variant="random", k=1)
    assert len(env.mixed.bands) == 3
    _, info = env.reset(seed=0)
    assert info["messages"][0]["content"] == CHAIN.question
    names = {tool.name for tool in CHAIN.tools}
    assert {tool["function"]["name"] for tool in env.action_space.tools} == names | set(env.mixed.bands)
    trajectory = rollout(env, OracleModel())
    assert trajectory.breakdown.f1 == 1.0
    assert trajectory.env_id == env_id
    assert trajectory.metadata["distractor_band"] == "random"
    assert {tool["function"]["name"] for tool in trajectory.tools} == names | set(env.mixed.bands)
    assert replay(trajectory, env) == trajectory
    env.close()


def test_the_record_has_a_certificate_of_its_own(suite, env_id):
    env = Distractors(gym.make(env_id), [suite])
    assert env.tool_spec.certificate.content_hash == env.tool_spec.content_hash()
    bare = Distractors(gym.make(env_id), suite, certify=False)
    assert bare.tool_spec.certificate is None
    assert bare.tool_spec.content_hash() == env.tool_spec.content_hash()


def test_copies_play_the_same_record(suite, env_id):
    env = Distractors(gym.make(env_id), suite, certify=False)
    env.reset(seed=1)
    env.step(CHAIN_TURNS[0])
    for twin in (copy.deepcopy(env), pickle.loads(pickle.dumps(env))):
        assert twin.tool_spec == env.tool_spec
        assert twin.step(CHAIN_TURNS[1]) == copy.deepcopy(env).step(CHAIN_TURNS[1])


def test_the_wrapper_is_kept_in_the_envs_spec_and_goes_with_others(suite, env_id):
    inner = Distractors(ToolFaults(gym.make(env_id), rate=1.0, kinds=("timeout",)), suite, certify=False)
    env = RecordTrajectory(inner)
    again = gym.make(env.spec)
    for one in (env, again):
        one.reset(seed=0)
        observation, *_, info = one.step(CHAIN_TURNS[0])
        assert "injected_fault" in observation
        assert info["faults"] == 1
    assert again.unwrapped.tool_spec == env.unwrapped.tool_spec
    assert env.trajectory.metadata["distractor_band"] == inner.tool_spec.distractor_band != "none"


def test_nothing_changes_when_there_is_nothing_to_mix_in(suite, env_id):
    env = Distractors(gym.make(env_id), suite, variant="none")
    assert env.tool_spec.id == CHAIN.id
    assert env.mixed.bands == {}


def test_what_does_not_suit_is_named(suite, env_id, tmp_path):
    with pytest.raises(TypeError, match="needs a ToolEnv, found CartPoleEnv"):
        Distractors(gym.make("CartPole-v1"), suite)
    with pytest.raises(DistractorError, match="has distractors already"):
        Distractors(Distractors(gym.make(env_id), suite, certify=False), suite)
    with pytest.raises(DistractorError, match="bands"):
        Distractors(gym.make(env_id), suite, bands=("enormous",))
    write_suite(tmp_path / "others.jsonl", map(certified, OTHERS))
    with pytest.raises(DistractorError, match="add the suite that holds this env"):
        Distractors(gym.make(env_id), tmp_path / "others.jsonl")


def test_a_record_that_does_not_hold_is_not_played(suite):
    leaky = CHAIN.model_copy(update={"question": CHAIN.question + " Is it Oslo?"})
    with pytest.raises(DistractorError, match="does not hold with its distractors: leak"):
        Distractors(ToolEnv(leaky, require_certificate=False), suite, variant="random")
