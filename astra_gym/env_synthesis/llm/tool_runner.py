"""The sandbox for the stages: runs tools under test without holding up the event loop.

What a tool may do is decided in `astra_gym.sandbox`, what must hold of an env in `certify.py`; here both are called
from a few threads, each with workers of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue
from typing import Self, TypeVar

from astra_gym.certify import SEED, Certifier
from astra_gym.errors import PolicyError
from astra_gym.records import JSON
from astra_gym.sandbox import IsolatedRunner, Program, RunReport, check_source
from astra_gym.types import Certificate, Rejected, ToolCall, ToolEnvSpec, ToolFunction, ToolResult

T = TypeVar("T")
CLOCK = "2025-01-01T00:00:00+00:00"


class _Workers:
    """The processes of one thread; started when first needed."""

    def __init__(self) -> None:
        self.runner = IsolatedRunner()
        self.certifier = Certifier()

    def close(self) -> None:
        self.runner.close()
        self.certifier.close()


class ToolRunner:
    """Runs calls in fresh state, and certifies trial envs. Use as a context manager, or call `close`."""

    def __init__(self, threads: int = 1) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="tool-runner")
        self._idle: SimpleQueue[_Workers] = SimpleQueue()
        self._all = [_Workers() for _ in range(threads)]
        for workers in self._all:
            self._idle.put(workers)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Wait for what is running, then end the processes."""
        self._pool.shutdown(wait=True, cancel_futures=True)
        for workers in self._all:
            workers.close()

    @staticmethod
    def check_source(source: str, name: str) -> str | None:
        """Why the sandbox refuses a source, in words for its writer; None when it does not."""
        try:
            check_source(source, name)
        except PolicyError as error:
            return str(error)
        return None

    async def run(
        self,
        tools: Sequence[ToolFunction],
        data: Mapping[str, JSON],
        calls: Sequence[ToolCall],
        *,
        library: str = "",
        clock: str = CLOCK,
    ) -> list[ToolResult]:
        """The results of `calls`, in order, in one fresh episode.

        Raises: PolicyError for source that the policy refuses; SandboxError when no worker starts.
        """
        program = Program(tuple(tools), library, data, clock)
        return await self._do(lambda workers: workers.runner.run(program, SEED, calls))

    async def report(
        self, tools: Sequence[ToolFunction], data: Mapping[str, JSON], calls: Sequence[ToolCall]
    ) -> RunReport:
        """As `run`, and whether the calls left tables and globals as they were."""
        program = Program(tuple(tools), data=data)
        return await self._do(lambda workers: workers.runner.report(program, SEED, calls))

    async def certify(self, spec: ToolEnvSpec) -> Certificate | Rejected:
        """The certificate of a trial env, or the first reason against it."""
        return await self._do(lambda workers: workers.certifier.certify(spec))

    async def _do(self, work: Callable[[_Workers], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._with_workers, work)

    def _with_workers(self, work: Callable[[_Workers], T]) -> T:
        workers = self._idle.get()
        try:
            return work(workers)
        finally:
            self._idle.put(workers)
