"""One model behind an OpenAI-compatible endpoint, asked asynchronously: retries, schema support, circuit breaker.

The `openai` client retries what may pass (connection, time-out, 408, 409, 429, 5xx; back-off, `Retry-After` honoured);
answers without a usable choice are retried here. Whether a reply fits its type is decided in `session.py`.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import orjson
from pydantic import ValidationError

from astra_gym.errors import MissingExtraError, ModelError
from astra_gym.llm.cache import Completion
from astra_gym.llm.errors import DeadEndpointError, EndpointError, RequestError
from astra_gym.llm.settings import Endpoint, LlmSettings
from astra_gym.llm.structured import reply_schema
from astra_gym.models.endpoint_errors import cut, describe
from astra_gym.records import JSON, Record
from astra_gym.types import Message

if TYPE_CHECKING:
    from openai import AsyncOpenAI

_LONGEST_WAIT_S = 120.0
"""What the `openai` client waits at most between two attempts."""
_OF_THE_REQUEST = frozenset({400, 413, 422})
"""Statuses that blame the request, not the endpoint."""
_CHARS_PER_TOKEN = 4
"""Of an endpoint that does not count tokens."""


class EndpointClient:
    """Asks one endpoint. Lives in one event loop."""

    def __init__(self, endpoint: Endpoint, settings: LlmSettings) -> None:
        """Raises: MissingExtraError; ModelError when a key is needed and there is none."""
        try:
            import openai
        except ImportError as error:
            raise MissingExtraError("asking a model needs the openai client: pip install 'astra-gym[synth]'") from error
        self.endpoint = endpoint
        self.url = endpoint.base_url or os.environ.get("OPENAI_BASE_URL") or "https://api.openai.com/v1"
        key = os.environ.get(endpoint.api_key_env)
        if not key and self.url.startswith("https://api.openai.com"):
            raise ModelError(
                f"no API key: set {endpoint.api_key_env}, or give --base-url for an endpoint that needs none"
            )
        self._settings = settings
        self._client: AsyncOpenAI = openai.AsyncOpenAI(
            base_url=self.url, api_key=key or "none", timeout=settings.timeout_s, max_retries=settings.retries
        )
        self._answered = False
        self._left_unanswered: set[str] = set()
        self._last_failure = ""
        self._takes_schemas: bool | None = {"on": True, "off": False, "auto": None}[endpoint.json_schema]
        self._refused_schemas: set[type[Record]] = set()

    @property
    def dead(self) -> bool:
        """Whether it left so many items in a row without an answer that it is not asked again."""
        return len(self._left_unanswered) >= self._settings.down_after

    async def complete(self, messages: Sequence[Message], reply: type[Record], seed: int, item_id: str) -> Completion:
        """One whole reply.

        Args:
            item_id: whose request it is: requests of one item that fail together are one failure, not many.

        Raises: RequestError, EndpointError, DeadEndpointError.
        """
        if self.dead:
            raise self._dead()
        try:
            async with asyncio.timeout(self._deadline_s()):
                completion = await self._ask(messages, reply, seed)
        except RequestError as error:
            if self._answered:
                self._left_unanswered.clear()
                raise RequestError(f"{self.endpoint.model}: {error}") from None
            # An endpoint that has never answered is not believed about a single request: it may refuse them all.
            raise self._failed(item_id, str(error)) from error
        except TimeoutError:
            raise self._failed(item_id, f"no whole answer within {self._deadline_s():g} s, retries included") from None
        except EndpointError as error:
            raise self._failed(item_id, str(error)) from error
        self._left_unanswered.clear()
        self._answered = True
        return completion

    async def close(self) -> None:
        await self._client.close()

    def _deadline_s(self) -> float:
        """For a server that sends a byte now and then, which no time limit of one wait ends."""
        return (self._settings.retries + 1) * (self._settings.timeout_s + _LONGEST_WAIT_S)

    def _failed(self, item_id: str, what: str) -> EndpointError:
        self._left_unanswered.add(item_id)
        self._last_failure = what
        return self._dead() if self.dead else EndpointError(f"{self._name}: {what}")

    def _dead(self) -> DeadEndpointError:
        left = f"it left {len(self._left_unanswered)} items in a row without an answer"
        return DeadEndpointError(f"{self._name}: the endpoint is down: {left}; the last: {self._last_failure}")

    @property
    def _name(self) -> str:
        return f"{self.endpoint.model} at {self.url}"

    async def _ask(self, messages: Sequence[Message], reply: type[Record], seed: int) -> Completion:
        """With the reply's schema where the endpoint takes it; without, where it turns out that it does not."""
        if self._takes_schemas is False or reply in self._refused_schemas:
            return await self._usable(self._request(messages, None, seed))
        try:
            completion = await self._usable(self._request(messages, reply, seed))
        except RequestError:
            if self.endpoint.json_schema == "on":
                raise
            completion = await self._usable(self._request(messages, None, seed))
            if self._takes_schemas:
                self._refused_schemas.add(reply)
            else:
                self._takes_schemas = False
            return completion
        self._takes_schemas = True
        return completion

    def _request(self, messages: Sequence[Message], reply: type[Record] | None, seed: int) -> dict[str, Any]:
        endpoint = self.endpoint
        sampling = {"temperature": endpoint.temperature, "top_p": endpoint.top_p, "max_tokens": endpoint.max_tokens}
        request: dict[str, Any] = {"model": endpoint.model, "messages": list(messages)}
        request |= {key: value for key, value in sampling.items() if value is not None}
        if endpoint.send_seed:
            request["seed"] = seed
        if reply is not None:
            schema = {"name": reply.__name__, "schema": reply_schema(reply)}
            request["response_format"] = {"type": "json_schema", "json_schema": schema}
        if endpoint.extra_body:
            request["extra_body"] = endpoint.extra_body
        return request

    async def _usable(self, request: dict[str, Any]) -> Completion:
        """An answer with a choice; one without is asked for again as often as other failures."""
        wait_s = self._settings.first_wait_s
        for left in reversed(range(self._settings.retries + 1)):
            try:
                return self._read(await self._send(request), request["messages"])
            except _UnusableAnswer:
                if not left:
                    raise
            await asyncio.sleep(wait_s)
            wait_s *= 2
        raise AssertionError("the last attempt ends with a value or an exception")

    async def _send(self, request: dict[str, Any]) -> bytes:
        import openai

        try:
            raw = await self._client.chat.completions.with_raw_response.create(**request)
        except openai.APIStatusError as error:
            kind = RequestError if error.status_code in _OF_THE_REQUEST else EndpointError
            raise kind(describe(error, self.endpoint.model, self._settings.timeout_s)) from None
        except openai.APIError as error:
            raise EndpointError(describe(error, self.endpoint.model, self._settings.timeout_s)) from None
        return bytes(raw.http_response.content)

    def _read(self, content: bytes, messages: Sequence[Message]) -> Completion:
        try:
            body = orjson.loads(content)
        except orjson.JSONDecodeError:
            raise _UnusableAnswer(f"the reply is not JSON but {cut(content)}; does base_url end in /v1?") from None
        choices = body.get("choices") if isinstance(body, dict) else None
        if not isinstance(choices, list) or not choices:
            raise _UnusableAnswer(f"the reply has no choices: {cut(content)}")
        choice = choices[0]
        message = choice.get("message") if isinstance(choice, dict) else None
        if not isinstance(message, dict):
            raise _UnusableAnswer(f"the first choice has no message: {cut(content)}")
        try:
            said = Completion(
                content=message.get("content") or "",
                finish_reason=choice.get("finish_reason"),
                refusal=message.get("refusal") or None,
            )
        except ValidationError:
            raise _UnusableAnswer(f"the first choice holds no text: {cut(content)}") from None
        return said.model_copy(update=_tokens(body.get("usage"), messages, said.content))


class _UnusableAnswer(EndpointError):
    """The endpoint answered with something that is no chat completion."""


def _tokens(usage: JSON, messages: Sequence[Message], content: str) -> dict[str, int]:
    """As the endpoint counts them, else estimated from the characters: a budget must not be blind."""
    counts = usage if isinstance(usage, dict) else {}
    chars = {
        "prompt_tokens": sum(len(message["content"] or "") for message in messages),
        "completion_tokens": len(content),
    }
    return {key: _counted(counts.get(key)) or -(-length // _CHARS_PER_TOKEN) for key, length in chars.items()}


def _counted(count: JSON) -> int:
    """A count of tokens as an endpoint gives it; 0 for what is none."""
    return count if type(count) is int and count > 0 else 0
