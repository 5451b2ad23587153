from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from astra_train.filling import outcomes
from astra_train.filling.errors import FillingConfigError, RolloutDataError
from astra_train.filling.groups import Verdict, judge
from astra_train.filling.pass_rates import PassRateOptions, PassRates, expected_signal
from tests.train.filling.making import group

COUNTS = st.floats(0.1, 200)


def rates(envs: int = 4, **options) -> PassRates:
    return PassRates([f"e{i}" for i in range(envs)], PassRateOptions(**{"group_size": 4, **options}))


def played(env_id: str, rate: float, *, version: int = 0, size: int = 4):
    passed = round(rate * size)
    return group("g", [1.0] * passed + [0.0] * (size - passed), version=version, env_id=env_id)


@pytest.mark.parametrize(("size", "expected"), [(2, 1 / 3), (4, 3 / 5), (8, 7 / 9)])
def test_an_env_never_seen_is_expected_to_give_g_minus_1_over_g_plus_1(size, expected):
    assert expected_signal(np.ones(1), np.ones(1), size)[0] == pytest.approx(expected)


@given(COUNTS, COUNTS, st.integers(2, 16))
def test_expected_signal_is_the_mean_over_the_posterior(passes, failures, size):
    signal = expected_signal(np.array([passes]), np.array([failures]), size)[0]
    mirrored = expected_signal(np.array([failures]), np.array([passes]), size)[0]
    mean = passes / (passes + failures)
    at_the_mean = 1 - mean**size - (1 - mean) ** size
    assert 0 <= signal <= at_the_mean + 1e-9, "the signal is concave in the rate, so doubt only lowers it"
    assert signal == pytest.approx(mirrored)


def test_expected_signal_agrees_with_drawing_rates_from_the_posterior():
    drawn = np.random.default_rng(0).beta(3.0, 9.0, 200_000)
    expected = (1 - drawn**8 - (1 - drawn) ** 8).mean()
    assert expected_signal(np.array([3.0]), np.array([9.0]), 8)[0] == pytest.approx(expected, abs=2e-3)


def test_envs_in_the_middle_are_picked_more_often_than_solved_and_hopeless_ones():
    chosen = rates(explore=0.0, no_repeat=0.0)
    for _ in range(20):
        for env_id, rate in [("e0", 0.0), ("e1", 0.5), ("e2", 1.0), ("e3", 0.25)]:
            chosen.observe(played(env_id, rate))
    counts = np.bincount([chosen.pick() for _ in range(2000)], minlength=4)
    assert counts[1] > counts[3] > 5 * max(counts[0], counts[2])


@pytest.mark.parametrize("options", [{"explore": 1.0}, {"power": 0.0, "explore": 0.0}])
def test_exploration_alone_picks_uniformly(options):
    chosen = rates(no_repeat=0.0, **options)
    for _ in range(50):
        chosen.observe(played("e0", 0.0))
    counts = np.bincount([chosen.pick() for _ in range(4000)], minlength=4)
    assert counts.min() > 850


def test_every_env_is_reached_by_exploration():
    chosen = rates(envs=10, explore=0.2, no_repeat=0.0)
    for env in range(9):
        for _ in range(100):
            chosen.observe(played(f"e{env}", 0.0))
    assert len({chosen.pick() for _ in range(1500)}) == 10


@given(st.integers(1, 12), st.floats(0, 0.95), st.integers(0, 99))
def test_a_row_is_not_picked_again_before_the_share_asked_for(rows, share, seed):
    chosen = rates(envs=rows, no_repeat=share, seed=seed)
    picks = [chosen.pick() for _ in range(40)]
    window = int(share * rows) + 1
    assert all(0 <= pick < rows for pick in picks)
    assert all(len(set(picks[i : i + window])) == window for i in range(40 - window))


def test_old_evidence_fades_with_policy_updates():
    chosen = rates(discount=0.5)
    chosen.observe(played("e0", 1.0, version=0))
    sure = chosen.pass_rates()[0]
    chosen.observe(played("e1", 1.0, version=4))
    assert sure == pytest.approx(5 / 6)
    assert chosen.pass_rates()[0] == pytest.approx((1 + 4 / 16) / (2 + 4 / 16))
    chosen.observe(played("e2", 1.0, version=3))
    assert chosen.pass_rates()[2] == pytest.approx(3 / 4), "a group of an older version counts for less"


def test_rows_of_one_env_share_an_estimate_and_foreign_envs_are_left_alone():
    chosen = PassRates(["a", "b", "a"], PassRateOptions(group_size=4))
    chosen.observe(played("a", 0.0))
    chosen.observe(played("elsewhere", 1.0))
    chosen.observe(group("g", [None, None], env_id="b"))
    assert chosen.observed == 1
    assert chosen.pass_rates() == pytest.approx([1 / 6, 1 / 2])


def test_rollouts_lost_to_infrastructure_errors_are_not_failures():
    chosen = rates()
    chosen.observe(group("g", [1.0, None, None, None], env_id="e0"))
    assert chosen.pass_rates()[0] == pytest.approx(2 / 3)


def test_a_metric_that_is_not_there_is_an_error_and_the_reward_always_is():
    with pytest.raises(RolloutDataError, match=r"'won' is not in reward_extra_info, it holds \['solve_rate'\]"):
        rates(metric="won").observe(played("e0", 1.0))
    chosen = rates(metric="reward", pass_at=0.9)
    chosen.observe(group("g", [0.95, 0.5], env_id="e0"))
    assert chosen.pass_rates()[0] == pytest.approx(1 / 2)


@given(st.lists(st.tuples(st.integers(0, 5), st.floats(0, 1), st.integers(0, 6)), max_size=20), st.integers(0, 30))
def test_a_saved_state_goes_on_exactly_where_it_stopped(history, picks):
    one = rates(envs=6, seed=3)
    for env, rate, version in history:
        one.observe(played(f"e{env}", rate, version=version))
    for _ in range(picks):
        one.pick()
    other = rates(envs=6, seed=99)
    other.load_state_dict(pickle.loads(pickle.dumps(one.state_dict())))
    assert [one.pick() for _ in range(10)] == [other.pick() for _ in range(10)]
    assert one.state_dict() == other.state_dict()
    assert one.metrics() == other.metrics()


def test_a_saved_state_is_read_by_env_id_and_another_format_is_refused():
    one = rates(envs=3)
    one.observe(played("e2", 1.0))
    other = PassRates(["new", "e2"], PassRateOptions(group_size=4))
    other.load_state_dict(one.state_dict())
    assert other.pass_rates() == pytest.approx([1 / 2, 5 / 6])
    with pytest.raises(FillingConfigError, match="format 7"):
        other.load_state_dict({"format": 7})


def test_a_data_set_without_rows_is_refused():
    with pytest.raises(FillingConfigError, match="at least one row"):
        PassRates([], PassRateOptions())


def test_listeners_hear_of_groups_until_they_are_gone():
    chosen = rates()
    outcomes.listen(chosen)
    outcomes.report(played("e1", 1.0))
    assert chosen.observed == 1
    assert outcomes.listener_metrics(1.0)["pass_rates/seen_share"] == 0.25
    del chosen
    assert outcomes.listener_metrics(1.0) == {}


def test_picking_by_pass_rate_finds_more_groups_with_signal_than_picking_uniformly():
    """A simulated policy: 200 envs, most too easy or too hard, all slowly getting easier."""
    found = {}
    for name, options in {"uniform": {"power": 0.0}, "by pass rate": {}}.items():
        chosen = PassRates([f"e{i}" for i in range(200)], PassRateOptions(group_size=8, seed=1, **options))
        draw = np.random.default_rng(2)
        difficulty = draw.choice([-6.0, -5.0, -4.0, 0.0, 5.0, 6.0], size=200)
        valid = 0
        for version in range(60):
            picks = [chosen.pick() for _ in range(16)]
            for row in picks:
                rate = 1 / (1 + np.exp(-(difficulty[row] + 0.02 * version)))
                one = played(f"e{row}", draw.binomial(8, rate) / 8, version=version, size=8)
                valid += judge(one, 0.0) is Verdict.VALID
                chosen.observe(one)
        found[name] = valid / (60 * 16)
    assert found["by pass rate"] > 1.5 * found["uniform"]
