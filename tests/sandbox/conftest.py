"""Tools that several sandbox tests use."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from astra_gym.sandbox import Program
from astra_gym.sandbox.worker.pool import close_pools
from astra_gym.types import ToolFunction

POPULATION = '''
def population(city: str):
    """Population of a city."""
    row = CITIES.get(city)
    if row is None:
        raise ValueError(f"unknown city {city!r}; known: {sorted(CITIES)}")
    return {"city": city, "population": row["population"]}
'''
COUNTER = """
def count(by: int = 1):
    STATE["n"] += by
    return {"n": STATE["n"]}
"""
LOOP = "def loop():\n    m = 2**61 - 1\n    return len(set([k * m for k in range(60000)]))\n"
SLOW_LOOP = """
def loop():
    d = {}
    for k in range(90000):
        d[k * (2**61 - 1)] = k
    return 1
"""
CITY_SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}


def tool(name: str, source: str, parameters: dict[str, Any] | None = None) -> ToolFunction:
    return ToolFunction(name=name, description=name, parameters=parameters or {"type": "object"}, source=source)


@pytest.fixture
def program() -> Program:
    """A look-up, a counter that keeps state in a table, and a tool that takes too long."""
    tools = (tool("population", POPULATION, CITY_SCHEMA), tool("count", COUNTER), tool("loop", LOOP))
    tables = {"cities": {"Oslo": {"population": 700_000}, "Paris": {"population": 2_100_000}}, "STATE": {"n": 0}}
    return Program(tools, data=tables, name="sample")


@pytest.fixture
def one_tool() -> Callable[[str], Program]:
    """Makes a program of one tool called `f`."""
    return lambda source: Program((tool("f", source),), name="one")


@pytest.fixture(scope="session", autouse=True)
def _no_process_outlives_the_tests() -> Iterator[None]:
    yield
    close_pools()
