"""The endpoints of a run, shared by the sessions of its items: connections, cache, a limit on requests in flight."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Self

from astra_gym.llm.cache import ReplyCache
from astra_gym.llm.client import EndpointClient
from astra_gym.llm.session import LlmSession, Shared
from astra_gym.llm.settings import Endpoint, ItemBudget, LlmSettings


class LlmPool:
    """Use as an async context manager, in one event loop.

    async with LlmPool(settings, cache=Path("replies.sqlite")) as pool:
        draft = await pool.session("item-1").write(prompt, Draft)
    """

    def __init__(
        self,
        settings: LlmSettings,
        *,
        cache: Path | None = None,
        concurrency: int = 8,
        budget: ItemBudget | None = None,
        date: str = "",
    ) -> None:
        """
        Args:
            cache: the SQLite file of replies; None keeps them in memory.
            concurrency: requests in flight at the same time.
            budget: of each item.
            date: the day of the run, for provenance.
        """
        self._settings = settings
        self._cache_path = cache
        self._concurrency = concurrency
        self._budget = budget or ItemBudget()
        self._date = date
        self._clients: dict[str, EndpointClient] = {}
        self._shared: Shared | None = None

    async def __aenter__(self) -> Self:
        cache = ReplyCache(self._cache_path)
        try:
            self._shared = Shared(
                settings=self._settings,
                writer=self._client(self._settings.writer),
                judges=[self._client(judge) for judge in self._settings.asked_judges],
                cache=cache,
                places=asyncio.Semaphore(self._concurrency),
                date=self._date,
            )
        except BaseException:
            cache.close()
            raise
        return self

    async def __aexit__(self, *exc: object) -> None:
        try:
            for client in self._clients.values():
                await client.close()
        finally:
            if self._shared is not None:
                self._shared.cache.close()

    def session(self, item_id: str, budget: ItemBudget | None = None) -> LlmSession:
        """The conversation of one item; its budget begins now."""
        if self._shared is None:
            raise RuntimeError("the pool is not open: use it as an async context manager")
        return LlmSession(item_id, self._shared, budget or self._budget)

    @property
    def dead(self) -> bool:
        """Whether an endpoint is not asked any more."""
        return any(client.dead for client in self._clients.values())

    def _client(self, endpoint: Endpoint) -> EndpointClient:
        key = endpoint.model_dump_json()
        if key not in self._clients:
            self._clients[key] = EndpointClient(endpoint, self._settings)
        return self._clients[key]
