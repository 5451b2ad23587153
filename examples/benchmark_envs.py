"""The env benchmark as a script: `python examples/benchmark_envs.py [--quick] [--json]`, the same as `astra bench`."""

from __future__ import annotations

import sys

import orjson

from astra_gym.bench import run_benchmarks, show_benchmarks

if __name__ == "__main__":
    results = run_benchmarks(quick="--quick" in sys.argv)
    if "--json" in sys.argv:
        print(orjson.dumps(results, option=orjson.OPT_INDENT_2).decode())
    else:
        show_benchmarks(results)
