"""A server that answers by a function of the request, and a pool that asks it; for tests of what speaks to models."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from astra_gym.llm.pool import LlmPool
from astra_gym.llm.prompts import Prompt
from astra_gym.llm.session import LlmSession
from astra_gym.llm.settings import Endpoint, ItemBudget, LlmSettings
from astra_gym.records import JSON
from tests.models.chat_server import ChatServer, Reply, completion, running

T = TypeVar("T")
Answering = Callable[[dict[str, Any]], Reply]


class AnsweringServer(ChatServer):
    """Gives to each request what `answer` makes of it."""

    request_queue_size = 64

    def __init__(self, answer: Answering, before: Callable[[], object] | None = None) -> None:
        super().__init__(())
        self._answer = answer
        self._before = before
        self.connections = 0

    def get_request(self) -> tuple[Any, Any]:
        self.connections += 1
        return super().get_request()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients are killed in these tests, in the middle of what they send."""
        if not isinstance(sys.exception(), ConnectionError | json.JSONDecodeError):
            super().handle_error(request, client_address)

    def before_reply(self) -> None:
        """Called for each request at the same time as for others."""
        if self._before is not None:
            self._before()

    def reply_to(self, request: dict[str, Any]) -> Reply:
        return self._answer(request)


@contextmanager
def answering(answer: Answering, before: Callable[[], object] | None = None) -> Iterator[AnsweringServer]:
    """A server that answers by `answer` for the length of the block; `before` is called for each request first."""
    with running(AnsweringServer(answer, before)) as server:
        yield server


def say(value: JSON, **choice: Any) -> Reply:
    """A chat completion that holds `value` as JSON; a text as it is."""
    return completion(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False), **choice)


def attempt(request: dict[str, Any]) -> int:
    """How often the model has been asked before in this conversation."""
    return sum(message["role"] == "assistant" for message in request["messages"])


def settings(url: str, *, judges: tuple[str, ...] = (), **options: Any) -> LlmSettings:
    """Settings without long waits; endpoint options go in as `endpoint`."""
    endpoint = options.pop("endpoint", {})
    defaults = {"retries": 1, "first_wait_s": 0.0, "timeout_s": 20.0}
    return LlmSettings(
        writer=Endpoint(model="writer", base_url=url, **endpoint),
        judges=tuple(Endpoint(model=name, base_url=url, **endpoint) for name in judges),
        **(defaults | options),
    )


def prompt(user: str = "How many?", stage: str = "count") -> Prompt:
    messages = ({"role": "system", "content": f"# Stage: {stage}"}, {"role": "user", "content": user})
    return Prompt(stage, messages, "sha256:0")  # type: ignore[arg-type]


def ask(
    with_settings: LlmSettings,
    do: Callable[[LlmSession], Awaitable[T]],
    *,
    budget: ItemBudget | None = None,
    **options: Any,
) -> T:
    """What `do` returns of a session of a new pool."""

    async def main() -> T:
        async with LlmPool(with_settings, budget=budget, **options) as pool:
            return await do(pool.session("item-1"))

    return asyncio.run(main())
