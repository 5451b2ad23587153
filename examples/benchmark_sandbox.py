"""What the sandbox costs: per call in process and in a worker, reset, compiling, certifying runs.

Run it with `python examples/benchmark_sandbox.py [--json]`. Each figure is the least of several rounds, beside the bare
function call on the same machine in the same run; ratios travel, microseconds do not.
"""

from __future__ import annotations

import json
import platform
import sys
import time
from collections.abc import Callable

import orjson

from astra_gym.sandbox import InProcessExecutor, IsolatedRunner, Program, WorkerExecutor
from astra_gym.sandbox.policy.compiler import compile_source
from astra_gym.types import ToolCall, ToolFunction

LOOK_UP = '''
def population(city: str):
    """Population of a city."""
    row = CITIES.get(city)
    if row is None:
        raise ValueError(f"unknown city {city!r}")
    return {"city": city, "population": row["population"], "country": row["country"]}
'''
SCAN = """
def large(least: int):
    found = [name for name, row in CITIES.items() if row["population"] >= least]
    return {"cities": sorted(found)[:5], "count": len(found)}
"""
COUNTER = """
def visit(city: str):
    VISITS[city] = VISITS.get(city, 0) + 1
    return {"visits": VISITS[city]}
"""
CITIES = {f"City {n}": {"population": n * 1000, "country": f"Country {n % 7}"} for n in range(100)}
CITY = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
LEAST = {"type": "object", "properties": {"least": {"type": "integer"}}, "required": ["least"]}


def best_us(work: Callable[[], object], times: int, rounds: int = 7) -> float:
    """Least microseconds of one `work()` over `rounds` rounds of `times`."""
    least = float("inf")
    for _ in range(rounds):
        start = time.perf_counter()
        for _ in range(times):
            work()
        least = min(least, time.perf_counter() - start)
    return least / times * 1e6


def figures() -> dict[str, float]:
    """Every figure in microseconds, by name."""
    tools = (
        ToolFunction(name="population", description="Population of a city.", parameters=CITY, source=LOOK_UP),
        ToolFunction(name="large", description="Cities of at least some size.", parameters=LEAST, source=SCAN),
        ToolFunction(name="visit", description="Counts visits.", parameters=CITY, source=COUNTER),
    )
    program = Program(tools, data={"CITIES": CITIES, "VISITS": {}}, name="benchmark")
    look_up, scan = ToolCall("population", {"city": "City 7"}), ToolCall("large", {"least": 50_000})
    visit = ToolCall("visit", {"city": "City 7"})
    plain: dict[str, object] = {"CITIES": CITIES}
    exec(LOOK_UP + SCAN, plain)
    bare, bare_scan = plain["population"], plain["large"]
    assert callable(bare)
    assert callable(bare_scan)
    arguments = orjson.dumps(look_up.arguments)
    inside, worker, runner = InProcessExecutor(program), WorkerExecutor(program), IsolatedRunner()
    batch = [look_up] * 64
    seeds = iter(range(10**9))

    def reset_and_call() -> None:
        inside.reset(next(seeds))
        inside(visit)

    def compile_fresh() -> None:
        compile_source(LOOK_UP + f"# {next(seeds)}\n", "population")

    results = {
        "bare look-up and orjson.loads": best_us(lambda: bare(**orjson.loads(arguments)), 5000),
        "in process: look-up": best_us(lambda: inside(look_up), 5000),
        "bare scan of 100 rows": best_us(lambda: bare_scan(50_000), 2000),
        "in process: scan of 100 rows": best_us(lambda: inside(scan), 2000),
        "in process: reset, load and call with state": best_us(reset_and_call, 500),
        "in process: call that changes state": best_us(lambda: inside(visit), 5000),
        "worker: look-up": best_us(lambda: worker(look_up), 2000),
        "worker: look-up, batched by 64": best_us(lambda: worker.batch(batch), 50) / 64,
        "worker: scan of 100 rows": best_us(lambda: worker(scan), 1000),
        "runner: fresh namespace and 3 calls": best_us(lambda: runner.run(program, 0, [look_up] * 3), 300),
        "compile a small tool": best_us(compile_fresh, 50),
        "dedicated worker: start and first call": best_us(
            lambda: WorkerExecutor(program, dedicated=True)(look_up), 5, rounds=3
        ),
    }
    runner.close()
    return results


def main() -> None:
    results = figures()
    if "--json" in sys.argv[1:]:
        print(json.dumps({"python": platform.python_version(), "machine": platform.machine(), "us": results}))
        return
    print(f"Python {platform.python_version()}, {platform.machine()}; microseconds, least of several rounds")
    for name, value in results.items():
        print(f"{value:12.2f}  {name}")


if __name__ == "__main__":
    main()
