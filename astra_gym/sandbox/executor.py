"""What runs tool calls: one callable `ToolCall -> ToolResult`, in this process or in a locked-down worker."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol, TypeAlias

from astra_gym.sandbox.inprocess import InProcessExecutor
from astra_gym.sandbox.program import Program
from astra_gym.sandbox.vet import vetted
from astra_gym.sandbox.worker.executor import WorkerExecutor
from astra_gym.types import ToolCall, ToolResult

Isolation: TypeAlias = Literal["auto", "inprocess", "worker", "require-os"]


class ToolExecutor(Protocol):
    """Runs the calls of one episode at a time. A failure of the sandbox itself raises SandboxError."""

    isolation: str
    """Where calls run: "inprocess" or "worker"."""

    @property
    def missing_locks(self) -> tuple[str, ...]:
        """Locks that the platform did not grant; in process, all of them."""

    def reset(self, seed: int) -> None:
        """Begin an episode with fresh state."""

    def __call__(self, call: ToolCall) -> ToolResult:
        """Run one call. An unknown tool, bad arguments, a tool's exception or overrun is an error result."""

    def batch(self, calls: Sequence[ToolCall]) -> list[ToolResult]:
        """Run several calls in order."""

    def close(self) -> None:
        """Let go of what the executor holds; calling it again does nothing."""


def make_executor(program: Program, isolation: Isolation = "auto") -> ToolExecutor:
    """The executor for a program.

    "auto" runs in process what was vetted on this very machine (`vet.py`) and everything else in a worker;
    "require-os" is a worker that refuses to start unless every operating-system lock is in force.

    Raises: PolicyError for source that the policy refuses; SandboxError when a worker or a required lock is missing.
    """
    if isolation not in ("auto", "inprocess", "worker", "require-os"):
        raise ValueError(f"isolation must be auto, inprocess, worker or require-os, found {isolation!r}")
    if isolation == "inprocess" or (isolation == "auto" and vetted(program) is not None):
        return InProcessExecutor(program)
    return WorkerExecutor(program, require_os=isolation == "require-os")
