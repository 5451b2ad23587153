"""Any endpoint that speaks the OpenAI chat protocol, with native tool calls.

The `openai` client does the talking, the retries (connection, timeout, 408, 409, 429, 5xx; exponential backoff, the
server's `Retry-After` honoured) and the time limits; what is left over becomes one `ModelError` that says what to do.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import orjson

from astra_gym.errors import MissingExtraError, ModelError
from astra_gym.models.endpoint_errors import cut, describe
from astra_gym.records import JSON
from astra_gym.tool_calls import from_openai
from astra_gym.types import Message, ToolEnvSpec

if TYPE_CHECKING:
    from openai import OpenAI

TOKEN_COUNTS = ("prompt_tokens", "completion_tokens", "total_tokens")


class OpenAIModel:
    """A model behind an OpenAI-compatible endpoint. Needs the extra `models`."""

    def __init__(
        self,
        model: str,
        *,
        base_url: str | None = None,
        api_key: str | None = None,
        timeout_s: float = 120.0,
        max_retries: int = 3,
        temperature: float | None = None,
        top_p: float | None = None,
        max_tokens: int | None = None,
        extra_body: dict[str, JSON] | None = None,
    ) -> None:
        """
        Args:
            model: the name the endpoint knows it by.
            base_url: up to and with `/v1`; default: OPENAI_BASE_URL, else OpenAI's own.
            api_key: default: OPENAI_API_KEY; an endpoint given by `base_url` may need none.
            timeout_s: longest wait for one attempt.
            max_retries: further attempts after the first.
            temperature, top_p, max_tokens: sampling settings; None leaves them to the endpoint.
            extra_body: further fields of the request, for example `{"seed": 1}`.

        Raises: MissingExtraError; ModelError when there is no key for OpenAI's own endpoint.
        """
        try:
            import openai
        except ImportError as error:
            raise MissingExtraError("openai:NAME needs the client: pip install 'astra-gym[models]'") from error
        base_url = base_url or os.environ.get("OPENAI_BASE_URL") or None
        key = api_key or os.environ.get("OPENAI_API_KEY") or ("none" if base_url else None)
        if key is None:
            raise ModelError("no API key: set OPENAI_API_KEY, or give base_url for an endpoint that needs none")
        self.name = f"openai:{model}"
        self.usage: dict[str, int] = {}
        """Requests and tokens of the episode so far, as the endpoint counts them."""
        self._model = model
        self._timeout_s = timeout_s
        self._settings = {"temperature": temperature, "top_p": top_p, "max_tokens": max_tokens}
        self._extra_body = extra_body
        self._client: OpenAI = openai.OpenAI(base_url=base_url, api_key=key, timeout=timeout_s, max_retries=max_retries)
        self._owns_client = True

    def another(self) -> OpenAIModel:
        """A model of the same settings for an episode at the same time; both use the connections of this one."""
        model = copy.copy(self)
        model.usage = {}
        model._owns_client = False
        return model

    def begin_episode(self, spec: ToolEnvSpec, seed: int) -> None:  # noqa: ARG002
        self.usage = {}

    def reply(self, messages: Sequence[Message], tools: Sequence[dict[str, Any]]) -> str:
        request: dict[str, Any] = {"model": self._model, "messages": list(messages)}
        request |= {key: value for key, value in self._settings.items() if value is not None}
        if tools:
            request["tools"] = list(tools)
        body = self._read(self._send(request))
        self._count(body.get("usage"))
        choice = body["choices"][0]
        message = choice["message"]
        text = from_openai(message)
        if not text and isinstance(message.get("refusal"), str):
            return str(message["refusal"])
        if not text and choice.get("finish_reason") == "length":
            raise self._error("the reply was cut off before it said anything; raise max_tokens")
        return text

    def close(self) -> None:
        """Close the connections; those of the model that `another` was asked of stay open."""
        if self._owns_client:
            self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _send(self, request: dict[str, Any]) -> bytes:
        import openai

        try:
            raw = self._client.chat.completions.with_raw_response.create(**request, extra_body=self._extra_body)
        except openai.APIError as error:
            raise self._error(describe(error, self._model, self._timeout_s)) from None
        return raw.http_response.content

    def _read(self, content: bytes) -> dict[str, Any]:
        """The reply as far as it is needed: an object with at least one choice that has a message."""
        try:
            body = orjson.loads(content)
        except orjson.JSONDecodeError:
            raise self._error(f"the reply is not JSON but {cut(content)}; does base_url end in /v1?") from None
        choices = body.get("choices") if isinstance(body, dict) else None
        if not isinstance(choices, list) or not choices:
            raise self._error(f"the reply has no choices: {cut(content)}")
        if not isinstance(choices[0], dict) or not isinstance(choices[0].get("message"), dict):
            raise self._error(f"the first choice has no message: {cut(content)}")
        return dict(body)

    def _count(self, usage: JSON) -> None:
        counts = usage if isinstance(usage, dict) else {}
        self.usage["requests"] = self.usage.get("requests", 0) + 1
        for key in TOKEN_COUNTS:
            if isinstance(counts.get(key), int):
                self.usage[key] = self.usage.get(key, 0) + counts[key]

    def _error(self, what: str) -> ModelError:
        return ModelError(f"{self.name} at {self._client.base_url}: {what}")
