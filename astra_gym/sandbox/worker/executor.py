"""Tool calls in a locked-down worker process, which is killed and replaced when a call overruns.

What a worker knew when it died is restored by running the episode's earlier calls again, which is exact because tools
are deterministic. A call that the worker does not survive twice is answered as `tool_crashed`.
"""

from __future__ import annotations

import itertools
import marshal
import os
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from astra_gym.errors import SandboxError
from astra_gym.sandbox.front import Front, to_result
from astra_gym.sandbox.limits import LIMIT_TEXT
from astra_gym.sandbox.policy.violations import PolicyViolationError, Violation
from astra_gym.sandbox.program import Program
from astra_gym.sandbox.session import limit_outcome
from astra_gym.sandbox.worker.lockdown import REQUIRED
from astra_gym.sandbox.worker.pool import close_request, pool
from astra_gym.sandbox.worker.process import WorkerLostError, WorkerProcess, WorkerTimeoutError
from astra_gym.types import ToolCall, ToolError, ToolResult

MAX_LOG_BYTES = 16 << 20
"""Marshalled calls of one episode that are kept for restoring it."""
CALLS_PER_BUDGET = 16
"""So many calls of a batch share the time that one call may take."""
_numbers = itertools.count(1)
_TIMEOUT = ToolResult(None, ToolError("tool_timeout", LIMIT_TEXT["time_or_memory"]))
_CRASHED = ToolResult(None, ToolError("tool_crashed", "the tool broke the process it ran in"))
_UNSENDABLE = ToolResult(None, ToolError("invalid_arguments", "the arguments are nested too deeply or not JSON"))


class _Lost(Exception):
    """The worker has no such session."""


class WorkerExecutor:
    """Runs a program's tools in a worker process.

    `dedicated` gives it a process of its own; otherwise it shares one with others (see `pool.py`). Raises: SandboxError
    when no worker starts or, with `require_os`, a required lock is missing; PolicyError for refused source.
    """

    isolation = "worker"

    def __init__(self, program: Program, *, dedicated: bool = False, require_os: bool = False) -> None:
        self.program = program
        self._front = Front(program)
        self._wire = program.parts.to_wire()
        self._budget_s = program.limits.wall_s
        self._dedicated = dedicated
        self._moved = False
        """Whether it is dedicated for this episode only, because a shared worker ran out of memory."""
        self._require_os = require_os
        self._number = next(_numbers)
        self._worker: WorkerProcess | None = None
        self._seed = 0
        self._pending: int | None = 0
        """Seed of a reset that the worker has not been told of."""
        self._log: list[tuple[bytes, float]] | None = []
        """Requests of the episode with their budgets in seconds; None when they became too many to keep."""
        self._log_bytes = 0
        self._stateless = False
        self._closed = False
        self._owner = os.getpid()
        self._connect()

    @property
    def missing_locks(self) -> tuple[str, ...]:
        return self._live_worker().missing_locks

    def reset(self, seed: int) -> None:
        if self._closed:
            raise RuntimeError("the executor is closed")
        if self._moved and self._worker is not None:  # the next episode begins as this one did
            self._worker.kill()
            self._worker = None
            self._moved = self._dedicated = False
        self._seed = self._pending = seed
        self._log = []
        self._log_bytes = 0

    def __call__(self, call: ToolCall) -> ToolResult:
        refused = self._front.refuse(call)
        if refused is not None:
            return refused
        try:
            request = marshal.dumps(("call", self._number, self._pending, call.name, call.arguments))
        except ValueError:
            return _UNSENDABLE
        try:
            reply = self._ask_surely(request, self._budget_s)
            if _out_of_memory([reply]) and self._move_out():
                reply = self._ask_surely(request, self._budget_s)
        except WorkerTimeoutError:
            return _TIMEOUT
        except WorkerLostError:
            return _CRASHED
        self._note(request, self._budget_s)
        return self._result(reply)

    def batch(self, calls: Sequence[ToolCall]) -> list[ToolResult]:
        results: list[ToolResult | None] = [self._front.refuse(call) for call in calls]
        sent = [index for index, refused in enumerate(results) if refused is None]
        payload = [(calls[index].name, calls[index].arguments) for index in sent]
        if not payload:
            return [result for result in results if result is not None]
        budget_s = self._budget_s * (1 + len(payload) / CALLS_PER_BUDGET)
        try:
            request = marshal.dumps(("batch", self._number, self._pending, payload))
            replies = self._ask_surely(request, budget_s)
            if _out_of_memory(replies) and self._move_out():
                replies = self._ask_surely(request, budget_s)
        except (ValueError, WorkerTimeoutError, WorkerLostError):
            return [result or self(call) for call, result in zip(calls, results, strict=True)]
        self._note(request, budget_s)
        if not isinstance(replies, list) or len(replies) != len(sent):
            replies = [None] * len(sent)
        for index, reply in zip(sent, replies, strict=True):
            results[index] = self._result(reply)
        return [result for result in results if result is not None]

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            worker = self._worker
            if worker is not None and self._owner == os.getpid():
                if self._dedicated:
                    worker.kill()
                else:
                    worker.closing.append(self._number)

    def __del__(self) -> None:
        with suppress(Exception):  # a half-built executor, or the interpreter going down
            self.close()

    # The worker

    def _ask_surely(self, request: bytes, budget_s: float) -> Any:
        """The reply to a request, after restoring the session if need be. Raises: as `WorkerProcess.ask`."""
        for attempt in (1, 2):
            try:
                return self._ask(self._live_worker(), request, budget_s)
            except _Lost:
                self._worker = None
            except WorkerLostError:
                if attempt == 2:
                    raise
        raise SandboxError(f"{self.program.name}: a worker lost a session that it was just given")

    def _move_out(self) -> bool:
        """Leave a shared worker that ran out of memory, which may be others' doing, for one of this executor's own."""
        if self._dedicated or self._worker is None:
            return False
        self._worker.closing.append(self._number)
        self._worker = None
        self._dedicated = self._moved = True
        return True

    def _ask(self, worker: WorkerProcess, request: bytes, budget_s: float) -> Any:
        if worker.closing:
            with worker.lock:
                numbers, worker.closing = worker.closing, []
                worker.ask(close_request(numbers), self._budget_s)
        reply = worker.ask(request, budget_s)
        if reply == "lost":
            raise _Lost
        return reply

    def _live_worker(self) -> WorkerProcess:
        """The worker that holds this session. Raises: SandboxError when none can be had."""
        if self._closed:
            raise RuntimeError("the executor is closed")
        worker = self._worker
        if worker is None or worker.dead:
            self._owner = os.getpid()
            return self._connect()
        return worker

    def _connect(self) -> WorkerProcess:
        """Open the session in a worker and run the episode's calls so far again."""
        memory = self.program.limits.memory_bytes
        for attempt in (1, 2, 3):
            worker = pool().start(memory) if self._dedicated else pool().shared(memory)
            try:
                self._open(worker)
                self._replay(worker)
            except (WorkerLostError, WorkerTimeoutError, _Lost) as error:
                if attempt == 3:
                    raise SandboxError(f"{self.program.name}: the episode cannot be restored: {error!r}") from None
                continue
            self._worker = worker
            return worker
        raise AssertionError("unreachable")

    def _open(self, worker: WorkerProcess) -> None:
        if self._require_os and (lacking := [lock for lock in worker.missing_locks if lock in REQUIRED]):
            worker.kill()
            raise SandboxError(f"isolation 'require-os': this platform does not grant {', '.join(lacking)}")
        reply = worker.ask(marshal.dumps(("open", self._number, self._wire)), 10 * self._budget_s)
        raise_refusal(reply)
        self._stateless = bool(reply[1])

    def _replay(self, worker: WorkerProcess) -> None:
        if self._log is None:
            raise SandboxError(f"{self.program.name}: the episode is too long to be restored after its worker died")
        if self._log or self._pending is None:
            self._pending = self._seed
        for request, budget_s in self._log:
            self._ask(worker, request, budget_s)
            self._pending = None

    def _note(self, request: bytes, budget_s: float) -> None:
        """Remember a call for restoring the episode."""
        self._pending = None
        if self._stateless or self._log is None:
            return
        self._log.append((request, budget_s))
        self._log_bytes += len(request)
        if self._log_bytes > MAX_LOG_BYTES:
            self._log = None

    def _result(self, reply: Any) -> ToolResult:
        """The result that a reply stands for; a reply of another shape means that the worker was taken over."""
        match reply:
            case [True, output]:
                return ToolResult(output)
            case [False, [str(code), str(message)]] if code in _CODES:
                return to_result((False, (code, message)))
        if self._worker is not None:
            self._worker.kill()
        return _CRASHED


def _out_of_memory(replies: Any) -> bool:
    """Whether one of these outcomes says that the process had no memory left."""
    return isinstance(replies, list) and any(
        isinstance(reply, list) and len(reply) == 2 and reply == _NO_MEMORY for reply in replies
    )


_NO_MEMORY = [False, list(limit_outcome("memory")[1])]
_CODES = frozenset({"tool_error", "limit_exceeded", "tool_timeout", "invalid_arguments"})


def raise_refusal(reply: Any) -> None:
    """Raise PolicyViolationError when a reply says that the policy refused a program."""
    if isinstance(reply, list) and reply and reply[0] is False:
        raise PolicyViolationError(str(reply[1]), tuple(Violation(*fields) for fields in reply[2]))
