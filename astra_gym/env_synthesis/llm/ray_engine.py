"""The items of a run on Ray: the same function, mapped by Ray Data over actors on as many machines as there are.

The driver keeps the journal and writes the suite; an actor has endpoints, sandbox and reply cache of its own machine.
Keys of endpoints are read from each machine's environment.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator
from threading import Thread
from typing import Any, TypeVar

from astra_gym.env_synthesis.llm.items import LlmItem
from astra_gym.env_synthesis.llm.local_engine import Done
from astra_gym.env_synthesis.llm.outcomes import Outcome, Placed, Unanswered, pack, pack_failure, unpack
from astra_gym.env_synthesis.llm.worker import Work, Worker
from astra_gym.errors import AstraError, MissingExtraError

T = TypeVar("T")
_BATCHES_PER_ACTOR = 8
"""So many tasks an actor gets over a run, at least: what is done is handed over batch by batch."""


def run_on_ray(todo: Iterator[Placed], work: Work, done: Done, *, actors: int | None = None) -> None:
    """Do all of `todo` on the cluster at RAY_ADDRESS, or on one started here.

    Args:
        work: `concurrency` holds for each actor.
        actors: default: one a core of the cluster.

    Raises: MissingExtraError; what `done` raises.
    """
    try:
        import ray
    except ImportError as error:
        raise MissingExtraError("--engine ray needs Ray: pip install 'astra-gym[train]'") from error
    rows = [{"position": placed.position, "item": placed.item.model_dump_json()} for placed in todo]
    if not rows:
        return
    ours = not ray.is_initialized()
    if ours:
        ray.init(log_to_driver=False, include_dashboard=False)
    try:
        count = min(actors or max(1, int(ray.cluster_resources().get("CPU", 1))), len(rows))
        for packed in _mapped(rows, work, count):
            done(unpack(packed))
    finally:
        if ours:
            ray.shutdown()


def _mapped(rows: list[dict[str, Any]], work: Work, actors: int) -> Iterator[bytes]:
    from ray.data import DataContext, from_items

    context = DataContext.get_current()
    context.enable_progress_bars = False
    size = max(1, min(work.concurrency, len(rows) // (actors * _BATCHES_PER_ACTOR)))
    blocks = -(-len(rows) // size)
    mapped = from_items(rows, override_num_blocks=blocks).map_batches(
        Actor, fn_constructor_kwargs={"work": work}, batch_size=size, concurrency=actors, num_cpus=1
    )
    for row in mapped.iter_rows():
        yield row["done"]


class Actor:
    """One process of the cluster: a worker, and an event loop in a thread of its own.

    Ray calls an actor from whichever thread it likes; connections and the cache live in one.
    """

    def __init__(self, work: Work) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._work = work
        self._worker: Worker | None = None

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[bytes]]:
        """A batch of columns `position`, `item` in; a column `done` out."""
        items = zip(batch["position"], batch["item"], strict=True)
        placed = [Placed(int(position), LlmItem.model_validate_json(item)) for position, item in items]
        try:
            return {"done": [pack(one) for one in self._wait(self._do(placed))]}
        except AstraError as error:
            return {"done": [pack_failure(str(error))]}

    async def _do(self, placed: list[Placed]) -> list[Outcome | Unanswered]:
        if self._worker is None:
            self._worker = await Worker(self._work).__aenter__()
        return await asyncio.gather(*(self._worker.do(one) for one in placed))

    def _wait(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def __del__(self) -> None:
        if self._worker is not None:
            self._wait(self._worker.__aexit__())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
