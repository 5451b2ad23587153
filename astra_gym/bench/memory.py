"""Does a long run grow: resident memory before and after a million steps."""

from __future__ import annotations

from collections.abc import Iterator

from astra_gym.bench.figures import Figure
from astra_gym.bench.subjects import ACTION, make_lookup
from astra_gym.bench.suites import resident_mb

EPISODE = 32


def figures(quick: bool) -> Iterator[Figure]:
    """Growth over episodes of 32 steps, after a warm-up of a tenth."""
    steps = 100_000 if quick else 1_000_000
    env = make_lookup("inprocess")
    before = 0.0
    for step in range(steps + steps // 10):
        if step == steps // 10:
            before = resident_mb()
        if step % EPISODE == 0:
            env.reset(seed=step)
        env.step(ACTION)
    grown = resident_mb() - before
    env.close()
    yield Figure(
        name=f"growth over {steps:,} steps", value=grown, unit="MB", yardstick="resident before", yardstick_value=before
    )
