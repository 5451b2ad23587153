"""Many trajectories as a few means: what the tables of `astra eval` and `astra demo` show.

An episode that ended for no fault of the model's play (its endpoint failed, the sandbox failed) is counted and left out
of every mean: it is never a zero.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from statistics import fmean
from typing import Literal

from astra_gym.records import Record
from astra_gym.types import Trajectory

GroupKey = Literal["domain", "scenario_type", "hops"]
NOT_PLAYED = frozenset({"infrastructure_error", "model_error"})


class Summary(Record):
    """Means over episodes; a mean over none is None."""

    episodes: int
    """Episodes in the means."""
    failed: int = 0
    """Episodes left out of the means: model or infrastructure failed."""
    reward: float | None = None
    """Sum of the step rewards, as the env's options define it."""
    f1: float | None = None
    recall: float | None = None
    precision: float | None = None
    solve_rate: float | None = None
    """Share of episodes in which every sub-question that needs a tool was solved."""
    calls: float | None = None
    invalid_calls: float | None = None
    final_answer_accuracy: float | None = None
    """Share of right final answers; an episode that ended without one has none right."""


def summarize(trajectories: Iterable[Trajectory]) -> Summary:
    """The means over `trajectories`."""
    given = list(trajectories)
    played = [t for t in given if t.stop_reason not in NOT_PLAYED]

    def mean(value: Callable[[Trajectory], float]) -> float | None:
        return fmean(value(t) for t in played) if played else None

    return Summary(
        episodes=len(played),
        failed=len(given) - len(played),
        reward=mean(lambda t: t.total_reward),
        f1=mean(lambda t: t.breakdown.f1),
        recall=mean(lambda t: t.breakdown.recall),
        precision=mean(lambda t: t.breakdown.precision),
        solve_rate=mean(lambda t: t.solved == t.needed),
        calls=mean(lambda t: t.calls),
        invalid_calls=mean(lambda t: t.metadata.get("invalid_calls", 0)),
        final_answer_accuracy=mean(lambda t: t.final_answer_correct is True),
    )


def summarize_by(trajectories: Iterable[Trajectory], key: GroupKey) -> Mapping[str | int, Summary]:
    """The means by domain, scenario type or hops, as `rollout` recorded them; groups in ascending order."""
    groups: dict[str | int, list[Trajectory]] = {}
    for trajectory in trajectories:
        groups.setdefault(trajectory.metadata.get(key, "unknown"), []).append(trajectory)
    return {name: summarize(groups[name]) for name in sorted(groups, key=lambda name: (isinstance(name, str), name))}
