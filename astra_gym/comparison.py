"""One model's results in groups, and two models on the same envs: by how much the second is better, and how sure.

The difference is paired: envs differ far more from each other than models do, so both models' episodes of an env are
drawn together. An interval of the difference that does not hold 0 is evidence; two overlapping intervals of the two
means are not evidence against.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations

import numpy as np
from pydantic import Field

from astra_gym.bootstrap import LEVEL, RESAMPLES, percentile_interval, ratio_replicates
from astra_gym.records import Record
from astra_gym.summary import METRICS, Metric, Scored, Summary, by_env, scores_of, summarize, summarize_by, sums_by_env

COMPARED: tuple[Metric, ...] = ("f1", "solve_rate", "calls", "final_answer_accuracy")
"""Shown side by side, never one alone: F1 may rise while the solve rate falls."""


class ModelReport(Record):
    """The results of one model."""

    model: str
    all: Summary
    by_domain: dict[str, Summary] = Field(default_factory=dict)
    by_scenario_type: dict[str, Summary] = Field(default_factory=dict)
    by_hops: dict[str, Summary] = Field(default_factory=dict)
    by_distractor_band: dict[str, Summary] = Field(default_factory=dict)
    errors: tuple[str, ...] = ()
    """The different reasons for episodes that failed, at most five."""


class Difference(Record):
    """By how much `second` exceeds `first` in one measure, on the envs that both have played."""

    metric: Metric
    first: str
    second: str
    estimate: float
    low: float
    high: float
    """The 95 % interval."""
    envs: int

    @property
    def clear(self) -> bool:
        """Whether the interval holds 0 no more."""
        return self.low > 0 or self.high < 0

    def __str__(self) -> str:
        return f"{self.estimate:+.3f} [{self.low:+.3f}, {self.high:+.3f}]"


class EvaluationReport(Record):
    """The results of several models on the same envs."""

    models: tuple[ModelReport, ...]
    differences: tuple[Difference, ...] = ()


def report(model: str, trajectories: Iterable[Scored], *, resamples: int = RESAMPLES, seed: int = 0) -> ModelReport:
    """Means with intervals over all episodes, and by each property of the envs.

    Args:
        trajectories: of one model.
        resamples, seed: of the bootstrap.
    """
    scores = scores_of(trajectories)
    reasons = dict.fromkeys(score.error or "no reason given" for score in scores if not score.played)

    def grouped(key: str) -> dict[str, Summary]:
        groups = summarize_by(scores, key, resamples=resamples, seed=seed)  # type: ignore[arg-type]
        return {str(name): summary for name, summary in groups.items()}

    return ModelReport(
        model=model,
        all=summarize(scores, resamples=resamples, seed=seed),
        by_domain=grouped("domain"),
        by_scenario_type=grouped("scenario_type"),
        by_hops=grouped("hops"),
        by_distractor_band=grouped("distractor_band"),
        errors=tuple(reasons)[:5],
    )


def compare(
    played: Mapping[str, Iterable[Scored]],
    *,
    pairs: Sequence[tuple[str, str]] | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> EvaluationReport:
    """The report of each model, and the differences between pairs of them in the measures `COMPARED`.

    Args:
        played: the episodes of each model, by the name it is to be shown by.
        pairs: (first, second) to compare; default: every two, in order. Pairs with fewer than two envs in common are
            left out.
    """
    scores = {name: scores_of(trajectories) for name, trajectories in played.items()}
    differences = []
    for first, second in combinations(scores, 2) if pairs is None else pairs:
        if len(_common(scores[first], scores[second])) >= 2:
            found = paired_differences(
                scores[first], scores[second], names=(first, second), resamples=resamples, seed=seed
            )
            differences += found
    models = tuple(report(name, episodes, resamples=resamples, seed=seed) for name, episodes in scores.items())
    return EvaluationReport(models=models, differences=tuple(differences))


def paired_difference(
    first: Iterable[Scored],
    second: Iterable[Scored],
    metric: Metric = "f1",
    *,
    names: tuple[str, str] = ("first", "second"),
    resamples: int = RESAMPLES,
    seed: int = 0,
    level: float = LEVEL,
) -> Difference:
    """By how much the second model exceeds the first in one measure, over the envs that both have played.

    Each env is drawn with the episodes of both models. Envs that one of them has not played (its episodes failed, or it
    was not asked to) are left out; `Difference.envs` says how many are left.

    Raises: ValueError when fewer than two envs were played by both, or the measure is defined for none of them.
    """
    found = paired_differences(first, second, (metric,), names=names, resamples=resamples, seed=seed, level=level)
    if not found:
        raise ValueError(f"{metric} is not defined for {names[0]} or {names[1]} on any env that both have played")
    return found[0]


def paired_differences(
    first: Iterable[Scored],
    second: Iterable[Scored],
    metrics: Sequence[Metric] = COMPARED,
    *,
    names: tuple[str, str] = ("first", "second"),
    resamples: int = RESAMPLES,
    seed: int = 0,
    level: float = LEVEL,
) -> list[Difference]:
    """`paired_difference` in several measures, from the same draws; measures that are not defined are left out."""
    sides = [by_env(score for score in scores_of(side) if score.played) for side in (first, second)]
    common = [env for env in sides[0] if env in sides[1]]
    if len(common) < 2:
        raise ValueError(f"{names[0]} and {names[1]} have played {len(common)} envs in common; an interval needs two")
    parts = [sums_by_env([side[env] for env in common], [METRICS[m] for m in metrics]) for side in sides]
    above, below = (np.hstack([part[i] for part in parts]) for i in (0, 1))
    replicates = ratio_replicates(above, below, resamples=resamples, seed=seed)
    count = len(metrics)
    found = []
    with np.errstate(divide="ignore", invalid="ignore"):
        means = above.sum(axis=0) / below.sum(axis=0)
    for i, metric in enumerate(metrics):
        interval = percentile_interval(replicates[:, count + i] - replicates[:, i], level=level)
        if interval is not None and not np.isnan(estimate := means[count + i] - means[i]):
            low, high = interval
            found.append(
                Difference(
                    metric=metric,
                    first=names[0],
                    second=names[1],
                    estimate=float(estimate),
                    low=low,
                    high=high,
                    envs=len(common),
                )
            )
    return found


def _common(first: Iterable[Scored], second: Iterable[Scored]) -> set[str]:
    """Envs that both have played."""
    played = [{score.env_id for score in scores_of(side) if score.played} for side in (first, second)]
    return played[0] & played[1]
