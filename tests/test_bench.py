"""The benchmark measures what it says it measures; how long things take is not asserted anywhere."""

from __future__ import annotations

from pathlib import Path

import gymnasium as gym
import pytest

import astra_gym
from astra_gym.bench import steps, suites
from astra_gym.bench.figures import Figure, median_us
from astra_gym.bench.subjects import ACTION, make_lookup, parse_and_call


@pytest.mark.parametrize(
    ("value", "budget", "floor", "met"), [(19, 20, False, True), (21, 20, False, False), (9, 8, True, True)]
)
def test_a_budget_is_a_bound_or_a_floor(value: float, budget: float, floor: bool, met: bool) -> None:
    figure = Figure(name="x", value=value, unit="us", budget=budget, budget_is_floor=floor)
    assert figure.met is met
    assert figure.ratio is None


def test_every_function_is_called_as_often_as_said() -> None:
    counts = {"a": 0, "b": 0}

    def count(name: str) -> None:
        counts[name] += 1

    taken = median_us({"a": lambda: count("a"), "b": lambda: count("b")}, rounds=3, calls=10)
    assert counts == {"a": 40, "b": 40}
    assert set(taken) == {"a", "b"}


def test_the_env_that_is_timed_does_what_the_yardstick_does() -> None:
    for isolation in ("inprocess", "worker"):
        env = make_lookup(isolation)
        observation, reward, *_ = env.step(ACTION)
        assert reward == 1.0
        assert f'"total":{parse_and_call()["total"]}' in observation
        assert env.unwrapped.executor.isolation == isolation
        env.close()


def test_every_layer_is_timed_beside_the_yardstick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps, "_size", lambda _quick: (2, 5))
    figures = [*steps.step_figures(True), *steps.layer_figures(True)]
    assert len({figure.name for figure in figures}) == len(figures) == 12
    assert all(figure.value > 0 for figure in figures)


def test_the_suite_that_is_timed_can_be_played(tmp_path: Path) -> None:
    path = tmp_path / "many.jsonl"
    suites.write_copies(path, 30)
    ids = astra_gym.register_suite(path, namespace="bench-test")
    try:
        assert len(ids) == 30
        env = gym.make(ids[-1])
        env.reset(seed=0)
        assert env.step(ACTION)[1] == 1.0
        env.close()
    finally:
        astra_gym.unregister_suite("bench-test")
