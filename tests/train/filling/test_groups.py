from __future__ import annotations

import math
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from astra_train.filling.groups import Verdict, judge, spread
from tests.train.filling.making import HALF, ONE, VALID, ZERO, group

REWARDS = st.lists(st.floats(0, 1), min_size=2, max_size=16)


@pytest.mark.parametrize(
    ("rewards", "delta", "verdict"),
    [
        (VALID, 0.0, Verdict.VALID),
        (VALID, 0.49, Verdict.VALID),
        (VALID, 0.5, Verdict.FLAT),
        (ZERO, 0.0, Verdict.ALL_ZERO),
        (ONE, 0.0, Verdict.ALL_ONE),
        (HALF, 0.0, Verdict.FLAT),
        ((0.1,) * 7, 0.0, Verdict.FLAT),
        ((0.8, 0.81), 0.01, Verdict.FLAT),
        ((0.0, 0.0, 0.0, 0.02), 0.05, Verdict.ALL_ZERO),
    ],
)
def test_a_group_is_valid_when_its_rewards_spread_by_more_than_delta(rewards, delta, verdict):
    assert judge(group("g", rewards), delta) is verdict


@pytest.mark.parametrize(
    ("rewards", "verdict"),
    [
        ((1.0, 1.0, None, None), Verdict.ALL_ONE),
        ((1.0, 0.0, None, None), Verdict.VALID),
        ((1.0, None, None, None), Verdict.UNUSABLE),
        ((None, None), Verdict.UNUSABLE),
        ((), Verdict.UNUSABLE),
    ],
)
def test_rollouts_lost_to_an_infrastructure_error_have_no_say(rewards, verdict):
    assert judge(group("g", rewards), 0.0) is verdict


@given(REWARDS)
def test_spread_is_the_population_standard_deviation(rewards):
    assert math.isclose(spread(rewards), statistics.pstdev(rewards), abs_tol=1e-9)


@given(st.floats(0, 1), st.integers(1, 32))
def test_equal_rewards_have_exactly_no_spread(reward, size):
    assert spread([reward] * size) == 0.0


@given(REWARDS, st.floats(0, 0.5), st.floats(0, 0.5))
def test_a_larger_delta_never_makes_a_group_valid(rewards, a, b):
    low, high = sorted((a, b))
    one = group("g", rewards)
    assert judge(one, low) is Verdict.VALID or judge(one, high) is not Verdict.VALID
