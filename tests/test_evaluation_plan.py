"""A whole evaluation: what is played, what is skipped, what decides the result."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import orjson
import pytest

from astra_gym.errors import ModelError, UnknownEnvError
from astra_gym.evaluation import EvaluationError
from astra_gym.evaluation_log import EvaluationLog, Key
from astra_gym.evaluation_plan import EvaluationPlan, select_ids
from astra_gym.rollout import read_trajectories
from astra_gym.suite import Suite, open_suite, write_suite
from tests.models.chat_server import completion, failure, serving
from tests.suites import copies


@pytest.fixture
def suite(tmp_path: Path) -> Suite:
    write_suite(tmp_path / "s.jsonl", copies(12))
    return open_suite(tmp_path / "s.jsonl")


def plan_of(suite: Suite, *models: str, **options: Any) -> EvaluationPlan:
    return EvaluationPlan(suite, models or ("oracle",), isolation="inprocess", **options)


def test_models_and_baselines_are_played_in_order_and_only_models_compared(suite: Suite) -> None:
    plan = plan_of(suite, "first-tool", "every-tool", baselines=("oracle",), n_samples=2)
    played: list[Key] = []
    found = plan.run(progress=lambda key, _: played.append(key))
    assert played == list(plan.order())
    assert len(played) == plan.episodes == 72
    assert [m.model for m in found.models] == ["first-tool", "every-tool", "oracle"]
    assert {(d.first, d.second) for d in found.differences} == {("first-tool", "every-tool")}
    assert found.models[2].all.pass_at == {1: 1.0, 2: 1.0}
    assert found.models[0].by_hops["3"].episodes == 24


def test_an_evaluation_goes_on_where_it_stopped(suite: Suite, tmp_path: Path) -> None:
    plan = plan_of(suite, "random", "oracle", n_samples=3, concurrency=4)
    assert plan.run() == plan_of(suite, "random", "oracle", n_samples=3).run()
    whole, torn = tmp_path / "whole.jsonl", tmp_path / "torn.jsonl"
    with EvaluationLog(whole, plan.settings()) as log:
        expected = plan.run(log)
    lines = whole.read_bytes().splitlines(keepends=True)
    for keep in (0, 1, 36, 50, 72):
        torn.write_bytes(b"".join(lines[:keep]) + (lines[keep][:99] if keep < 72 else b""))
        torn.with_suffix(".eval.json").write_bytes(whole.with_suffix(".eval.json").read_bytes())
        played: list[Key] = []
        with EvaluationLog(torn, plan.settings()) as log:
            assert plan.run(log, lambda key, _: played.append(key)) == expected  # noqa: B023
        assert len(played) == 72 - keep
        assert torn.read_bytes() == whole.read_bytes()


def test_a_finished_evaluation_loads_no_spec_and_no_model(suite: Suite, tmp_path: Path) -> None:
    with serving(completion("Oslo")) as server:
        plan = plan_of(suite, "openai:m", base_url=server.base_url)
        with EvaluationLog(tmp_path / "t.jsonl", plan.settings()) as log:
            expected = plan.run(log)
        asked = len(server.requests)
    broken = Path(suite.path)
    settings = plan.settings()
    broken.write_bytes(broken.read_bytes().replace(b"Winter", b"Summer"))
    with EvaluationLog(tmp_path / "t.jsonl", settings) as log:
        assert plan.run(log) == expected
    assert asked == 12
    assert expected.models[0].all.final_answer_accuracy == 1.0
    assert expected.models[0].all.f1 == 0.0


def test_what_failed_is_played_again_by_the_same_command(suite: Suite, tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    with serving(completion("Oslo"), failure(401, "expired")) as server:
        plan = plan_of(suite, "openai:m", base_url=server.base_url, concurrency=1)
        with EvaluationLog(path, plan.settings()) as log:
            found = plan.run(log).models[0]
    assert (found.all.episodes, found.all.failed) == (1, 11)
    assert "expired" in found.errors[0]
    with serving(completion("Oslo")) as server:
        plan = plan_of(suite, "openai:m", base_url=server.base_url, concurrency=1)
        with EvaluationLog(path, plan.settings()) as log:
            found = plan.run(log).models[0]
        assert len(server.requests) == 11
    assert (found.all.episodes, found.all.failed) == (12, 0)
    assert [t.env_id for t in read_trajectories(path)] == list(suite.ids)


def test_a_dead_endpoint_ends_it_and_says_how_to_go_on(suite: Suite, tmp_path: Path) -> None:
    with serving(failure(401, "expired")) as server:
        plan = plan_of(suite, "openai:m", base_url=server.base_url, n_samples=3)
        path = tmp_path / "t.jsonl"
        with (
            EvaluationLog(path, plan.settings()) as log,
            pytest.raises(
                EvaluationError, match=r"openai:m: 16 episodes failed .*expired.*stands in .*t\.jsonl, the same"
            ),
        ):
            plan.run(log)
        assert not any(t.stop_reason != "model_error" for t in read_trajectories(path))


def test_sampling_goes_to_the_models_that_have_it(suite: Suite) -> None:
    with serving(completion("Oslo")) as server:
        plan = plan_of(suite, "openai:m", "oracle", base_url=server.base_url, sampling={"temperature": 0.25})
        found = plan.run()
        assert {request["temperature"] for request in server.requests} == {0.25}
    assert found.models[1].all.f1 == 1.0


@pytest.mark.parametrize(
    ("models", "options", "message"),
    [
        (("oracle", "orakel"), {}, "no model 'orakel'"),
        (("oracle", "random", "oracle"), {}, r"played once, found \['oracle'\] more than once"),
        (("oracle",), {"baselines": ("oracle",)}, "more than once"),
        (("oracle", "random"), {"sampling": {"top_p": 0.5}}, "top_p: none of oracle, random samples; they are rules"),
        (("oracle",), {"base_url": "http://x"}, "base_url is for openai:NAME; the models are oracle"),
    ],
)
def test_models_and_options_that_do_not_go_together_are_refused_before_play(
    suite: Suite, models: tuple[str, ...], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ModelError, match=message):
        plan_of(suite, *models, **options)


def test_settings_change_with_all_that_decides_the_result(suite: Suite, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    weights = tmp_path / "model" / "weights"
    weights.write_bytes(b"1")
    hf = f"openai:{tmp_path / 'model'}"
    base = plan_of(suite, "oracle").settings()
    others = [
        plan_of(suite, "random"),
        plan_of(suite, "openai:m"),
        plan_of(suite, "openai:m", sampling={"top_k": 5}),
        plan_of(suite, hf),
        plan_of(suite, "oracle", n_samples=2),
        plan_of(suite, "oracle", seed=1),
        plan_of(suite, "oracle", max_turns=3),
        plan_of(suite, "oracle", faults=0.2),
        plan_of(suite, "oracle", ids=suite.ids[:3]),
    ]
    found = [orjson.dumps(settings) for settings in (base, *(plan.settings() for plan in others))]
    assert len(set(found)) == len(found)
    before = plan_of(suite, hf).settings()
    os.utime(weights, ns=(1, 1))
    assert plan_of(suite, hf).settings() != before
    write_suite(suite.path, copies(11), overwrite=True)
    changed = plan_of(open_suite(suite.path), "oracle", ids=suite.ids[:3]).settings()
    assert orjson.dumps(changed) != found[-1]
    assert {**changed, "suite_sha256": ""} == {**orjson.loads(found[-1]), "suite_sha256": ""}


def test_a_folder_is_known_by_its_files(tmp_path: Path) -> None:
    write_suite(tmp_path / "folder", copies(2))
    before = plan_of(open_suite(tmp_path / "folder")).settings()
    assert plan_of(open_suite(tmp_path / "folder"), concurrency=7).settings() == before
    file = tmp_path / "folder" / "copy-1-v0.json"
    file.write_bytes(file.read_bytes() + b"\n")
    assert plan_of(open_suite(tmp_path / "folder")).settings() != before


@pytest.mark.parametrize(
    ("patterns", "limit", "expected"),
    [
        ((), None, 12),
        ((), 5, 5),
        (("copy-3-v0", "copy-1-v0"), None, 2),
        (("copy-1*",), None, 3),
        (("copy-1*",), 2, 2),
        (("astra/copy-?-v0",), None, 10),
    ],
)
def test_ids_are_selected_by_name_or_pattern(
    suite: Suite, patterns: tuple[str, ...], limit: int | None, expected: int
) -> None:
    found = select_ids(suite, patterns, limit)
    assert len(found) == expected
    assert list(found) == [env_id for env_id in suite.ids if env_id in found], "in the order of the suite"


def test_an_id_that_is_not_there_is_answered_with_the_nearest(suite: Suite) -> None:
    with pytest.raises(UnknownEnvError, match=r"no env 'copy-77-v0' among 12; the nearest are copy-7-v0"):
        select_ids(suite, ("copy-1-v0", "copy-77-v0"))
