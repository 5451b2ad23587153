"""How sure a mean is: percentile intervals from a cluster bootstrap, seeded.

Episodes of one env resemble each other, so envs are drawn with replacement, each with all its episodes; drawing rows
would give intervals that are too narrow. A statistic is a ratio of sums (a mean is sum / count), so that envs with
unequal numbers of episodes are weighed as they are in the mean itself.

Source: Davison & Hinkley, Bootstrap Methods and their Application (1997), sections 2.4 and 3.8.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[np.float64]

RESAMPLES = 2000
LEVEL = 0.95
_CELLS = 1 << 20
"""Draws held in memory at a time."""


def ratio_replicates(numerators: Array, denominators: Array, *, resamples: int = RESAMPLES, seed: int = 0) -> Array:
    """Sums of numerators over sums of denominators in `resamples` draws of the clusters.

    The same seed and number of clusters give the same draws, so two statistics of the same clusters are paired: they
    may be subtracted replicate by replicate.

    Args:
        numerators, denominators: a row a cluster, a column a statistic; both of shape (N, M), N >= 1.

    Returns: shape (resamples, M); NaN where a draw has denominators of 0 only.
    Raises: ValueError when the shapes differ or there is no cluster.
    """
    if numerators.shape != denominators.shape or numerators.ndim != 2 or not len(numerators):
        raise ValueError(f"expected two arrays of shape (N, M), N >= 1, got {numerators.shape}, {denominators.shape}")
    columns = numerators.shape[1]
    both = np.hstack([numerators, denominators]).astype(np.float64)
    sums = np.vstack([weights @ both for weights in _weights(len(both), resamples, seed)])
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(sums[:, columns:] > 0, sums[:, :columns] / sums[:, columns:], np.nan)


def _weights(clusters: int, resamples: int, seed: int) -> Iterator[Array]:
    """How often each cluster was drawn, shape (some of the resamples, clusters)."""
    rng = np.random.default_rng(seed)
    step = max(1, _CELLS // clusters)
    for start in range(0, resamples, step):
        rows = min(step, resamples - start)
        drawn = rng.integers(0, clusters, size=(rows, clusters)) + np.arange(rows)[:, None] * clusters
        counts = np.bincount(drawn.ravel(), minlength=rows * clusters)
        yield counts.reshape(rows, clusters).astype(np.float64)


def percentile_interval(replicates: Array, *, level: float = LEVEL) -> tuple[float, float] | None:
    """The middle `level` of the replicates, shape (R,); NaN are left out, and None when nothing is left.

    Raises: ValueError when `level` is not between 0 and 1.
    """
    if not 0 < level < 1:
        raise ValueError(f"level must lie between 0 and 1, found {level}")
    known = replicates[~np.isnan(replicates)]
    if not len(known):
        return None
    low, high = np.quantile(known, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def mean_interval(
    values: npt.ArrayLike, *, level: float = LEVEL, resamples: int = RESAMPLES, seed: int = 0
) -> tuple[float, float]:
    """The interval of a plain mean of one value a cluster, shape (N,). Raises: ValueError when there is none."""
    column = np.asarray(values, dtype=np.float64).reshape(-1, 1)
    replicates = ratio_replicates(column, np.ones_like(column), resamples=resamples, seed=seed)
    interval = percentile_interval(replicates[:, 0], level=level)
    assert interval is not None  # every draw of a cluster counts 1
    return interval
