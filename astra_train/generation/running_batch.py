"""The requests that run, and one step of them: which tokens are computed, which are drawn, who comes and goes."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from astra_train.generation.decoding import Segment
from astra_train.generation.packed_model import PackedModel
from astra_train.generation.requests import Request, fail
from astra_train.generation.sampling import sample
from astra_train.generation.sequence_cache import WORTH_COPYING, CachePool, SequenceCache, common_prefix

STEP_TOKENS = 2048
"""Prompt tokens computed in one step at most; longer prompts take several."""
ANSWER_TOKENS = 128
"""Room for an answer that a sequence gets at first; it grows when the answer does."""


@dataclass(slots=True)
class GenerationStats:
    """What has been done so far."""

    requests: int = 0
    prompt_tokens: int = 0
    reused_tokens: int = 0
    """Of the prompt tokens, those that were known already."""
    new_tokens: int = 0
    steps: int = 0


class RunningBatch:
    """Used by one thread only."""

    def __init__(self, model: PackedModel, *, max_batch: int, cache_bytes: int, reuse: bool) -> None:
        self.model = model
        self.stats = GenerationStats()
        self.policy_version = 0
        self._max_batch, self._cache_bytes, self._reuse = max_batch, cache_bytes, reuse
        self._pool = CachePool(cache_bytes, model.bytes_per_token)
        self._running: list[Request] = []

    def __len__(self) -> int:
        return len(self._running)

    def forget(self) -> None:
        """Drop all keys and values that no request is using: the weights are about to change."""
        self._pool = CachePool(self._cache_bytes, self.model.bytes_per_token)

    def admit(self, waiting: deque[Request]) -> None:
        """Let waiting requests run, as far as batch, memory and the next step's tokens allow.

        One whose prompt shares more with a prompt being computed than with anything known waits until that is done.
        """
        left: list[Request] = []
        tokens = STEP_TOKENS - sum(len(r.pending) for r in self._running)
        used = sum(r.most_tokens for r in self._running)
        while waiting and tokens > 0 and len(self._running) < self._max_batch:
            request = waiting.popleft()
            if request.future.cancelled():
                continue
            if not self._pool.has_room(used, request.most_tokens):
                left.append(request)
                break
            if not self._start(request):
                left.append(request)
                continue
            used += request.most_tokens
            tokens -= len(request.pending)
        waiting.extendleft(reversed(left))
        self._pool.shrink()

    def _start(self, request: Request) -> bool:
        in_use = [r.cache for r in self._running if r.cache is not None] if self._reuse else []
        match = self._pool.longest(request.key, request.prompt, in_use)
        computing = [r for r in self._running if len(r.pending) > 1] if self._reuse else []
        if any(common_prefix(r.prompt, request.prompt) >= match.held + WORTH_COPYING for r in computing):
            return False
        room = len(request.prompt) + min(request.max_tokens, ANSWER_TOKENS)
        request.cache = self._pool.claim(request.key, match, room)
        request.pending = request.prompt[match.held :]
        self._running.append(request)
        self.stats.requests += 1
        self.stats.prompt_tokens += len(request.prompt)
        self.stats.reused_tokens += match.held
        return True

    def step(self) -> None:
        """Compute a token of each request that is writing and as much of the prompts as fits, and draw."""
        self._running = [r for r in self._running if not r.future.cancelled()]
        parts = self._parts()
        if not parts:
            return
        drawing = [segment.length == len(request.pending) for request, segment in parts]
        ids = [request.pending[: segment.length] for request, segment in parts]
        logits = self.model.logits([segment for _, segment in parts], ids, keep=drawing)
        for request, segment in parts:
            request.pending = request.pending[segment.length :]
        self._draw([request for (request, _), last in zip(parts, drawing, strict=True) if last], logits)
        self.stats.steps += 1

    def _parts(self) -> list[tuple[Request, Segment]]:
        """What the next forward pass computes, single tokens first."""
        one: list[tuple[Request, Segment]] = []
        several: list[tuple[Request, Segment]] = []
        left = STEP_TOKENS
        for request in self._running:
            cache: SequenceCache | None = request.cache
            length = min(len(request.pending), left) if len(request.pending) > 1 else 1
            if cache is None or not length:
                continue
            past = cache.length
            cache.reserve(past + length)
            (one if length == 1 else several).append((request, Segment(cache, past, length)))
            left -= length if len(request.pending) > 1 else 0
        return [*one, *several]

    def _draw(self, requests: Sequence[Request], logits: Tensor) -> None:
        """Draw the next token of each and let go of those that are done."""
        uniforms = [request.uniforms.random() for request in requests]
        tokens, log_probs = sample(logits, [request.sampling for request in requests], uniforms)
        for request, token, log_prob in zip(requests, tokens, log_probs, strict=True):
            if reason := request.add(token, log_prob):
                self._running.remove(request)
                if self._reuse and request.cache is not None:
                    self._pool.park(request.key, request.cache)
                request.answer(reason, self.policy_version)
        self.stats.new_tokens += len(tokens)

    def fail(self, error: Exception) -> None:
        """End all that runs with an error, and keep nothing that it has computed."""
        failed, self._running = self._running, []
        for request in failed:
            request.cache = None
            fail(request.future, error)
        self.forget()
