"""Intervals: as wide as theory says, the same for the same seed, and of envs, not of rows."""

from __future__ import annotations

import numpy as np
import pytest

from astra_gym.bootstrap import mean_interval, percentile_interval, ratio_replicates


def test_the_interval_of_a_mean_is_what_the_normal_law_gives() -> None:
    values = np.random.default_rng(1).normal(5.0, 2.0, 400)
    low, high = mean_interval(values, resamples=4000)
    half = 1.96 * values.std() / 20
    assert low == pytest.approx(values.mean() - half, abs=0.15 * half)
    assert high == pytest.approx(values.mean() + half, abs=0.15 * half)


def test_the_interval_holds_the_truth_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(2)
    hits = 0
    for number in range(300):
        p = rng.beta(2, 2, size=50)  # envs differ; five episodes of each
        solved = rng.binomial(5, p).reshape(-1, 1)
        replicates = ratio_replicates(solved, np.full((50, 1), 5.0), resamples=300, seed=number)
        low, high = percentile_interval(replicates[:, 0]) or (0.0, 0.0)
        hits += low <= 0.5 <= high
    assert 0.90 <= hits / 300 <= 0.98


def test_episodes_of_one_env_count_as_one_draw() -> None:
    solved = np.random.default_rng(3).integers(0, 2, 60).astype(float)
    once = mean_interval(solved)
    ten_times_each = ratio_replicates(10 * solved[:, None], np.full((60, 1), 10.0))
    assert percentile_interval(ten_times_each[:, 0]) == pytest.approx(once)
    as_rows = mean_interval(np.repeat(solved, 10))
    assert once[1] - once[0] > 2.5 * (as_rows[1] - as_rows[0])


def test_an_env_with_more_episodes_weighs_as_in_the_mean() -> None:
    above, below = np.array([[3.0], [0.0]]), np.array([[3.0], [1.0]])
    replicates = ratio_replicates(above, below, resamples=4000)[:, 0]
    assert {round(float(value), 3) for value in replicates} == {0.0, 0.75, 1.0}
    assert (replicates == 0.75).mean() == pytest.approx(0.5, abs=0.05)


def test_the_same_seed_gives_the_same_interval_and_another_seed_another() -> None:
    values = np.random.default_rng(4).random(30)
    assert mean_interval(values, seed=7) == mean_interval(values, seed=7)
    assert mean_interval(values, seed=7) != mean_interval(values, seed=8)


def test_two_statistics_of_the_same_clusters_are_paired() -> None:
    x = np.random.default_rng(5).random((40, 1))
    ones = np.ones_like(x)
    difference = ratio_replicates(x + 0.1, ones, seed=3) - ratio_replicates(x, ones, seed=3)
    assert difference == pytest.approx(np.full_like(difference, 0.1))


def test_many_clusters_are_drawn_in_parts() -> None:
    values = np.tile([0.0, 1.0], 1 << 19)
    low, high = mean_interval(values, resamples=20)
    assert 0.498 < low < high < 0.502


def test_what_is_not_defined_is_left_out() -> None:
    replicates = ratio_replicates(np.zeros((3, 1)), np.zeros((3, 1)), resamples=10)
    assert np.isnan(replicates).all()
    assert percentile_interval(replicates[:, 0]) is None
    assert percentile_interval(np.array([np.nan, 1.0, 1.0])) == (1.0, 1.0)


@pytest.mark.parametrize("shapes", [((2, 1), (3, 1)), ((0, 1), (0, 1)), ((2,), (2,))])
def test_other_shapes_are_refused(shapes: tuple[tuple[int, ...], tuple[int, ...]]) -> None:
    with pytest.raises(ValueError, match=r"two arrays of shape \(N, M\)"):
        ratio_replicates(np.ones(shapes[0]), np.ones(shapes[1]))


@pytest.mark.parametrize("level", [0.0, 1.0, 95.0])
def test_a_level_is_a_share(level: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        percentile_interval(np.ones(3), level=level)
