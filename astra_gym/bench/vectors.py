"""Throughput of many envs at once."""

from __future__ import annotations

import time
from collections.abc import Iterator

import gymnasium as gym

from astra_gym.bench.figures import Figure
from astra_gym.bench.subjects import ACTION, lookup_spec, make_lookup
from astra_gym.vector import ToolVectorEnv

ENVS = 64


def figures(quick: bool) -> Iterator[Figure]:
    """Env steps a second of 64 envs, over processes and in this one, beside Gymnasium's own vector env."""
    seconds = 0.5 if quick else 3.0
    spec = lookup_spec()
    own = gym.vector.SyncVectorEnv([lambda: make_lookup("inprocess") for _ in range(ENVS)])
    theirs = _rate(own, seconds)
    for name, vector, budget in (
        ("ToolVectorEnv, one process a core", ToolVectorEnv(spec, ENVS, isolation="inprocess"), 100_000),
        ("ToolVectorEnv in this process", ToolVectorEnv(spec, ENVS, num_workers=0, isolation="inprocess"), None),
        ("ToolVectorEnv, isolated", ToolVectorEnv(spec, ENVS, isolation="worker"), None),
    ):
        yield Figure(
            name=name,
            value=_rate(vector, seconds),
            unit="steps/s",
            yardstick="gymnasium SyncVectorEnv",
            yardstick_value=theirs,
            budget=budget,
            budget_is_floor=True,
        )


def _rate(vector: gym.vector.VectorEnv, seconds: float) -> float:
    """Env steps a second; closes `vector`."""
    actions = [ACTION] * ENVS
    vector.reset(seed=0)
    for _ in range(20):
        vector.step(actions)
    steps, start = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - start) < seconds:
        vector.step(actions)
        steps += ENVS
    vector.close()
    return steps / elapsed
