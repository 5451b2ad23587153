"""The conversation of one item with the writer and the judges: typed replies, re-asks, cache, budget, provenance.

A reply that does not fit goes back with what is wrong with it, a bounded number of times, so that the assistant
messages of a request tell which attempt it is. What the stages ask, and what a fitting reply is worth, is theirs.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass

from astra_gym.llm.budget import Meter
from astra_gym.llm.cache import Completion, ReplyCache
from astra_gym.llm.client import EndpointClient
from astra_gym.llm.errors import BudgetError, EndpointError, LlmError, RefusedError, ReplyError
from astra_gym.llm.prompts import Prompt
from astra_gym.llm.settings import Endpoint, ItemBudget, LlmSettings
from astra_gym.llm.structured import Check, R, UnfitReplyError, parse_reply, reply_schema
from astra_gym.llm.usage import Usage
from astra_gym.records import JSON, Record, canonical_json, content_hash
from astra_gym.types import Message

_EXCERPT_CHARS = 300
_NO = re.compile(
    r"(i['’]m |i am )?(very |so )?sorry\b|i (can(no|['’])t|won['’]t|am unable|must decline)"
    r"|很?抱歉|对不起|我(无法|不能)",
    re.IGNORECASE,
)
"""How a model begins to decline, where it sends no JSON."""


class ReplyRecord(Record):
    """What one accepted reply came from; no clock time, the same in every run that gets the same replies."""

    stage: str
    model: str
    template: str
    """Hash of the prompt template."""
    sampling: dict[str, JSON]
    seed: int
    asks: int
    """Requests until a reply fitted."""
    request: str
    """Hash of the request that was answered, without the endpoint's address."""
    date: str
    """Day on which the run was begun."""


@dataclass(frozen=True)
class Shared:
    """What all sessions of a pool use."""

    settings: LlmSettings
    writer: EndpointClient
    judges: Sequence[EndpointClient]
    cache: ReplyCache
    places: asyncio.Semaphore
    date: str


class LlmSession:
    """One item's. Calls may run at the same time; after a `BudgetError` or `EndpointError` no more is answered."""

    def __init__(self, item_id: str, shared: Shared, budget: ItemBudget) -> None:
        self.item_id = item_id
        self._shared = shared
        self._meter = Meter(budget)
        self._records: list[ReplyRecord] = []
        self._ended: BudgetError | EndpointError | None = None

    @property
    def usage(self) -> Usage:
        return self._meter.usage

    @property
    def records(self) -> tuple[ReplyRecord, ...]:
        """One an accepted reply, in an order that does not depend on which came first."""
        unique = {canonical_json(record.to_json()): record for record in self._records}
        return tuple(unique[key] for key in sorted(unique))

    def check(self) -> None:
        """Raises: the BudgetError or EndpointError that ended this session, whoever may have caught it before."""
        if self._ended is not None:
            raise self._ended

    async def write(self, prompt: Prompt, reply: type[R], *, sample: int = 0, check: Check[R] | None = None) -> R:
        """The writer's reply to a prompt.

        Args:
            sample: another number asks for another reply to the same prompt.
            check: what must hold besides the type; its ValueError goes back to the model.

        Raises: ReplyError when none of the replies fitted; RefusedError; RequestError; EndpointError; BudgetError.
        """
        return await self._ask(self._shared.writer, prompt, reply, sample, check)

    async def judge(self, prompt: Prompt, reply: type[R], *, check: Check[R] | None = None) -> list[R | LlmError]:
        """The replies of all judges, each sampled so often as the settings say, judge by judge.

        Returns: for each the reply, or the error when it refused or never fitted: no verdict.
        Raises: EndpointError when one could not be asked, BudgetError; both end the item.
        """
        asked = [
            self._ask(judge, prompt, reply, sample, check)
            for judge in self._shared.judges
            for sample in range(self._shared.settings.judge_samples)
        ]
        replies = await asyncio.gather(*asked, return_exceptions=True)
        self.check()
        answers: list[R | LlmError] = []
        for given in replies:
            if isinstance(given, BaseException) and not isinstance(given, LlmError):
                raise given
            answers.append(given)
        return answers

    async def _ask(
        self, client: EndpointClient, prompt: Prompt, reply: type[R], sample: int, check: Check[R] | None
    ) -> R:
        messages = list(prompt.messages)
        for asks in range(1, self._shared.settings.reasks + 2):
            request = _request_hash(client.endpoint, messages, reply, sample)
            completion = await self._complete(client, messages, reply, sample, request)
            try:
                parsed = _parse(completion, reply, check, client.endpoint)
            except UnfitReplyError as error:
                last, problem = completion, str(error)
                messages += _asked_again(completion, problem)
            else:
                self._records.append(self._record(client.endpoint, prompt, sample, asks, request))
                return parsed
        raise ReplyError(
            f"{problem} (the last of {self._shared.settings.reasks + 1} replies of {client.endpoint.model} at stage "
            f"{prompt.stage!r}, none of which was usable)",
            excerpt=last.content[:_EXCERPT_CHARS],
        )

    async def _complete(
        self, client: EndpointClient, messages: Sequence[Message], reply: type[Record], sample: int, request: str
    ) -> Completion:
        """One reply, from the cache or the endpoint, paid from the budget either way."""
        self.check()
        endpoint = client.endpoint
        began = time.monotonic()
        try:
            self._meter.begin_call()
            known = self._shared.cache.get(client.url, request)
            if known is None:
                async with asyncio.timeout(self._meter.seconds_left()), self._shared.places:
                    self.check()
                    fresh = await client.complete(messages, reply, sample, self.item_id)
                completion = self._shared.cache.put(client.url, request, fresh)
            else:
                completion = known
            usd = endpoint.usd(completion.prompt_tokens, completion.completion_tokens)
            cost = Usage(
                cached_calls=int(known is not None),
                prompt_tokens=completion.prompt_tokens,
                completion_tokens=completion.completion_tokens,
                usd=usd,
                cached_usd=usd if known is not None else 0.0,
                seconds=time.monotonic() - began,
            )
            self._meter.end_call(cost)
        except TimeoutError:
            self._ended = self._ended or self._meter.out_of_time()
            raise self._ended from None
        except (BudgetError, EndpointError) as error:
            self._ended = self._ended or error
            raise
        return completion

    def _record(self, endpoint: Endpoint, prompt: Prompt, sample: int, asks: int, request: str) -> ReplyRecord:
        return ReplyRecord(
            stage=prompt.stage,
            model=endpoint.model,
            template=prompt.template_hash,
            sampling=endpoint.sampling(),
            seed=sample,
            asks=asks,
            request=request,
            date=self._shared.date,
        )


def _request_hash(endpoint: Endpoint, messages: Sequence[Message], reply: type[Record], sample: int) -> str:
    """Of all that decides the reply. The schema counts whether or not the endpoint turns out to take it."""
    return content_hash(
        [
            endpoint.model,
            endpoint.sampling(),
            endpoint.json_schema,
            endpoint.send_seed,
            sample,
            list(messages),
            reply.__name__,
            reply_schema(reply),
        ]
    )


def _parse(completion: Completion, reply: type[R], check: Check[R] | None, endpoint: Endpoint) -> R:
    """Raises: UnfitReplyError for what may be mended by asking again; RefusedError."""
    said = completion.content.strip()
    if completion.refusal or completion.finish_reason == "content_filter":
        raise RefusedError(f"{endpoint.model} refused: {(completion.refusal or 'content filter')[:_EXCERPT_CHARS]}")
    if "{" not in said and _NO.match(said):
        raise RefusedError(f"{endpoint.model} refused: {said[:_EXCERPT_CHARS]}")
    if completion.finish_reason == "length":
        raise UnfitReplyError("it was cut off at the token limit; be shorter")
    return parse_reply(completion.content, reply, check)


def _asked_again(completion: Completion, problem: str) -> tuple[Message, Message]:
    asked = (
        f"That reply cannot be used: {problem}. Reply again, in full, with exactly one JSON object and nothing else."
    )
    return {"role": "assistant", "content": completion.content or "(nothing)"}, {"role": "user", "content": asked}
