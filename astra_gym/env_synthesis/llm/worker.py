"""What does the items of a run, in whichever process: the endpoints, the sandbox, and one item at a time through both.

Nothing that an item holds, or that a model says of it, ends a worker. What concerns every item (a cache that cannot be
written, a prompt that is missing) does.
"""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from astra_gym.env_synthesis.llm.outcomes import Outcome, Placed, Unanswered
from astra_gym.env_synthesis.llm.pipeline import process
from astra_gym.env_synthesis.llm.thresholds import Thresholds
from astra_gym.env_synthesis.llm.tool_runner import ToolRunner
from astra_gym.errors import MissingExtraError, PipelineError, SandboxError
from astra_gym.llm.errors import BudgetError, DeadEndpointError, EndpointError, LlmError
from astra_gym.llm.pool import LlmPool
from astra_gym.llm.session import LlmSession
from astra_gym.llm.settings import ItemBudget, LlmSettings
from astra_gym.types import Rejected, ToolEnvSpec

_OF_THE_RUN = (PipelineError, MissingExtraError)
"""Errors that every other item would meet, too."""


@dataclass(frozen=True)
class Work:
    """All that a worker needs; plain data, so that it can be sent to another process."""

    settings: LlmSettings
    thresholds: Thresholds
    budget: ItemBudget
    concurrency: int
    """Items, and requests, at the same time."""
    cache: Path | None
    date: str
    sandbox_threads: int = 1


class Worker:
    """Use as an async context manager."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        work = self._work
        async with AsyncExitStack() as stack:
            self._runner = stack.enter_context(ToolRunner(work.sandbox_threads))
            self._pool = await stack.enter_async_context(
                LlmPool(
                    work.settings, cache=work.cache, concurrency=work.concurrency, budget=work.budget, date=work.date
                )
            )
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._stack.aclose()

    async def do(self, placed: Placed) -> Outcome | Unanswered:
        """One item: certified, rejected for a reason of its own, or left unanswered by an endpoint."""
        item = placed.item
        llm = self._pool.session(item.id)
        try:
            result = await self._result(placed, llm)
        except EndpointError as error:
            return Unanswered(item.id, str(error), isinstance(error, DeadEndpointError))
        return Outcome(placed.position, item.id, result, llm.usage)

    async def _result(self, placed: Placed, llm: LlmSession) -> ToolEnvSpec | Rejected:
        item = placed.item
        try:
            result = await process(item, llm, self._runner, self._work.thresholds)
            llm.check()
            return result
        except EndpointError:
            raise
        except BudgetError as error:
            return Rejected(id=item.id, stage="budget", reason=str(error))
        except LlmError as error:
            return Rejected(id=item.id, stage="endpoint", reason=str(error))
        except SandboxError as error:
            return Rejected(id=item.id, stage="sandbox", reason=f"unknown: a check could not run: {error}")
        except _OF_THE_RUN:
            raise
        except Exception as error:  # noqa: BLE001 - one item of a batch
            return Rejected(id=item.id, stage="internal", reason=f"{type(error).__name__}: {error}")
