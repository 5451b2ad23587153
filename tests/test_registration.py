"""Suites as Gymnasium ids."""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import gymnasium as gym
import pytest
from gymnasium.envs.registration import registry

import astra_gym
from astra_gym import registration
from astra_gym.env import ToolEnv
from astra_gym.errors import CertificateError, SuiteError, UnknownEnvError
from astra_gym.nearest import nearest
from astra_gym.suite import write_suite
from tests.specs import ALL, CHAIN
from tests.suites import certified, copies

ROOT = Path(__file__).parent.parent
FILM_CALL = '<tool_call>{"name": "get_film", "arguments": {"title": "Winter Ferry"}}</tool_call>'


@pytest.fixture(autouse=True)
def _clean_registry() -> Iterator[None]:
    before = dict(registry)
    yield
    registry.clear()
    registry.update(before)


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    """The three hand-written specs, certified."""
    write_suite(tmp_path / "suite.jsonl", [certified(spec) for spec in ALL])
    return tmp_path / "suite.jsonl"


# --- registering ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["s.jsonl", "s.parquet", "folder"])
def test_every_form_of_suite_becomes_ids_that_gymnasium_makes(tmp_path: Path, form: str) -> None:
    write_suite(tmp_path / form, [certified(spec) for spec in ALL])
    ids = astra_gym.register_suite(tmp_path / form, "mine")
    assert sorted(ids) == sorted(f"mine/{spec.id}" for spec in ALL)
    env = gym.make("mine/test-chain-v0", isolation="inprocess")
    assert isinstance(env.unwrapped, ToolEnv)
    question, _ = env.reset(seed=0)
    assert question == CHAIN.question
    assert env.step(FILM_CALL)[1] == pytest.approx(0.5)
    assert env.spec is not None
    assert env.spec.id == "mine/test-chain-v0"
    env.close()


def test_what_gymnasium_keeps_of_an_env_is_small_and_goes_anywhere(suite: Path) -> None:
    env_id = astra_gym.register_suite(suite, "mine")[0]
    spec = registry[env_id]
    assert spec.kwargs == {"suite_path": str(suite), "spec_id": "test-chain-v0"}
    assert pickle.loads(pickle.dumps(spec)) == spec
    assert gym.envs.registration.EnvSpec.from_json(spec.to_json()) == spec


def test_gymnasiums_wrappers_are_all_there(suite: Path) -> None:
    astra_gym.register_suite(suite, "mine")
    env = gym.make("mine/test-chain-v0", max_episode_steps=3)
    wrappers = []
    while isinstance(env, gym.Wrapper):
        wrappers.append(type(env).__name__)
        env = env.env
    assert wrappers == ["TimeLimit", "OrderEnforcing", "PassiveEnvChecker"]


def test_options_of_the_suite_reach_the_env_and_can_be_overridden(suite: Path) -> None:
    astra_gym.register_suite(suite, "mine", reward="recall", max_turns=1, isolation="inprocess")
    env = gym.make("mine/test-chain-v0", max_turns=2)
    env.reset(seed=0)
    assert env.step(FILM_CALL)[1] == pytest.approx(1 / 3)
    assert env.step(FILM_CALL)[3]
    env.close()


def test_registering_again_changes_nothing(suite: Path) -> None:
    first = astra_gym.register_suite(suite, "mine")
    before = dict(registry)
    assert astra_gym.register_suite(str(suite), "mine") == first
    assert dict(registry) == before


def test_registering_again_follows_the_file(tmp_path: Path) -> None:
    path = tmp_path / "s.jsonl"
    write_suite(path, copies(3))
    astra_gym.register_suite(path, "mine")
    astra_gym.register_suite(path, "other")
    write_suite(path, copies(5)[1:], overwrite=True)
    assert astra_gym.register_suite(path, "mine") == [f"mine/copy-{i}-v0" for i in range(1, 5)]
    assert "mine/copy-0-v0" not in registry
    assert "other/copy-0-v0" in registry
    gym.make("mine/copy-4-v0").close()


def test_a_suite_that_changed_must_be_registered_again(tmp_path: Path) -> None:
    path = tmp_path / "s.jsonl"
    write_suite(path, copies(3))
    astra_gym.register_suite(path, "mine")
    gym.make("mine/copy-0-v0").close()
    write_suite(path, copies(4), overwrite=True)
    with pytest.raises(SuiteError, match=r"the file changed since the suite was opened; open or register it again"):
        gym.make("mine/copy-0-v0")


def test_a_clash_with_another_suite_is_an_error_unless_asked_for(tmp_path: Path, suite: Path) -> None:
    other = tmp_path / "other.jsonl"
    write_suite(other, [*copies(1), certified(CHAIN)])
    astra_gym.register_suite(suite, "mine")
    before = dict(registry)
    with pytest.raises(SuiteError, match=rf"mine/test-chain-v0 is taken by {suite}; .*replace=True"):
        astra_gym.register_suite(other, "mine")
    assert dict(registry) == before
    astra_gym.register_suite(other, "mine", replace=True)
    assert registry["mine/test-chain-v0"].kwargs["suite_path"] == str(other)
    assert registry["mine/test-join-v0"].kwargs["suite_path"] == str(suite)


def test_a_clash_with_other_options_or_somebody_elses_env_is_an_error(suite: Path) -> None:
    astra_gym.register_suite(suite, "mine")
    with pytest.raises(SuiteError, match=r"the same suite with other options, \{\} instead of \{'reward': 'recall'\}"):
        astra_gym.register_suite(suite, "mine", reward="recall")
    gym.register("yours/test-join-v0", entry_point="elsewhere:Env")
    with pytest.raises(SuiteError, match="yours/test-join-v0 is taken by elsewhere:Env"):
        astra_gym.register_suite(suite, "yours")


@pytest.mark.parametrize("namespace", ["", "a/b", "a:b", "a b", "ä", "a\n"])
def test_a_namespace_that_gymnasium_does_not_take_is_refused(suite: Path, namespace: str) -> None:
    with pytest.raises(SuiteError, match="expected letters, digits, '_' or '-', as in 'mine'"):
        astra_gym.register_suite(suite, namespace)


def test_a_suite_that_cannot_be_opened_registers_nothing(suite: Path) -> None:
    suite.write_bytes(suite.read_bytes()[:-50])
    before = dict(registry)
    with pytest.raises(SuiteError, match=r"suite\.jsonl:3: the last line is cut off"):
        astra_gym.register_suite(suite, "mine")
    assert dict(registry) == before
    assert len(astra_gym.register_suite(suite, "mine", skip_bad=True)) == 2
    gym.make("mine/test-join-v0").close()


def test_unregistering_takes_out_only_what_suites_put_in(suite: Path) -> None:
    ids = astra_gym.register_suite(suite, "mine")
    gym.register("mine/Other-v0", entry_point="elsewhere:Env")
    assert astra_gym.unregister_suite("mine") == ids
    assert "mine/Other-v0" in registry
    assert not set(ids) & registry.keys()
    assert astra_gym.unregister_suite("mine") == []


def test_an_uncertified_or_changed_env_is_not_made(tmp_path: Path) -> None:
    changed = certified(CHAIN).model_copy(update={"question": "Which?", "id": "changed-v0"})
    write_suite(tmp_path / "s.jsonl", [CHAIN, changed])
    astra_gym.register_suite(tmp_path / "s.jsonl", "mine")
    with pytest.raises(CertificateError, match="no certificate"):
        gym.make("mine/test-chain-v0")
    gym.make("mine/test-chain-v0", require_certificate=False).close()
    with pytest.raises(CertificateError, match=r"s\.jsonl:2: .*other content"):
        gym.make("mine/changed-v0", require_certificate=False)


# --- making --------------------------------------------------------------------------------------------------------


def test_an_unknown_id_is_answered_with_the_nearest_ones(suite: Path) -> None:
    astra_gym.register_suite(suite, "mine")
    with pytest.raises(UnknownEnvError, match=r"no env 'mine/test-chian-v0'; the nearest are mine/test-chain-v0"):
        astra_gym.make("mine/test-chian-v0")
    assert astra_gym.nearest_ids("test-join-v0", 1) == ["mine/test-join-v0"]
    with pytest.raises(UnknownEnvError, match=r"no env '\?'; the namespaces registered are \[.*'mine'"):
        astra_gym.make("?")


def test_gymnasium_itself_names_the_nearest_too(suite: Path) -> None:
    astra_gym.register_suite(suite, "mine")
    with pytest.raises(gym.error.NameNotFound, match="Did you mean: `test-chain`"):
        gym.make("mine/test-chian-v0")


def test_make_does_as_gymnasium_does(suite: Path) -> None:
    astra_gym.register_suite(suite, "mine")
    ours, theirs = astra_gym.make("mine/test-join-v0"), gym.make("mine/test-join-v0")
    assert str(ours) == str(theirs)
    assert ours.spec == theirs.spec
    ours.close()
    theirs.close()


def test_a_spec_is_parsed_once_for_many_envs(suite: Path) -> None:
    astra_gym.register_suite(suite, "mine")
    one, two = (astra_gym.make("mine/test-chain-v0").unwrapped for _ in range(2))
    assert isinstance(one, ToolEnv)
    assert isinstance(two, ToolEnv)
    assert one.tool_spec is two.tool_spec


def test_an_edited_file_of_a_folder_is_read_again(tmp_path: Path) -> None:
    write_suite(tmp_path / "folder", copies(2))
    astra_gym.register_suite(tmp_path / "folder", "mine")
    gym.make("mine/copy-0-v0").close()
    edited = certified(CHAIN.model_copy(update={"id": "copy-0-v0", "question": "Where was Ingrid Dahl born?"}))
    write_suite(tmp_path / "folder", [edited, copies(2)[1]], overwrite=True)
    env = gym.make("mine/copy-0-v0", isolation="inprocess")
    assert env.reset()[0] == edited.question
    env.close()


@pytest.mark.parametrize("mode", ["sync", "async", "vector_entry_point"])
def test_vectors_of_every_kind(suite: Path, mode: str) -> None:
    astra_gym.register_suite(suite, "mine")
    vector = gym.make_vec("mine/test-chain-v0", num_envs=2, vectorization_mode=mode)
    try:
        observations, _ = vector.reset(seed=0)
        assert list(observations) == [CHAIN.question] * 2
        _, rewards, terminated, _, _ = vector.step([FILM_CALL, "Oslo"])
        assert list(rewards) == pytest.approx([0.5, 0.0])
        assert list(terminated) == [False, True]
    finally:
        vector.close()


def test_a_fresh_process_makes_an_env_from_its_keyword_arguments(suite: Path) -> None:
    env_id = astra_gym.register_suite(suite, "mine")[0]
    code = (
        "import sys\n"
        "from gymnasium.envs.registration import EnvSpec\n"
        "env = EnvSpec.from_json(sys.argv[1]).make()\n"
        "print(env.reset(seed=0)[0])\n"
        "env.close()\n"
    )
    command = [sys.executable, "-c", code, registry[env_id].to_json()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == CHAIN.question


# --- the shipped suite ---------------------------------------------------------------------------------------------


def test_the_shipped_suite_is_registered_on_import_from_file_names_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "not-read-v3.json").write_text("not even JSON")
    (tmp_path / "schema.json").write_text("{}")
    (tmp_path / "README.md").write_text("")
    monkeypatch.setattr(registration, "SHIPPED", tmp_path)
    assert registration.register_shipped() == ["astra/not-read-v3"] == astra_gym.shipped_ids()
    with pytest.raises(SuiteError, match=r"not-read-v3\.json: not JSON"):
        gym.make("astra/not-read-v3")


def test_without_the_shipped_suite_nothing_happens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registration, "SHIPPED", tmp_path / "absent")
    assert registration.register_shipped() == []


# --- nearest -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("airport-distance", ["airports-distance", "airports-density"]),
        ("AIRPORTS-DISTANCE", ["airports-distance", "airports-density"]),
        ("elements", ["element-mass"]),
        ("zz", []),
        ("", []),
    ],
)
def test_the_nearest_names_come_first(name: str, expected: list[str]) -> None:
    names = ["airports-density", "airports-distance", "element-mass", "holidays"]
    assert nearest(name, names, 2)[: len(expected)] == expected
    assert bool(nearest(name, names)) == bool(expected)


def test_the_nearest_is_found_among_very_many() -> None:
    names = [f"airports-distance-{i:05d}-v0" for i in range(50_000)]
    assert nearest("airport-distance-31415-v0", names, 1) == ["airports-distance-31415-v0"]
