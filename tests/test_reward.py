"""The numbers: F-beta and its kin, the final answer's share, and the batch version equal to the last bit."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from astra_gym.reward import MAX_BETA, REWARD_KINDS, batch_reward, trajectory_reward
from astra_gym.types import RewardBreakdown

ANY = settings(deadline=None, database=None)
COUNTS = st.tuples(st.integers(1, 1000), st.integers(0, 1000)).flatmap(
    lambda pair: st.builds(RewardBreakdown, st.just(pair[0]), st.integers(0, min(pair)), st.just(pair[1]))
)
BETAS = st.floats(0, MAX_BETA) | st.sampled_from([0.0, 0.5, 1.0, 2.0])
WEIGHTS = st.floats(0, 1)


@pytest.mark.parametrize(
    ("needed", "solved", "calls", "f1", "recall", "precision"),
    [
        (4, 4, 4, 1.0, 1.0, 1.0),
        (4, 3, 3, 6 / 7, 0.75, 1.0),
        (4, 4, 6, 0.8, 1.0, 2 / 3),
        (4, 1, 1, 0.4, 0.25, 1.0),
        (4, 0, 0, 0.0, 0.0, 0.0),
        (4, 0, 9, 0.0, 0.0, 0.0),
        (1, 1, 1, 1.0, 1.0, 1.0),
        (1, 1, 31, 0.0625, 1.0, 1 / 31),
    ],
)
def test_the_reward_of_known_trajectories(needed, solved, calls, f1, recall, precision):
    breakdown = RewardBreakdown(needed, solved, calls)
    assert trajectory_reward(breakdown) == pytest.approx(f1)
    assert trajectory_reward(breakdown, "recall") == pytest.approx(recall)
    assert trajectory_reward(breakdown, "precision") == pytest.approx(precision)


def test_credit_beyond_one_a_call_cannot_be_stated():
    with pytest.raises(ValueError, match="solved <= min"):
        RewardBreakdown(needed=4, solved=4, calls=1)


@pytest.mark.parametrize(("correct", "expected"), [(True, 0.25 + 0.75 * 0.8), (False, 0.75 * 0.8), (None, 0.75 * 0.8)])
def test_the_final_answer_has_its_share(correct, expected):
    found = trajectory_reward(RewardBreakdown(4, 4, 6), final_answer_weight=0.25, final_answer_correct=correct)
    assert found == pytest.approx(expected)


def test_a_final_answer_without_weight_changes_nothing():
    breakdown = RewardBreakdown(4, 2, 3)
    assert trajectory_reward(breakdown, final_answer_correct=True) == trajectory_reward(breakdown) == breakdown.f1


def test_beta_leans_to_recall_above_one_and_to_precision_below():
    frugal, thorough = RewardBreakdown(4, 3, 3), RewardBreakdown(4, 4, 6)
    assert trajectory_reward(frugal) > trajectory_reward(thorough)
    assert trajectory_reward(frugal, beta=2) < trajectory_reward(thorough, beta=2)
    assert trajectory_reward(thorough, beta=0) == pytest.approx(thorough.precision)
    assert trajectory_reward(frugal, beta=MAX_BETA) == pytest.approx(frugal.recall)


@ANY
@given(COUNTS, st.sampled_from(REWARD_KINDS), BETAS, WEIGHTS, st.sampled_from([None, True, False]))
def test_the_reward_is_between_0_and_1(breakdown, kind, beta, weight, correct):
    assert 0.0 <= trajectory_reward(breakdown, kind, beta, weight, correct) <= 1.0
    score = trajectory_reward(breakdown, kind, beta)
    assert (score == 0.0) == (breakdown.solved == 0)
    perfect = RewardBreakdown(breakdown.needed, breakdown.needed, breakdown.needed)
    assert trajectory_reward(perfect, kind, beta, weight, True) == pytest.approx(1.0, abs=1e-15)
    assert trajectory_reward(perfect, kind, beta) == 1.0


@ANY
@given(COUNTS, BETAS)
def test_f_beta_is_the_weighted_harmonic_mean(breakdown, beta):
    p, r = breakdown.precision, breakdown.recall
    mean = (1 + beta**2) * p * r / (beta**2 * p + r) if breakdown.solved else 0.0
    assert trajectory_reward(breakdown, beta=beta) == pytest.approx(mean)
    assert trajectory_reward(breakdown) == breakdown.f1


@ANY
@given(
    st.lists(st.tuples(COUNTS, st.booleans()), max_size=20),
    st.sampled_from(REWARD_KINDS),
    BETAS,
    WEIGHTS,
)
def test_the_batch_version_is_equal_to_the_last_bit(rows, kind, beta, weight):
    needed, solved, calls = ([getattr(b, name) for b, _ in rows] for name in ("needed", "solved", "calls"))
    correct = np.array([c for _, c in rows], dtype=bool)
    batch = batch_reward(needed, solved, calls, kind, beta, weight, correct)
    assert batch.dtype == np.float64
    assert batch.tolist() == [trajectory_reward(b, kind, beta, weight, c) for b, c in rows]
    unanswered = batch_reward(needed, solved, calls, kind, beta, weight)
    assert unanswered.tolist() == [trajectory_reward(b, kind, beta, weight) for b, _ in rows]


@pytest.mark.parametrize(
    "options",
    [
        {"kind": "f2"},
        {"beta": -1.0},
        {"beta": float("nan")},
        {"beta": float("inf")},
        {"beta": 1e200},
        {"final_answer_weight": -0.1},
        {"final_answer_weight": 1.1},
        {"final_answer_weight": float("nan")},
    ],
)
def test_options_out_of_range_are_refused(options):
    name = next(iter(options))
    with pytest.raises(ValueError, match="reward must be" if name == "kind" else name):
        trajectory_reward(RewardBreakdown(1), **options)
    with pytest.raises(ValueError, match="reward must be" if name == "kind" else name):
        batch_reward([1], [0], [0], **options)


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        (([4, 4], [4, 5], [6, 6]), "row 1"),
        (([4], [2], [1]), "row 0"),
        (([4], [-1], [1]), "row 0"),
        (([4, 4], [1], [1]), "one shape"),
        (([[4]], [[1]], [[1]]), "one shape"),
        ((4, 1, 1), "one shape"),
        (([4.5], [1], [1]), "integers"),
        (([4], [True], [1]), "integers"),
    ],
)
def test_counts_that_cannot_be_are_refused(counts, message):
    with pytest.raises(ValueError, match=message):
        batch_reward(*counts)


def test_final_answers_have_to_be_bools_of_the_same_shape():
    for wrong in ([True, False], [1], [0.5]):
        with pytest.raises(ValueError, match="final_answer_correct"):
            batch_reward([4], [1], [1], final_answer_correct=wrong)
