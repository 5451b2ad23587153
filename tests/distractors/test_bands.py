"""Rows are scaled by themselves, without their own column, and sorted into bands."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from astra_gym.distractors import bands
from astra_gym.distractors.bands import LEVELS, BandIndex, normalised_rows

LOW, MEDIUM, HIGH = LEVELS["low"], LEVELS["medium"], LEVELS["high"]


def at_angles(*degrees: float) -> np.ndarray:
    radians = np.deg2rad(np.array(degrees))
    return np.stack([np.cos(radians), np.sin(radians)], axis=1).astype(np.float32)


def test_a_row_is_scaled_by_its_minimum_and_maximum_over_the_others():
    rows = normalised_rows(np.array([[1.0, 0.2, 0.6, 0.4], [0.2, 1.0, 0.2, 0.7]], dtype=np.float32), [0, 1])
    assert rows[0] == pytest.approx([np.nan, 0.0, 1.0, 0.5], nan_ok=True)
    assert rows[1] == pytest.approx([0.0, np.nan, 0.0, 1.0], nan_ok=True)


def test_a_row_of_equal_values_is_all_zero():
    assert normalised_rows(np.full((1, 3), 0.9, dtype=np.float32), [1])[0] == pytest.approx([0, np.nan, 0], nan_ok=True)
    assert np.isnan(normalised_rows(np.ones((1, 1), dtype=np.float32), [0])).all()


def test_the_argument_is_left_as_it_was():
    given = np.eye(3, dtype=np.float32)
    normalised_rows(given, [0, 1, 2])
    assert (given == np.eye(3)).all()


@pytest.mark.parametrize(
    ("scaled", "level"), [(1.0, HIGH), (0.86, HIGH), (0.84, MEDIUM), (0.41, MEDIUM), (0.39, LOW), (0.0, LOW)]
)
def test_the_edges_of_the_bands(scaled, level):
    # The own tool, one at cosine 1 and one at cosine 0 span the scale, so that a cosine is its own scaled value.
    vectors = at_angles(0, 0, 90, np.rad2deg(np.arccos(scaled)))
    assert BandIndex(vectors).of([0])[3] == level


def test_a_candidate_goes_to_its_highest_band_over_the_envs_tools():
    vectors = at_angles(0, 90, 5, 45, 85)
    index = BandIndex(vectors)
    assert index.of([0])[2:].tolist() == [HIGH, MEDIUM, LOW]
    assert index.of([1])[2:].tolist() == [LOW, MEDIUM, HIGH]
    assert index.of([0, 1])[2:].tolist() == [HIGH, MEDIUM, HIGH]
    assert index.of([1, 0, 0])[2:].tolist() == [HIGH, MEDIUM, HIGH]


def test_sparse_and_dense_vectors_give_the_same():
    rng = np.random.default_rng(0)
    dense = rng.random((40, 12)) * (rng.random((40, 12)) > 0.6) + 1e-3
    dense = (dense / np.linalg.norm(dense, axis=1, keepdims=True)).astype(np.float32)
    one, other = BandIndex(dense), BandIndex(csr_matrix(dense))
    for tools in ([0], [3, 9, 17], list(range(40))):
        assert (one.of(tools) == other.of(tools)).all()


def test_rows_that_were_let_go_come_back_the_same(monkeypatch):
    vectors = at_angles(*range(0, 90, 2))
    want = [BandIndex(vectors).of([i, i + 1]).tolist() for i in range(40)]
    monkeypatch.setattr(bands, "CACHE_BYTES", 1)
    index = BandIndex(vectors)
    for _ in range(2):
        assert [index.of([i, i + 1]).tolist() for i in range(40)] == want
    assert len(index._rows) <= 16
