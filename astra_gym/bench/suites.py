"""What large suites cost: open, register, make."""

from __future__ import annotations

import multiprocessing
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from astra_gym.bench.figures import Figure
from astra_gym.bench.subjects import lookup_spec

_CHUNK = 1000


def figures(quick: bool) -> Iterator[Figure]:
    """Open and register 10^3 to 10^5 envs of one JSONL, each size in a fresh process; then make one of them."""
    sizes = (1_000, 10_000) if quick else (1_000, 10_000, 100_000)
    with tempfile.TemporaryDirectory() as folder:
        for size in sizes:
            path = Path(folder) / f"suite{size}.jsonl"
            write_copies(path, size)
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                register_s, make_ms, megabytes, read_s = pool.apply(_measure, (str(path),))
            largest = size == 100_000
            yield Figure(
                name=f"open and register {size:,} envs",
                value=register_s,
                unit="s",
                yardstick="reading the file's bytes",
                yardstick_value=read_s,
                budget=2.0 if largest else None,
            )
            yield Figure(name="memory that this takes", value=megabytes, unit="MB", budget=300.0 if largest else None)
            yield Figure(
                name="gym.make of one of them, first time",
                value=make_ms,
                unit="ms",
                budget=30.0 if largest else None,
            )


def write_copies(path: Path, size: int) -> None:
    """A JSONL suite of `size` certified envs that differ in their ids."""
    from astra_gym.suite import SuiteWriter

    spec = lookup_spec()
    assert spec.certificate is not None
    with SuiteWriter.resume(path) as writer:
        for i in range(size):
            copy = spec.model_copy(update={"id": f"lookup-{i:06d}-v0"})
            certificate = spec.certificate.model_copy(update={"content_hash": copy.content_hash()})
            writer.write(copy.model_copy(update={"certificate": certificate}))


def _measure(path: str) -> tuple[float, float, float, float]:
    """In a fresh process: seconds to open and register, ms of a `gym.make`, MB taken, seconds to read the bytes."""
    import gymnasium as gym

    from astra_gym.registration import register_suite

    start = time.perf_counter()
    Path(path).read_bytes()
    read_s = time.perf_counter() - start
    before = resident_mb()
    start = time.perf_counter()
    ids = register_suite(path, namespace="many")
    register_s = time.perf_counter() - start
    megabytes = resident_mb() - before
    start = time.perf_counter()
    gym.make(ids[len(ids) // 2], isolation="inprocess").close()
    return register_s, (time.perf_counter() - start) * 1000, megabytes, read_s


def resident_mb() -> float:
    """Memory of this process in MB; where only the peak is known, the peak."""
    status = Path("/proc/self/statm")
    if status.exists():
        return int(status.read_text().split()[1]) * resource.getpagesize() / 1e6
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak / 1e3
