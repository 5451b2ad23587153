"""`ToolVectorEnv` is a Gymnasium vector env of many `ToolEnv`s, in this process or in several; it outlives a worker."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.error import ClosedEnvironmentError, ResetNeeded
from gymnasium.utils.env_checker import data_equivalence
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from astra_gym.env import ToolEnv
from astra_gym.errors import CertificateError, PolicyError
from astra_gym.types import ToolEnvSpec
from astra_gym.vector import ALL_INFO_KEYS, INFO_KEYS, ToolVectorEnv
from tests.specs import CHAIN, CHAIN_TURNS, JOIN, say
from tests.test_env import DICE, ROLL

FILM, PERSON, COUNTRY, ANSWER = CHAIN_TURNS
OPTIONS = {"isolation": "inprocess", "require_certificate": False}
BAD = "<tool_call>{"


def make(spec: ToolEnvSpec = CHAIN, num_envs: int = 3, **options: Any) -> ToolVectorEnv:
    return ToolVectorEnv(spec, num_envs, **(OPTIONS | options))


def reference(spec: ToolEnvSpec, num_envs: int, mode: AutoresetMode, **options: Any) -> SyncVectorEnv:
    return SyncVectorEnv([lambda: ToolEnv(spec, **(OPTIONS | options))] * num_envs, autoreset_mode=mode)


def same(one: Any, two: Any) -> bool:
    """Whether two returns of a vector env are equal, arrays of objects included."""
    if isinstance(one, np.ndarray) and one.dtype == object:
        return isinstance(two, np.ndarray) and two.dtype == object and one.tolist() == two.tolist()
    if isinstance(one, dict):
        return one.keys() == two.keys() and all(same(one[key], two[key]) for key in one)
    if isinstance(one, tuple):
        return len(one) == len(two) and all(map(same, one, two))
    return data_equivalence(one, two, exact=True)


def only(infos: dict[str, Any], keys: tuple[str, ...]) -> dict[str, Any]:
    """The entries of these keys, inside `final_info` too."""
    return {
        key: only(value, keys) if key == "final_info" else value
        for key, value in infos.items()
        if key.removeprefix("_") in (*keys, "final_obs", "final_info")
    }


SCRIPT = [
    (FILM, BAD, ANSWER),
    (PERSON, FILM + PERSON, FILM),
    (COUNTRY, COUNTRY, FILM),
    (ANSWER, "Bergen", PERSON),
    (FILM, FILM, ANSWER),
    (FILM, FILM, FILM),
]
"""Turns of three envs that end at different times."""


@pytest.mark.parametrize("num_workers", [0, 1, 2])
@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP])
@pytest.mark.parametrize("keys", [INFO_KEYS, ALL_INFO_KEYS], ids=["some info", "all info"])
def test_it_does_what_gymnasiums_sync_vector_env_does(num_workers, mode, keys):
    ours = make(num_workers=num_workers, autoreset_mode=mode, info_keys=keys, max_turns=4)
    theirs = reference(CHAIN, 3, mode, max_turns=4)
    for seed in (7, [3, None, 5]):
        observations, infos = theirs.reset(seed=seed)
        assert same(ours.reset(seed=seed), (observations, only(infos, keys)))
        for actions in SCRIPT:
            *expected, infos = theirs.step(actions)
            *got, our_infos = ours.step(actions)
            assert same(tuple(got), tuple(expected))
            assert same(our_infos, only(infos, keys))
            assert tuple(got[0]) in ours.observation_space
    ours.close()


@pytest.mark.parametrize("num_workers", [0, 2])
def test_each_env_has_its_own_seed_and_state(num_workers):
    ours = make(DICE, 4, num_workers=num_workers)
    theirs = reference(DICE, 4, AutoresetMode.NEXT_STEP)
    for envs in (ours, theirs):
        envs.reset(seed=1)
    for _ in range(3):
        rolled = ours.step([ROLL] * 4)[0]
        assert rolled == theirs.step([ROLL] * 4)[0]
        assert len(set(rolled)) == 4
    ours.close()


@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_mask_resets_some_envs_only(num_workers):
    ours = make(num_workers=num_workers, autoreset_mode="Disabled", info_keys=ALL_INFO_KEYS)
    theirs = reference(CHAIN, 3, AutoresetMode.DISABLED)
    for envs in (ours, theirs):
        envs.reset(seed=0)
        envs.step((ANSWER, FILM, ANSWER))
    mask = np.array([True, False, True])
    assert same(ours.reset(options={"reset_mask": mask}), theirs.reset(options={"reset_mask": mask.copy()}))
    assert ours.step((FILM, PERSON, FILM))[4]["calls"].tolist() == [1, 2, 1]
    ours.close()


def test_the_spaces_and_the_metadata_are_those_of_a_vector_env():
    envs = make(JOIN, 2)
    assert envs.metadata["autoreset_mode"] is AutoresetMode.NEXT_STEP
    assert envs.single_action_space.tools == JOIN.tool_schemas
    assert envs.action_space.sample() in envs.action_space
    observations, _ = envs.reset(seed=0)
    _, rewards, terminations, truncations, infos = envs.step(envs.action_space.sample())
    assert observations == (JOIN.question, JOIN.question)
    assert (rewards.dtype, terminations.dtype, truncations.dtype) == (np.float64, np.bool_, np.bool_)
    assert (rewards.shape, infos["calls"].dtype, infos["_calls"].tolist()) == ((2,), np.int64, [True, True])
    envs.close()


@pytest.fixture
def registered() -> Iterator[str]:
    env_id = "tests/vector-v0"
    gym.register(
        env_id,
        entry_point="astra_gym.env:ToolEnv",
        vector_entry_point="astra_gym.vector:ToolVectorEnv",
        max_episode_steps=2,
        kwargs={"spec": CHAIN, **OPTIONS},
    )
    yield env_id
    del gym.registry[env_id]


def test_make_vec_makes_it_and_keeps_the_time_limit(registered):
    envs = gym.make_vec(registered, num_envs=2)
    assert isinstance(envs, ToolVectorEnv)
    envs.reset(seed=0)
    assert envs.step((FILM, FILM))[3].tolist() == [False, False]
    assert envs.step((PERSON, ANSWER))[3].tolist() == [True, False]
    envs.close()
    short = gym.make_vec(registered, num_envs=1, max_turns=1)
    short.reset(seed=0)
    assert short.step((FILM,))[3].tolist() == [True]
    short.close()


@pytest.mark.parametrize("num_workers", [0, 2])
def test_transcripts_and_attributes_of_every_env(num_workers):
    envs = make(num_workers=num_workers, render_mode="ansi")
    envs.reset(seed=0)
    envs.step((FILM, PERSON, COUNTRY))
    assert [shown.splitlines()[1] for shown in envs.render()] == [f"[assistant] {turn}" for turn in CHAIN_TURNS[:3]]
    assert envs.get_attr("render_mode") == ("ansi",) * 3
    assert [state["actions"] for state in envs.call("get_state")] == [[FILM], [PERSON], [COUNTRY]]
    envs.close()


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"info_keys": ("calls", "weather")}, ValueError, r"found \['weather'\]"),
        ({"num_envs": 0}, ValueError, "num_envs must be at least 1"),
        ({"render_mode": "human"}, ValueError, "for one env"),
        ({"reward": "f9"}, ValueError, "reward must be one of"),
        ({"autoreset_mode": "Never"}, ValueError, "Never"),
        ({"require_certificate": True}, CertificateError, "no certificate"),
    ],
)
def test_options_that_make_no_sense_are_refused(options, error, said):
    with pytest.raises(error, match=said):
        make(**options)


@pytest.mark.parametrize("num_workers", [0, 2])
def test_using_it_wrongly_says_what_to_do(num_workers):
    envs = make(num_workers=num_workers)
    with pytest.raises(ResetNeeded, match="call reset"):
        envs.step((FILM,) * 3)
    with pytest.raises(ValueError, match="expected 3 seeds, found 2"):
        envs.reset(seed=[1, 2])
    with pytest.raises(ValueError, match=r"reset takes the option reset_mask only, found \['level'\]"):
        envs.reset(options={"level": 1})
    with pytest.raises(ValueError, match="reset_mask must be a bool array"):
        envs.reset(options={"reset_mask": np.zeros(3, dtype=bool)})
    envs.reset(seed=0)
    with pytest.raises(ValueError, match="expected 3 actions, found 2"):
        envs.step((FILM, FILM))
    with pytest.raises(TypeError, match="action 1 must be the assistant's text, found int"):
        envs.step((FILM, 3, FILM))
    with pytest.raises(AttributeError, match="no_such_thing"):
        envs.call("no_such_thing")
    assert envs.step((FILM,) * 3)[1].tolist() == [0.5] * 3
    envs.close()
    envs.close()
    with pytest.raises(ClosedEnvironmentError):
        envs.step((FILM,) * 3)


def test_an_episode_that_has_ended_is_not_stepped_when_autoreset_is_disabled():
    envs = make(num_workers=2, autoreset_mode=AutoresetMode.DISABLED)
    envs.reset(seed=0)
    envs.step((FILM, FILM, ANSWER))
    with pytest.raises(ResetNeeded, match="ended"):
        envs.step((FILM, FILM, FILM))
    envs.close()


@pytest.mark.parametrize("num_workers", [0, 1])
def test_source_that_the_policy_refuses_is_an_error_where_it_is_made(num_workers):
    tool = CHAIN.tools[0].model_copy(update={"source": "import os\ndef get_film(title):\n    return os.getcwd()\n"})
    envs = make(CHAIN.model_copy(update={"tools": (tool, *CHAIN.tools[1:])}), num_workers=num_workers)
    with pytest.raises(PolicyError, match="os"):
        envs.reset(seed=0)
    envs.close()


# --- worker processes


def running(pid: int) -> bool:
    """Whether there is a process of that id (one that was waited for is none)."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def worker_pids(envs: ToolVectorEnv) -> list[int]:
    return [worker.pid for worker in envs._workers]


@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP, AutoresetMode.DISABLED])
def test_a_worker_that_dies_takes_only_its_own_episodes_along(mode):
    envs = make(num_envs=4, num_workers=2, autoreset_mode=mode)
    envs.reset(seed=0)
    envs.step((FILM,) * 4)
    os.kill(worker_pids(envs)[1], signal.SIGKILL)
    observations, rewards, terminations, truncations, infos = envs.step((PERSON,) * 4)
    assert truncations.tolist() == [False, False, True, True]
    assert not terminations.any()
    assert rewards.tolist() == pytest.approx([0.3, 0.3, 0, 0])
    if mode is AutoresetMode.SAME_STEP:
        assert observations[2:] == (CHAIN.question,) * 2
        assert infos["final_obs"].tolist() == [None, None, "", ""]
        infos = infos["final_info"]
    else:
        assert observations[2:] == ("", "")
    assert infos["stop_reason"].tolist() == [None, None, "infrastructure_error", "infrastructure_error"]
    assert "died with status -9" in infos["infrastructure_error"][3]
    if mode is AutoresetMode.DISABLED:
        envs.reset(options={"reset_mask": truncations})
    else:
        envs.step((COUNTRY,) * 4)
    _, rewards, _, truncations, _ = envs.step((FILM,) * 4)
    assert rewards[2:].tolist() == [0.5, 0.5] if mode is not AutoresetMode.SAME_STEP else [0.0, 0.0]
    assert not truncations.any()
    envs.close()


def test_an_interrupted_step_is_not_answered_later():
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    envs = make(num_envs=4, num_workers=2)
    envs.reset(seed=0)
    os.kill(worker_pids(envs)[1], signal.SIGSTOP)
    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 0.2)
    try:
        with pytest.raises(KeyboardInterrupt):
            envs.step((FILM,) * 4)
    finally:
        signal.signal(signal.SIGALRM, before)
    _, rewards, _, truncations, infos = envs.step((PERSON,) * 4)
    assert (rewards.tolist(), truncations.tolist()) == ([0.0] * 4, [True] * 4)
    assert set(infos["stop_reason"]) == {"infrastructure_error"}
    envs.step((FILM,) * 4)
    assert envs.step((FILM,) * 4)[1].tolist() == [0.5] * 4
    with pytest.raises(AttributeError, match="pickle"):
        envs.call("advance", lambda: None)
    assert envs.step((PERSON,) * 4)[1].tolist() == pytest.approx([0.3] * 4)
    envs.close()


def test_closing_ends_its_processes_and_no_others():
    bystander = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)
    envs, others = make(num_workers=2), make(num_workers=1)
    envs.reset(seed=0)
    others.reset(seed=0)
    mine, theirs = worker_pids(envs), worker_pids(others)
    assert all(map(running, [*mine, *theirs]))
    envs.close()
    assert not any(map(running, mine))
    assert others.step((FILM,) * 3)[1].tolist() == [0.5] * 3
    del others
    gc.collect()
    assert not any(map(running, theirs))
    assert bystander.poll() is None
    bystander.communicate(b"")


SCRIPT_WITHOUT_GUARD = """
import sys
from astra_gym.vector import ToolVectorEnv
from tests.specs import CHAIN, CHAIN_TURNS
envs = ToolVectorEnv(CHAIN, 2, num_workers=2, isolation="inprocess", require_certificate=False)
envs.reset(seed=0)
sys.stdout.write(str(envs.step((CHAIN_TURNS[0],) * 2)[1].tolist()))
"""


def test_a_script_needs_no_main_guard_and_leaves_nothing_behind():
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-"],
        input=SCRIPT_WITHOUT_GUARD.encode(),
        env=environment,
        capture_output=True,
        check=True,
        timeout=60,
    )
    assert done.stdout == b"[0.5, 0.5]"
    assert done.stderr == b""


def test_say_texts_of_any_kind_travel():
    envs = make(num_workers=1, num_envs=2)
    envs.reset(seed=0)
    observations, *_ = envs.step((say("get_film", title="日本\x00"), "\ud800"))
    assert "日本" in observations[0]
    assert observations[1] == ""
    envs.close()
