"""The items of a run in this process: so many at a time, each handed over when it is done."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator

from astra_gym.env_synthesis.llm.outcomes import Outcome, Placed, Unanswered
from astra_gym.env_synthesis.llm.worker import Work, Worker

Done = Callable[[Outcome | Unanswered], None]
"""Takes what is done, in no order; what it raises ends the run."""


def run_local(todo: Iterator[Placed], work: Work, done: Done) -> None:
    """Do all of `todo`. Raises: what `done` raises, after what else was under way has been dropped."""
    asyncio.run(_run(todo, work, done))


async def _run(todo: Iterator[Placed], work: Work, done: Done) -> None:
    async with Worker(work) as worker:

        async def lane() -> None:
            for placed in todo:
                done(await worker.do(placed))

        lanes = [asyncio.create_task(lane()) for _ in range(work.concurrency)]
        try:
            finished, _ = await asyncio.wait(lanes, return_when=asyncio.FIRST_EXCEPTION)
            for task in finished:
                task.result()
        finally:
            for task in lanes:
                task.cancel()
            await asyncio.gather(*lanes, return_exceptions=True)
