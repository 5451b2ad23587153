"""Both executors answer the same: results, errors, episodes, batches, closing."""

from __future__ import annotations

import decimal
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from astra_gym.sandbox import (
    InProcessExecutor,
    Limits,
    Program,
    ToolExecutor,
    WorkerExecutor,
    make_executor,
    record_vet,
)
from astra_gym.types import ToolCall
from tests.sandbox.conftest import tool

OSLO = ToolCall("population", {"city": "Oslo"})
COUNT = ToolCall("count", {})
OneTool = Callable[[str], Program]


@pytest.fixture(params=[InProcessExecutor, WorkerExecutor], ids=["inprocess", "worker"])
def kind(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture
def executor(kind: Any, program: Program) -> Iterator[ToolExecutor]:
    made = kind(program)
    yield made
    made.close()


def test_a_call_gives_plain_json(executor: ToolExecutor) -> None:
    assert executor(OSLO).output == {"city": "Oslo", "population": 700_000}


def test_a_value_error_of_the_tool_is_shown_as_it_is(executor: ToolExecutor) -> None:
    error = executor(ToolCall("population", {"city": "Rome"})).error
    assert error is not None
    assert (error.code, error.message) == ("tool_error", "unknown city 'Rome'; known: ['Oslo', 'Paris']")


def test_another_exception_is_shown_with_its_type(kind: Any, one_tool: OneTool) -> None:
    error = kind(one_tool("def f():\n    return {}['a']"))(ToolCall("f", {})).error
    assert (error.code, error.message) == ("tool_error", "KeyError: 'a'")


def test_an_unknown_tool_is_answered_with_the_nearest_names(executor: ToolExecutor) -> None:
    error = executor(ToolCall("populaton", {})).error
    assert error is not None
    assert error.code == "unknown_tool"
    assert "did you mean 'population'?" in error.message


def test_arguments_are_checked_before_the_tool_runs(executor: ToolExecutor) -> None:
    error = executor(ToolCall("population", {"city": 7})).error
    assert error is not None
    assert error.code == "invalid_arguments"
    assert "at /city: expected string, found integer 7" in error.message


def test_state_lasts_for_the_episode_and_not_longer(executor: ToolExecutor) -> None:
    executor.reset(0)
    assert [executor(COUNT).output for _ in range(3)] == [{"n": 1}, {"n": 2}, {"n": 3}]
    executor.reset(0)
    assert executor(COUNT).output == {"n": 1}


def test_executors_of_one_program_do_not_share_state(kind: Any, program: Program) -> None:
    first, second = kind(program), kind(program)
    assert [first(COUNT).output, first(COUNT).output, second(COUNT).output] == [{"n": 1}, {"n": 2}, {"n": 1}]


def test_tools_of_a_program_share_tables_and_library_state(kind: Any) -> None:
    library = "LOG = []\ndef note(x):\n    LOG.append(x)\n    return len(LOG)\n"
    tools = (
        tool("put", "def put(k: str):\n    TABLE[k] = note(k)\n    return TABLE"),
        tool("get", "def get():\n    return [TABLE, LOG]"),
    )
    executor = kind(Program(tools, library=library, data={"table": {"a": 0}}))
    executor(ToolCall("put", {"k": "b"}))
    assert executor(ToolCall("get", {})).output == [{"a": 0, "b": 1}, ["b"]]
    executor.reset(1)
    assert executor(ToolCall("get", {})).output == [{"a": 0}, []]


def test_the_seed_decides_the_random_numbers(kind: Any, one_tool: OneTool) -> None:
    executor = kind(one_tool("import random\ndef f():\n    return random.random()"))
    drawn = []
    for seed in (1, 2, 1):
        executor.reset(seed)
        drawn.append(executor(ToolCall("f", {})).output)
    assert drawn[0] == drawn[2] != drawn[1]


def test_a_batch_gives_what_single_calls_give(kind: Any, program: Program) -> None:
    calls = [COUNT, OSLO, ToolCall("nothing", {}), ToolCall("population", {}), ToolCall("count", {"by": 5})] * 20
    one, many = kind(program), kind(program)
    assert many.batch(calls) == [one(call) for call in calls]


def test_a_batch_with_an_overrun_still_answers_every_call(program: Program) -> None:
    executor = WorkerExecutor(Program(program.tools, data=program.data, limits=Limits(wall_s=0.4)))
    results = executor.batch([COUNT, ToolCall("loop", {}), COUNT])
    assert [result.output for result in results] == [{"n": 1}, None, {"n": 2}]
    assert results[1].error is not None
    assert results[1].error.code == "tool_timeout"


def test_an_overrun_is_stopped_and_the_episode_goes_on(kind: Any, program: Program) -> None:
    executor = kind(Program(program.tools, data=program.data, limits=Limits(wall_s=0.4)))
    executor(COUNT)
    error = executor(ToolCall("loop", {})).error
    assert error is not None
    assert error.code == "tool_timeout"
    assert executor(COUNT).output == {"n": 2}


def test_fuel_is_the_programs(kind: Any, one_tool: OneTool) -> None:
    source = "def f():\n    return sum(1 for _ in range(5000))"
    enough = kind(Program(one_tool(source).tools))(ToolCall("f", {}))
    too_little = kind(Program(one_tool(source).tools, limits=Limits(fuel=1000)))(ToolCall("f", {}))
    assert enough.output == 5000
    assert too_little.error is not None
    assert too_little.error.message.startswith("fuel: ")


def test_the_callers_arguments_are_not_changed(one_tool: OneTool) -> None:
    arguments = {"xs": [3, 1], "d": {"a": [1]}}
    executor = InProcessExecutor(
        one_tool("def f(xs, d):\n    xs.sort()\n    d['a'].append(2)\n    d.pop('a')\n    return xs")
    )
    assert executor(ToolCall("f", arguments)).output == [1, 3]
    assert arguments == {"xs": [3, 1], "d": {"a": [1]}}


def test_the_hosts_decimal_context_is_not_changed(one_tool: OneTool) -> None:
    executor = InProcessExecutor(one_tool("from decimal import *\ndef f():\n    return 1".replace("*", "getcontext")))
    with decimal.localcontext() as context:
        context.prec = 11
        executor(ToolCall("f", {}))
        assert decimal.getcontext() is context
        assert context.prec == 11


def test_a_signature_that_does_not_fit_is_a_tool_error(kind: Any, one_tool: OneTool) -> None:
    error = kind(one_tool("def f(a):\n    return a"))(ToolCall("f", {"b": 1})).error
    assert error.code == "tool_error"
    assert "unexpected keyword argument 'b'" in error.message


def test_a_body_that_fails_to_load_is_an_error_of_each_call(kind: Any, one_tool: OneTool) -> None:
    executor = kind(one_tool("X = 1 / 0\ndef f():\n    return 1"))
    assert [executor(ToolCall("f", {})).error.message for _ in range(2)] == ["ZeroDivisionError: division by zero"] * 2


def test_big_data_goes_both_ways(kind: Any, one_tool: OneTool) -> None:
    text = "x" * 60_000
    executor = kind(one_tool("def f(xs):\n    return [len(xs), xs[0]]"))
    assert executor(ToolCall("f", {"xs": [text] * 40})).output == [40, text]


def test_a_closed_executor_refuses(executor: ToolExecutor) -> None:
    executor.close()
    executor.close()
    with pytest.raises(RuntimeError, match="closed"):
        executor.reset(0)
    with pytest.raises(RuntimeError, match="closed"):
        executor(OSLO)


def test_auto_means_worker_until_the_program_was_vetted_here(
    program: Program, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    monkeypatch.setenv("ASTRA_CACHE_DIR", str(tmp_path))
    assert make_executor(program).isolation == "worker"
    record_vet(program, stateless=False)
    assert make_executor(program).isolation == "inprocess"
    assert make_executor(program, "worker").isolation == "worker"


def test_isolation_is_one_of_four(program: Program) -> None:
    with pytest.raises(ValueError, match="isolation must be"):
        make_executor(program, "none")  # type: ignore[arg-type]


def test_in_process_says_that_no_lock_holds(program: Program) -> None:
    assert "seccomp" in InProcessExecutor(program).missing_locks
