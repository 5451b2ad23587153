"""Tool calls in the caller's own process: fast, and for source that was vetted on this machine.

The policy, the budgets and the watchdog hold; a bug of the interpreter itself would not be contained. Everything else
belongs in a worker.
"""

from __future__ import annotations

from collections.abc import Sequence

from astra_gym.sandbox.front import Front
from astra_gym.sandbox.program import Program
from astra_gym.sandbox.session import Session
from astra_gym.types import ToolCall, ToolError, ToolResult

OS_LOCKS = ("rlimits", "no-new-privs", "landlock", "seccomp", "network-namespace", "separate-process")


class InProcessExecutor:
    """Runs a program's tools in this process."""

    isolation = "inprocess"

    def __init__(self, program: Program) -> None:
        self.program = program
        self._front = Front(program)
        self._session: Session | None = Session(program.loader)
        self._session.reset(0)

    @property
    def missing_locks(self) -> tuple[str, ...]:
        """All: nothing but the policy stands between the tools and this process."""
        return OS_LOCKS

    def _open(self) -> Session:
        if self._session is None:
            raise RuntimeError("the executor is closed")
        return self._session

    def reset(self, seed: int) -> None:
        self._open().reset(seed)

    def __call__(self, call: ToolCall) -> ToolResult:
        session = self._session or self._open()
        check = self._front.checks.get(call.name)
        if check is None:
            return self._front.unknown(call.name)
        error = check(call.arguments)
        if error is not None:
            return ToolResult(None, error)
        done, payload = session.call(call.name, call.arguments)
        return ToolResult(payload) if done else ToolResult(None, ToolError(*payload))

    def batch(self, calls: Sequence[ToolCall]) -> list[ToolResult]:
        return [self(call) for call in calls]

    def close(self) -> None:
        self._session = None
