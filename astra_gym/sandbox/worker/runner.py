"""Whole lists of calls in fresh state, for certification: one round trip to a locked-down worker each."""

from __future__ import annotations

import marshal
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

from astra_gym.errors import PolicyError, SandboxError
from astra_gym.sandbox.front import Front, to_result
from astra_gym.sandbox.limits import LIMIT_TEXT
from astra_gym.sandbox.program import Program
from astra_gym.sandbox.worker.executor import raise_refusal
from astra_gym.sandbox.worker.pool import pool
from astra_gym.sandbox.worker.process import WorkerLostError, WorkerProcess, WorkerTimeoutError
from astra_gym.types import ToolCall, ToolError, ToolResult

ZONES = ("UTC", "Asia/Tokyo")
"""Time zones of workers with an even and an odd hash seed: a tool that looks at either gives different results."""


@dataclass(frozen=True, slots=True)
class RunReport:
    """What a run of calls in fresh state gave."""

    results: tuple[ToolResult, ...]
    fuel: tuple[int, ...]
    """Fuel of each call; 0 for one that never reached a tool."""
    stateless: bool
    """Whether tables and globals were the same afterwards, as far as they can be read."""


class IsolatedRunner:
    """A long-lived worker that runs lists of calls, each in a fresh namespace."""

    def __init__(self, hash_seed: int = 0) -> None:
        self.hash_seed = hash_seed
        self._worker: WorkerProcess | None = None
        self._last: bytes | None = None
        self._fronts: WeakKeyDictionary[Program, Front] = WeakKeyDictionary()

    @property
    def missing_locks(self) -> tuple[str, ...]:
        """Locks that the platform did not grant."""
        return self._live().missing_locks

    def run(self, program: Program, seed: int, calls: Sequence[ToolCall]) -> list[ToolResult]:
        """The results of `calls`, in order, in one fresh episode.

        Raises: PolicyError for source that the policy refuses; SandboxError when no worker starts.
        """
        return list(self._run(program, seed, calls, compare=False).results)

    def report(self, program: Program, seed: int, calls: Sequence[ToolCall]) -> RunReport:
        """As `run`, with the fuel of each call and whether state changed (which takes longer to find out)."""
        return self._run(program, seed, calls, compare=True)

    def _run(self, program: Program, seed: int, calls: Sequence[ToolCall], *, compare: bool) -> RunReport:
        front = self._fronts.get(program)
        if front is None:
            front = self._fronts[program] = Front(program)
        refused = [front.refuse(call) for call in calls]
        payload = [(call.name, call.arguments) for call, result in zip(calls, refused, strict=True) if result is None]
        try:
            done, fuel, stateless = self._ask(program, seed, payload, compare)
        except PolicyError:
            raise
        except (WorkerTimeoutError, WorkerLostError, ValueError):
            done, fuel, stateless = self._one_by_one(program, seed, payload)
        results: list[ToolResult] = []
        spent: list[int] = []
        waiting = iter(zip(done, fuel, strict=True))
        for result in refused:
            given, units = (result, 0) if result is not None else next(waiting)
            results.append(given)
            spent.append(units)
        return RunReport(tuple(results), tuple(spent), stateless)

    def close(self) -> None:
        """End the worker; the next run starts another."""
        if self._worker is not None:
            self._worker.kill()
            self._worker = None

    def _live(self) -> WorkerProcess:
        if self._worker is None or self._worker.dead:
            self._last = None
            zone = ZONES[self.hash_seed % 2]
            self._worker = pool(self.hash_seed, zone).start(1 << 30)
        return self._worker

    def _ask(
        self, program: Program, seed: int, payload: list[Any], compare: bool = False
    ) -> tuple[list[ToolResult], list[int], bool]:
        worker = self._live()
        wire = marshal.dumps(program.parts.to_wire())
        sent = None if wire == self._last else program.parts.to_wire()
        request = marshal.dumps(("run", sent, seed, payload, compare))
        reply = worker.ask(request, program.limits.wall_s * (1 + len(payload) / 8))
        if reply == "lost":
            self._last = None
            return self._ask(program, seed, payload, compare)
        self._last = wire
        raise_refusal(reply)
        try:
            _, outcomes, fuel, stateless = reply
            return (
                [to_result((bool(done), given)) for done, given in outcomes],
                [int(one) for one in fuel],
                bool(stateless),
            )
        except (TypeError, ValueError):
            worker.kill()
            raise WorkerLostError from None

    def _one_by_one(self, program: Program, seed: int, payload: list[Any]) -> tuple[list[ToolResult], list[int], bool]:
        """After an overrun: find the calls that do it, by running ever longer beginnings; each is left out after."""
        kept: list[Any] = []
        results: list[ToolResult] = []
        fuel: list[int] = []
        for call in payload:
            try:
                done, units, _ = self._ask(program, seed, [*kept, call])
            except WorkerTimeoutError:
                results.append(ToolResult(None, ToolError("tool_timeout", LIMIT_TEXT["time_or_memory"])))
                fuel.append(program.limits.fuel)
            except WorkerLostError:
                results.append(ToolResult(None, ToolError("tool_crashed", "the tool broke the process it ran in")))
                fuel.append(program.limits.fuel)
            except ValueError as error:
                raise SandboxError(f"{program.name}: a call cannot be sent to a worker: {error}") from None
            else:
                kept.append(call)
                results.append(done[-1])
                fuel.append(units[-1])
        return results, fuel, False
