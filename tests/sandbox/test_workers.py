"""Workers come and go: killed ones are replaced with their state, none outlives its parent, forks keep apart."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from astra_gym.errors import PolicyError, SandboxError
from astra_gym.sandbox import IsolatedRunner, Limits, Program, WorkerExecutor
from astra_gym.sandbox.worker import pool as pools
from astra_gym.sandbox.worker import process
from astra_gym.sandbox.worker.pool import pool
from astra_gym.types import ToolCall
from tests.sandbox.conftest import COUNTER, tool

COUNT = ToolCall("count", {})
OSLO = ToolCall("population", {"city": "Oslo"})
ROOT = Path(__file__).parents[2]
posix = pytest.mark.skipif(os.name != "posix", reason="needs POSIX processes")


def alive(pid: int) -> bool:
    """Whether a process runs (a zombie does not)."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


def gone(pids: list[int], patience_s: float = 20.0) -> bool:
    """Whether all of these processes end while we wait."""
    end = time.monotonic() + patience_s
    while any(alive(pid) for pid in pids) and time.monotonic() < end:
        time.sleep(0.02)
    return not any(alive(pid) for pid in pids)


def worker_pid(executor: WorkerExecutor) -> int:
    return executor._live_worker().pid


def test_a_killed_worker_is_replaced_and_its_episodes_restored(program: Program) -> None:
    first, second = WorkerExecutor(program), WorkerExecutor(program)
    assert worker_pid(first) == worker_pid(second)
    for _ in range(3):
        first(COUNT)
    second(COUNT)
    old = worker_pid(first)
    os.kill(old, signal.SIGKILL)
    assert first(COUNT).output == {"n": 4}
    assert second(COUNT).output == {"n": 2}
    assert worker_pid(first) != old


def test_an_overrun_of_one_episode_does_not_cost_another_its_state(program: Program) -> None:
    slow = WorkerExecutor(Program(program.tools, data=program.data, limits=Limits(wall_s=0.4)))
    other = WorkerExecutor(program)
    assert worker_pid(slow) == worker_pid(other)
    other(COUNT)
    error = slow(ToolCall("loop", {})).error
    assert error is not None
    assert error.code == "tool_timeout"
    assert other(COUNT).output == {"n": 2}


def test_a_worker_killed_in_mid_batch_answers_the_whole_batch(program: Program) -> None:
    executor = WorkerExecutor(program)
    os.kill(worker_pid(executor), signal.SIGKILL)
    assert [result.output for result in executor.batch([COUNT, COUNT])] == [{"n": 1}, {"n": 2}]


def test_restoring_uses_the_same_random_numbers() -> None:
    program = Program((tool("f", "import random\ndef f():\n    return random.random()"),))
    whole, broken = WorkerExecutor(program), WorkerExecutor(program, dedicated=True)
    for executor in (whole, broken):
        executor.reset(5)
    expected = [whole(ToolCall("f", {})).output for _ in range(4)]
    got = [broken(ToolCall("f", {})).output for _ in range(2)]
    broken._live_worker().kill()
    assert got + [broken(ToolCall("f", {})).output for _ in range(2)] == expected


def test_a_dead_zygote_is_replaced(program: Program) -> None:
    executor = WorkerExecutor(program)
    executor(COUNT)
    zygote = pool()._zygote
    assert zygote is not None
    pid = worker_pid(executor)
    zygote._process.kill()
    assert gone([pid])
    assert executor(COUNT).output == {"n": 2}


def test_a_dedicated_worker_is_shared_with_nobody_and_ends_with_its_executor(program: Program) -> None:
    shared, own = WorkerExecutor(program), WorkerExecutor(program, dedicated=True)
    pid = worker_pid(own)
    assert pid != worker_pid(shared)
    assert own(OSLO).ok
    own.close()
    assert gone([pid])


def test_a_thousand_executors_are_a_handful_of_processes(program: Program) -> None:
    executors = [WorkerExecutor(program) for _ in range(1000)]
    assert all(executor(COUNT).output == {"n": 1} for executor in executors)
    assert len({worker_pid(executor) for executor in executors}) <= pools.SHARED_WORKERS
    for executor in executors:
        executor.close()


def test_threads_may_use_executors_at_once(program: Program) -> None:
    outcomes: list[Any] = []

    def play() -> None:
        executor = WorkerExecutor(program)
        outcomes.append([executor(COUNT).output["n"] for _ in range(50)])

    threads = [threading.Thread(target=play) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes == [list(range(1, 51))] * 8


def test_refused_source_is_a_policy_error_at_once() -> None:
    with pytest.raises(PolicyError, match="line 1, column 0"):
        WorkerExecutor(Program((tool("f", "import os\ndef f():\n    return 1"),)))


def test_a_session_dropped_by_its_worker_is_restored(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    executor = WorkerExecutor(program, dedicated=True)
    executor(COUNT)
    executor._live_worker().ask(pools.close_request([executor._number]), 1.0)
    assert executor(COUNT).output == {"n": 2}
    del monkeypatch


def test_an_episode_too_long_to_restore_says_so(program: Program) -> None:
    executor = WorkerExecutor(program, dedicated=True)
    executor(COUNT)
    executor._log = None
    executor._live_worker().kill()
    with pytest.raises(SandboxError, match="too long to be restored"):
        executor(COUNT)
    executor.reset(0)
    assert executor(COUNT).output == {"n": 1}


def test_a_worker_on_a_platform_without_fork_does_the_same(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pools, "can_fork", lambda: False)
    executor = WorkerExecutor(program, dedicated=True)
    pid = worker_pid(executor)
    assert [executor(COUNT).output, executor(OSLO).output["city"]] == [{"n": 1}, "Oslo"]
    os.kill(pid, signal.SIGKILL)
    assert executor(COUNT).output == {"n": 2}
    executor.close()


def test_an_interpreter_that_cannot_be_started_is_a_sandbox_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(SandboxError, match="no worker can be started"):
        process.Zygote()
    monkeypatch.setattr(sys, "executable", "")
    with pytest.raises(SandboxError, match=r"sys\.executable is empty"):
        process.Zygote()


def _child(executor: WorkerExecutor, connection: Any) -> None:
    outcomes = [executor(COUNT).output for _ in range(3)]
    connection.send((outcomes, worker_pid(executor)))
    connection.close()


@posix
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_goes_on_with_its_own_worker(program: Program) -> None:
    executor = WorkerExecutor(program)
    executor(COUNT)
    ours, theirs = multiprocessing.Pipe()
    child = multiprocessing.get_context("fork").Process(target=_child, args=(executor, theirs))
    child.start()
    outcomes, pid = ours.recv()
    child.join()
    assert outcomes == [{"n": 2}, {"n": 3}, {"n": 4}]
    assert pid != worker_pid(executor)
    assert executor(COUNT).output == {"n": 2}
    assert gone([pid])


def _spawned(connection: Any) -> None:
    executor = WorkerExecutor(Program((tool("count", COUNTER),), data={"STATE": {"n": 0}}))
    connection.send([executor(COUNT).output for _ in range(2)])
    connection.close()


def test_a_spawned_child_has_workers_too() -> None:
    ours, theirs = multiprocessing.Pipe()
    child = multiprocessing.get_context("spawn").Process(target=_spawned, args=(theirs,))
    child.start()
    assert ours.recv() == [{"n": 1}, {"n": 2}]
    child.join()
    assert child.exitcode == 0


PARENT = """
import json, sys, time
from astra_gym.sandbox import IsolatedRunner, Limits, Program, WorkerExecutor
from astra_gym.sandbox.worker import pool
from astra_gym.types import ToolCall
from tests.sandbox.conftest import COUNTER, SLOW_LOOP, tool

tools = (tool("count", COUNTER), tool("loop", SLOW_LOOP))
program = Program(tools, data={"STATE": {"n": 0}}, limits=Limits(wall_s=100.0))
executor, runner = WorkerExecutor(program), IsolatedRunner(1)
executor(ToolCall("count", {}))
runner.run(program, 0, [ToolCall("count", {})])
zygotes = [one._zygote._process.pid for one in pool._pools.values()]
print(json.dumps([executor._live_worker().pid, runner._live().pid, *zygotes]), flush=True)
if sys.argv[1] == "busy":
    executor(ToolCall("loop", {}))
elif sys.argv[1] == "wait":
    time.sleep(60)
elif sys.argv[1] == "raise":
    raise ValueError("the end")
"""


@posix
@pytest.mark.parametrize("doing", ["busy", "wait"])
def test_nothing_outlives_a_parent_that_is_killed(doing: str) -> None:
    parent = subprocess.Popen([sys.executable, "-c", PARENT, doing], stdout=subprocess.PIPE, cwd=ROOT)
    assert parent.stdout is not None
    pids = json.loads(parent.stdout.readline())
    assert all(alive(pid) for pid in pids)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    assert gone(pids)


@posix
@pytest.mark.parametrize("doing", ["end", "raise"])
def test_nothing_outlives_a_parent_that_ends(doing: str) -> None:
    done = subprocess.run([sys.executable, "-c", PARENT, doing], capture_output=True, cwd=ROOT, timeout=60)
    pids = json.loads(done.stdout)
    assert done.returncode == (1 if doing == "raise" else 0)
    assert gone(pids)


def test_killed_workers_leave_no_zombies(program: Program) -> None:
    pids = []
    for _ in range(5):
        executor = WorkerExecutor(program, dedicated=True)
        pids.append(worker_pid(executor))
        executor.close()
    assert gone(pids)
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)


# The runner of certification


def test_runs_are_independent_and_keep_state_within(program: Program) -> None:
    runner = IsolatedRunner(0)
    for _ in range(2):
        assert [result.output for result in runner.run(program, 0, [COUNT, COUNT])] == [{"n": 1}, {"n": 2}]
    runner.close()


def test_runs_answer_bad_calls_in_their_place(program: Program) -> None:
    results = IsolatedRunner(0).run(program, 0, [COUNT, ToolCall("nothing", {}), ToolCall("population", {}), COUNT])
    codes = [result.error.code if result.error else result.output for result in results]
    assert codes == [{"n": 1}, "unknown_tool", "invalid_arguments", {"n": 2}]


def test_runs_report_fuel_and_whether_state_changed(program: Program) -> None:
    runner = IsolatedRunner(0)
    looked = runner.report(program, 0, [OSLO])
    counted = runner.report(program, 0, [OSLO, COUNT])
    assert looked.stateless
    assert not counted.stateless
    assert looked.fuel[0] > 0
    assert len(counted.fuel) == 2


def test_runs_with_an_overrun_answer_the_other_calls(program: Program) -> None:
    runner = IsolatedRunner(0)
    slow = Program(program.tools, data=program.data, limits=Limits(wall_s=0.4))
    results = runner.run(slow, 0, [COUNT, ToolCall("loop", {}), COUNT])
    assert [result.output for result in results] == [{"n": 1}, None, {"n": 2}]
    assert results[1].error is not None
    assert results[1].error.code == "tool_timeout"


def test_runs_of_refused_source_raise_a_policy_error() -> None:
    with pytest.raises(PolicyError):
        IsolatedRunner(0).run(Program((tool("f", "def f(:"),)), 0, [])


def test_two_hash_seeds_are_two_hash_orders() -> None:
    source = "def f():\n    return [k for k in {'a': 1}]"
    program = Program((tool("f", source),))
    pids = set()
    for seed in (0, 1):
        runner = IsolatedRunner(seed)
        assert runner.run(program, 0, [ToolCall("f", {})])[0].output == ["a"]
        pids.add(runner._live().pid)
    assert len(pids) == 2


@pytest.mark.parametrize(
    "make", [lambda: [1], lambda: "x", lambda: [True], lambda: [False, ["no_code", "x"]], lambda: None]
)
def test_a_reply_of_another_shape_is_a_crash_and_ends_the_worker(program: Program, make: Callable[[], Any]) -> None:
    executor = WorkerExecutor(program, dedicated=True)
    worker = executor._live_worker()
    result = executor._result(make())
    assert result.error is not None
    assert result.error.code == "tool_crashed"
    assert worker.dead


def test_executors_of_a_stateless_program_share_its_tables_in_the_worker() -> None:
    source = "def f(k: str):\n    return TABLE.get(k)"
    program = Program((tool("f", source),), data={"TABLE": {"a": 1}}, name="tables")
    assert program.stateless
    executors = [WorkerExecutor(program) for _ in range(3)]
    executors[0].close()
    assert [executor(ToolCall("f", {"k": "a"})).output for executor in executors[1:]] == [1, 1]
    other = WorkerExecutor(Program((tool("f", source),), data={"TABLE": {"a": 2}}, name="tables"))
    assert [one(ToolCall("f", {"k": "a"})).output for one in (other, *executors[1:])] == [2, 1, 1]
