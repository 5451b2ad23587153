"""How many envs a second come out of the tables, built and certified, on one core."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from astra_gym.bench.figures import Figure
from astra_gym.errors import MissingExtraError
from astra_gym.types import Rejected


def figures(quick: bool) -> Iterator[Figure]:
    """Certified envs a second a core, beside building alone; nothing when the extra `tables` is not installed."""
    try:
        from astra_gym.env_synthesis.runner import run
        from astra_gym.env_synthesis.sources.tables import tables_source

        source = tables_source(None, seed=7)
        for item in islice(source.items(), 20):  # loads the tables
            if not isinstance(item, Rejected):
                source.build(item)
    except MissingExtraError:
        return
    n = 60 if quick else 300
    start = time.perf_counter()
    for item in islice(source.items(), n):
        if not isinstance(item, Rejected):
            source.build(item)
    built = n / (time.perf_counter() - start)
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        report = run(source, Path(folder) / "suite.jsonl", config={}, limit=n, workers=1)
        certified = report.kept / (time.perf_counter() - start)
    yield Figure(
        name="table synthesis, certified, one core",
        value=certified,
        unit="envs/s",
        yardstick="building without certifying",
        yardstick_value=built,
        budget=50,
        budget_is_floor=True,
    )
