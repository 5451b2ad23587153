"""Means over trajectories."""

from __future__ import annotations

from typing import Any

import pytest

from astra_gym.summary import Summary, summarize, summarize_by
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
        "failed": 0,
        "reward": pytest.approx((1 + 4 / 12) / 3),
        "f1": pytest.approx((1 + 4 / 12) / 3),
        "recall": pytest.approx(0.5),
        "precision": pytest.approx((1 + 0.25) / 3),
        "solve_rate": pytest.approx(1 / 3),
        "calls": 4.0,
        "invalid_calls": 1.0,
        "final_answer_accuracy": pytest.approx(1 / 3),
    }


@pytest.mark.parametrize("reason", ["model_error", "infrastructure_error"])
def test_an_episode_that_was_not_played_is_counted_apart(reason: str) -> None:
    summary = summarize([trajectory(4, 4), trajectory(0, 0, stop_reason=reason)])
    assert (summary.episodes, summary.failed, summary.f1) == (1, 1, 1.0)


def test_nothing_played_has_no_means() -> None:
    assert summarize([]) == Summary(episodes=0)
    assert summarize([]).f1 is None
    assert summarize([trajectory(0, 0, stop_reason="model_error")]).to_json() == {"episodes": 0, "failed": 1}


def test_groups_stand_in_ascending_order() -> None:
    played = [
        trajectory(4, 4, metadata={"hops": 10, "domain": "b"}),
        trajectory(0, 4, metadata={"hops": 2, "domain": "a"}),
        trajectory(4, 4, metadata={"hops": 2, "domain": "b"}),
        trajectory(4, 4, metadata={}),
    ]
    by_hops = summarize_by(played, "hops")
    assert list(by_hops) == [2, 10, "unknown"]
    assert by_hops[2].f1 == pytest.approx(0.5)
    assert {name: s.episodes for name, s in summarize_by(played, "domain").items()} == {"a": 1, "b": 2, "unknown": 1}
