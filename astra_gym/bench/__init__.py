"""The env benchmark: what a step, a suite and a synthesis cost here, each beside a yardstick of the same run.

Ratios travel between machines, microseconds do not; so every figure names the yardstick it was measured with, in
interleaved rounds where the two are short. Behind `astra bench` and `examples/benchmark_envs.py`.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator

from astra_gym.bench.figures import Figure, show_figures
from astra_gym.records import JSON

__all__ = ["Figure", "run_benchmarks", "show_benchmarks"]

Sections = list[tuple[str, Callable[[bool], Iterator[Figure]]]]


def run_benchmarks(*, quick: bool = False, report: Callable[[str], None] | None = None) -> dict[str, JSON]:
    """Every figure, as JSON: `{"machine": {...}, "sections": {name: [figure, ...]}}`.

    Args:
        quick: smaller sizes, under a minute; the figures are noisier.
        report: called with the name of each section as it starts.
    """
    from astra_gym.bench import memory, steps, suites, synthesis, vectors

    sections: Sections = [
        ("one step", steps.step_figures),
        ("layers of a step", steps.layer_figures),
        ("peers, one tool call", steps.peer_figures),
        ("vectors", vectors.figures),
        ("suites", suites.figures),
        ("synthesis", synthesis.figures),
        ("memory", memory.figures),
    ]
    results: dict[str, JSON] = {}
    for name, measure in sections:
        if report:
            report(name)
        results[name] = [figure.to_json() for figure in measure(quick)]
    return {"machine": _machine(), "quick": quick, "sections": results}


def show_benchmarks(results: dict[str, JSON]) -> None:
    """The figures as tables."""
    show_figures(results)


def _machine() -> dict[str, JSON]:
    import os

    return {"python": platform.python_version(), "system": platform.system(), "cores": os.cpu_count()}
