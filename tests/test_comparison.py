"""Two models on the same envs."""

from __future__ import annotations

import pytest

from astra_gym.comparison import compare, paired_difference, report
from astra_gym.summary import summarize
from astra_gym.types import Trajectory
from tests.test_summary import trajectory


def played(better: int = 0, *, envs: int = 30, calls: int = 4) -> list[Trajectory]:
    """Envs of very different difficulty; `better` more of the four sub-questions solved where that is possible."""
    return [trajectory(min(4, env % 4 + better), calls, env_id=f"e{env}-v0") for env in range(envs)]


def test_a_small_gain_everywhere_is_clear_although_the_intervals_overlap() -> None:
    first, second = played(envs=12), played(1, envs=12)
    alone = [summarize(side, resamples=500).intervals["recall"] for side in (first, second)]
    assert alone[0][1] > alone[1][0]
    difference = paired_difference(first, second, "recall")
    assert difference.estimate == pytest.approx(0.25)
    assert (difference.low, difference.high) == pytest.approx((0.25, 0.25))
    assert difference.clear
    assert difference.envs == 12


def test_the_sign_is_that_of_the_second_model() -> None:
    difference = paired_difference(played(1), played(), "solve_rate")
    assert difference.estimate == pytest.approx(-7 / 30)
    assert difference.high < 0
    assert difference.clear
    assert paired_difference(played(), played(), "f1").estimate == 0.0
    assert not paired_difference(played(), played(), "f1").clear


def test_only_envs_that_both_have_played_are_compared() -> None:
    failed = trajectory(0, 0, env_id="e0-v0", stop_reason="model_error")
    difference = paired_difference([failed, *played()[1:]], played(1, envs=20), "f1")
    assert difference.envs == 19
    with pytest.raises(ValueError, match="have played 1 envs in common; an interval needs two"):
        paired_difference(played(envs=1), played(), names=("a", "b"))


def test_a_measure_without_a_value_is_named() -> None:
    silent = [trajectory(0, 0, env_id=f"e{env}-v0", metadata={}) for env in range(5)]
    with pytest.raises(ValueError, match="invalid_call_rate is not defined for a or b"):
        paired_difference(silent, silent, "invalid_call_rate", names=("a", "b"))


def test_the_seed_of_the_bootstrap_decides_the_interval() -> None:
    ranges = [paired_difference(played(), played(2), resamples=50, seed=seed) for seed in (1, 1, 2)]
    assert ranges[0] == ranges[1] != ranges[2]


def test_a_report_has_every_group_and_names_what_failed() -> None:
    failed = trajectory(0, 0, stop_reason="model_error", metadata={"error": "no answer"})
    found = report("m", [*played(), failed, failed])
    assert (found.all.episodes, found.all.failed, found.errors) == (30, 2, ("no answer",))
    assert found.by_domain["film"].episodes == 30
    assert found.by_hops.keys() == {"2", "unknown"}
    assert found.by_distractor_band.keys() == {"none"}
    assert found.by_scenario_type["Multi-Hop"].intervals["f1"] == found.all.intervals["f1"]


def test_models_are_compared_with_those_before_them() -> None:
    found = compare({"a": played(), "b": played(1), "c": [], "d": played(2)}, resamples=50)
    assert [m.model for m in found.models] == ["a", "b", "c", "d"]
    assert list(dict.fromkeys((d.first, d.second) for d in found.differences)) == [("a", "b"), ("a", "d"), ("b", "d")]
    metrics = [d.metric for d in found.differences[:4]]
    assert metrics == ["f1", "solve_rate", "calls", "final_answer_accuracy"]
    assert not compare({"a": played(), "b": played(1)}, pairs=[]).differences
