"""Many trajectories as a few means: what the tables of `astra eval` and of the demo show.

An episode that ended for no fault of the model's play (its endpoint failed, the sandbox failed) is counted and left out
of every mean: it is never a zero. "Solved" and "pass" mean that every sub-question that needs a tool was solved;
whether the final answer is right is a measure of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from math import comb
from statistics import fmean
from typing import Literal, NamedTuple, TypeAlias, get_args

import numpy as np
from pydantic import Field

from astra_gym.bootstrap import LEVEL, Array, percentile_interval, ratio_replicates
from astra_gym.records import JSON, Record
from astra_gym.types import Trajectory

GroupKey = Literal["domain", "scenario_type", "hops", "distractor_band"]
Metric = Literal[
    "reward",
    "f1",
    "recall",
    "precision",
    "solve_rate",
    "calls",
    "turns",
    "invalid_calls",
    "invalid_call_rate",
    "final_answer_accuracy",
]
GROUP_KEYS: tuple[GroupKey, ...] = get_args(GroupKey)
NOT_PLAYED = frozenset({"infrastructure_error", "model_error"})
_WHEN_ABSENT = {"distractor_band": "none"}


class EpisodeScore(NamedTuple):
    """What the means need of one episode; the rest of a long trajectory need not stay in memory."""

    env_id: str
    played: bool
    """False when the model or the infrastructure failed."""
    reward: float
    f1: float
    recall: float
    precision: float
    solved: bool
    """Every sub-question that needs a tool."""
    calls: int
    turns: int
    invalid_calls: int
    answered: bool
    """Whether the final answer was right."""
    groups: Mapping[str, JSON]
    """What the episode is grouped by, as `rollout` and `evaluate` recorded it."""
    error: str | None = None

    @classmethod
    def of(cls, trajectory: Trajectory) -> EpisodeScore:
        counts, metadata = trajectory.breakdown, trajectory.metadata
        return cls(
            env_id=trajectory.env_id,
            played=trajectory.stop_reason not in NOT_PLAYED,
            reward=trajectory.total_reward,
            f1=counts.f1,
            recall=counts.recall,
            precision=counts.precision,
            solved=counts.solved == counts.needed,
            calls=counts.calls,
            turns=len(trajectory.actions),
            invalid_calls=metadata.get("invalid_calls", 0),
            answered=trajectory.final_answer_correct is True,
            groups={key: metadata[key] for key in GROUP_KEYS if key in metadata},
            error=metadata.get("error") or metadata.get("infrastructure_error"),
        )


Scored: TypeAlias = Trajectory | EpisodeScore
"""An episode, whole or as its score."""

METRICS: Mapping[Metric, Callable[[EpisodeScore], tuple[float, float]]] = {
    "reward": lambda s: (s.reward, 1),
    "f1": lambda s: (s.f1, 1),
    "recall": lambda s: (s.recall, 1),
    "precision": lambda s: (s.precision, 1),
    "solve_rate": lambda s: (s.solved, 1),
    "calls": lambda s: (s.calls, 1),
    "turns": lambda s: (s.turns, 1),
    "invalid_calls": lambda s: (s.invalid_calls, 1),
    "invalid_call_rate": lambda s: (s.invalid_calls, s.calls),
    "final_answer_accuracy": lambda s: (s.answered, 1),
}
"""What one episode adds to the numerator and to the denominator of each measure."""


class Summary(Record):
    """Means over episodes; a mean over none is None."""

    episodes: int
    """Episodes in the means."""
    envs: int = 0
    """Different envs among them."""
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
    turns: float | None = None
    """Assistant turns an episode, the final answer included."""
    invalid_calls: float | None = None
    """Calls an episode that no tool ran for: malformed, to an unknown tool, or with arguments off its schema."""
    invalid_call_rate: float | None = None
    """Share of such calls among all calls."""
    final_answer_accuracy: float | None = None
    """Share of right final answers; an episode that ended without one has none right."""
    pass_at: dict[int, float] = Field(default_factory=dict)
    """k to pass@k: see `pass_at_k`."""
    intervals: dict[str, tuple[float, float]] = Field(default_factory=dict)
    """Measure to its 95 % interval by a bootstrap over envs; only when asked for, and with two envs or more."""


def summarize(trajectories: Iterable[Scored], *, resamples: int = 0, seed: int = 0) -> Summary:
    """The means over `trajectories`.

    Args:
        resamples: draws of the bootstrap that gives the intervals; 0 for none.
        seed: of the bootstrap.
    """
    given = scores_of(trajectories)
    played = [score for score in given if score.played]
    if not played:
        return Summary(episodes=0, failed=len(given))
    numerators, denominators = sums_by_env(by_env(played).values(), METRICS.values())
    means = dict(zip(METRICS, _ratios(numerators, denominators), strict=True))
    return Summary(
        episodes=len(played),
        envs=len(numerators),
        failed=len(given) - len(played),
        pass_at=pass_at_k(played),
        intervals=_intervals(numerators, denominators, resamples, seed),
        **means,
    )


def summarize_by(
    trajectories: Iterable[Scored], key: GroupKey, *, resamples: int = 0, seed: int = 0
) -> Mapping[str | int, Summary]:
    """The means by domain, scenario type, hops or distractor band, as recorded; groups in ascending order."""
    groups: dict[str | int, list[EpisodeScore]] = {}
    for score in scores_of(trajectories):
        groups.setdefault(score.groups.get(key, _WHEN_ABSENT.get(key, "unknown")), []).append(score)
    names = sorted(groups, key=lambda name: (isinstance(name, str), name))
    return {name: summarize(groups[name], resamples=resamples, seed=seed) for name in names}


def pass_at_k(trajectories: Iterable[Scored]) -> dict[int, float]:
    """The chance that at least one of k episodes of an env is solved, mean over the envs; k = 1, 2, 4... and the most.

    Unbiased: with c of the n episodes of an env solved it is 1 - C(n-c, k) / C(n, k). An env with fewer than k episodes
    that were played says nothing about k and is left out of it. Source: Chen et al. 2021, arXiv 2107.03374, 2.1.
    """
    tries = [[score.solved for score in group if score.played] for group in by_env(scores_of(trajectories)).values()]
    most = max(map(len, tries), default=0)
    ks = sorted({*(1 << i for i in range(most.bit_length())), most} - {0})
    return {k: fmean(_pass_at(len(t), sum(t), k) for t in tries if len(t) >= k) for k in ks}


def _pass_at(n: int, solved: int, k: int) -> float:
    return 1.0 - comb(n - solved, k) / comb(n, k)


def scores_of(trajectories: Iterable[Scored]) -> list[EpisodeScore]:
    """The score of each episode."""
    return [item if isinstance(item, EpisodeScore) else EpisodeScore.of(item) for item in trajectories]


def by_env(scores: Iterable[EpisodeScore]) -> dict[str, list[EpisodeScore]]:
    """The episodes of each env, envs in the order in which they come first."""
    envs: dict[str, list[EpisodeScore]] = {}
    for score in scores:
        envs.setdefault(score.env_id, []).append(score)
    return envs


def sums_by_env(
    clusters: Iterable[Sequence[EpisodeScore]], metrics: Iterable[Callable[[EpisodeScore], tuple[float, float]]]
) -> tuple[Array, Array]:
    """Sums over the episodes of each env: numerators and denominators, each of shape (envs, metrics)."""
    metrics = list(metrics)
    rows = [np.sum([[metric(score) for metric in metrics] for score in group], axis=0) for group in clusters]
    stacked = np.array(rows, dtype=np.float64)
    return stacked[:, :, 0], stacked[:, :, 1]


def _ratios(numerators: Array, denominators: Array) -> list[float | None]:
    sums = zip(numerators.sum(axis=0), denominators.sum(axis=0), strict=True)
    return [float(above / below) if below else None for above, below in sums]


def _intervals(numerators: Array, denominators: Array, resamples: int, seed: int) -> dict[str, tuple[float, float]]:
    if not resamples or len(numerators) < 2:
        return {}
    replicates = ratio_replicates(numerators, denominators, resamples=resamples, seed=seed)
    found = {name: percentile_interval(replicates[:, i], level=LEVEL) for i, name in enumerate(METRICS)}
    return {name: interval for name, interval in found.items() if interval is not None}
