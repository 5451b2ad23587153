"""Means over trajectories."""

from __future__ import annotations

from itertools import combinations
from statistics import fmean
from typing import Any

import pytest

from astra_gym.summary import METRICS, EpisodeScore, Summary, pass_at_k, summarize, summarize_by
from astra_gym.types import Trajectory


def trajectory(solved: int, calls: int, **changes: Any) -> Trajectory:
    """One of an env that needs four."""
    breakdown = {"needed": 4, "solved": solved, "calls": calls}
    f1 = 2 * solved / (4 + calls) if solved else 0.0
    base: dict[str, Any] = {
        "env_id": "e-v0",
        "seed": 0,
        "actions": ("a",),
        "rewards": (f1,),
        "messages": (),
        "tools": (),
        "stop_reason": "final_answer",
        "final_answer_correct": solved == 4,
        "metadata": {"domain": "film", "hops": 2, "scenario_type": "Multi-Hop", "invalid_calls": 1},
    }
    return Trajectory(**{**base, **breakdown, **changes})


def test_means_are_taken_over_episodes() -> None:
    summary = summarize([trajectory(4, 4), trajectory(2, 8), trajectory(0, 0, final_answer_correct=None)])
    assert summary.model_dump() == {
        "episodes": 3,
        "envs": 1,
        "failed": 0,
        "reward": pytest.approx((1 + 4 / 12) / 3),
        "f1": pytest.approx((1 + 4 / 12) / 3),
        "recall": pytest.approx(0.5),
        "precision": pytest.approx((1 + 0.25) / 3),
        "solve_rate": pytest.approx(1 / 3),
        "calls": 4.0,
        "turns": 1.0,
        "invalid_calls": 1.0,
        "invalid_call_rate": 3 / 12,
        "final_answer_accuracy": pytest.approx(1 / 3),
        "pass_at": {1: pytest.approx(1 / 3), 2: pytest.approx(2 / 3), 3: 1.0},
        "intervals": {},
    }


def test_a_score_says_the_same_as_its_trajectory() -> None:
    played = [trajectory(4, 4), trajectory(2, 8), trajectory(0, 0, stop_reason="model_error")]
    assert summarize(map(EpisodeScore.of, played), resamples=50) == summarize(played, resamples=50)


@pytest.mark.parametrize("reason", ["model_error", "infrastructure_error"])
def test_an_episode_that_was_not_played_is_counted_apart(reason: str) -> None:
    summary = summarize([trajectory(4, 4), trajectory(0, 0, stop_reason=reason)])
    assert (summary.episodes, summary.failed, summary.f1) == (1, 1, 1.0)
    assert summary.pass_at == {1: 1.0}


def test_nothing_played_has_no_means() -> None:
    assert summarize([]) == Summary(episodes=0)
    assert summarize([]).f1 is None
    assert summarize([trajectory(0, 0, stop_reason="model_error")]).to_json() == {"episodes": 0, "failed": 1}


def test_a_rate_of_no_calls_is_not_defined() -> None:
    summary = summarize([trajectory(0, 0, metadata={})] * 2, resamples=20)
    assert summary.invalid_call_rate is None
    assert "invalid_call_rate" not in summary.intervals


def test_groups_stand_in_ascending_order() -> None:
    played = [
        trajectory(4, 4, metadata={"hops": 10, "domain": "b"}),
        trajectory(0, 4, metadata={"hops": 2, "domain": "a"}),
        trajectory(4, 4, metadata={"hops": 2, "domain": "b", "distractor_band": "high"}),
        trajectory(4, 4, metadata={}),
    ]
    by_hops = summarize_by(played, "hops")
    assert list(by_hops) == [2, 10, "unknown"]
    assert by_hops[2].f1 == pytest.approx(0.5)
    assert {name: s.episodes for name, s in summarize_by(played, "domain").items()} == {"a": 1, "b": 2, "unknown": 1}
    assert {name: s.episodes for name, s in summarize_by(played, "distractor_band").items()} == {"high": 1, "none": 3}


def test_intervals_are_of_envs_and_hold_the_mean() -> None:
    played = [trajectory(4 if env % 3 else 1, 4 + env % 2, env_id=f"e{env}-v0") for env in range(12) for _ in range(2)]
    summary = summarize(played, resamples=500)
    assert set(summary.intervals) == set(METRICS)
    for metric, (low, high) in summary.intervals.items():
        assert low <= getattr(summary, metric) <= high, metric
    assert summary.intervals["solve_rate"] == pytest.approx(
        summarize(played * 3, resamples=500).intervals["solve_rate"]
    )
    assert summarize(played[:2], resamples=500).intervals == {}, "one env says nothing of others"


def tries(*solved_of: tuple[int, int]) -> list[Trajectory]:
    """(solved, tries) of each env."""
    return [
        trajectory(4 if number < solved else 0, 4, env_id=f"e{env}-v0", seed=number)
        for env, (solved, count) in enumerate(solved_of)
        for number in range(count)
    ]


@pytest.mark.parametrize(("solved", "n"), [(0, 6), (1, 6), (3, 6), (6, 6), (1, 1), (2, 5)])
def test_pass_at_k_is_the_mean_over_all_draws_of_k_episodes(solved: int, n: int) -> None:
    outcomes = [number < solved for number in range(n)]
    for k, value in pass_at_k(tries((solved, n))).items():
        assert value == pytest.approx(fmean(any(draw) for draw in combinations(outcomes, k)))


def test_pass_at_k_is_a_mean_over_envs_with_enough_episodes() -> None:
    found = pass_at_k(tries((1, 4), (0, 4), (2, 2)))
    assert set(found) == {1, 2, 4}
    assert found[1] == pytest.approx((1 / 4 + 0 + 1) / 3)
    assert found[4] == pytest.approx((1 + 0) / 2)
    assert pass_at_k([]) == {}
