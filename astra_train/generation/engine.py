"""Text generation for many episodes at once, exact enough to train on.

One thread runs the model step by step. A step is a single forward pass without padding: the next token of every running
request and as much of the waiting prompts as fits. Requests join and leave between steps; weights change when nothing
runs. What a prompt shares with earlier sequences is not computed again (`sequence_cache.py`).
"""

from __future__ import annotations

import random
import threading
from collections import deque
from collections.abc import Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from astra_train.generation.errors import GenerationError, PromptTooLongError, RequestError
from astra_train.generation.packed_model import PackedModel
from astra_train.generation.requests import Request, fail
from astra_train.generation.running_batch import GenerationStats, RunningBatch
from astra_train.generation.sampling import Generated, Sampling
from astra_train.generation.weights import load_weights


@dataclass(slots=True, eq=False)
class _Update:
    tensors: list[tuple[str, Tensor]]
    policy_version: int
    future: Future[None] = field(default_factory=Future)


class GenerationEngine:
    """Answers requests from any thread; the model belongs to it until `close`."""

    def __init__(
        self,
        model: Any,
        *,
        max_model_len: int,
        max_batch: int = 64,
        threads: int | None = None,
        cache_bytes: int = 2 << 30,
        reuse: bool = True,
        seed: int | None = None,
    ) -> None:
        """
        Args:
            model: a `transformers` causal language model, on the device where it is to run.
            max_model_len: tokens of a prompt and its answer together.
            max_batch: requests running at once; further ones wait.
            threads: of torch, for this engine's thread; None: torch's own choice.
            cache_bytes: most memory for keys and values, those kept for reuse included. A single request may take more.
            reuse: keep keys and values after a request, for prompts that begin alike.
            seed: of the requests that bring none, in the order of their submission; None: different ones each time.

        Raises: UnsupportedModelError; ValueError for limits that cannot be.
        """
        known = getattr(model.config.get_text_config(), "max_position_embeddings", None)
        if max_model_len < 2 or (known is not None and max_model_len > known):
            raise ValueError(
                f"max_model_len must be from 2 to the model's {known or 'own'} positions, found {max_model_len}"
            )
        if max_batch < 1:
            raise ValueError(f"max_batch must be at least 1, found {max_batch}")
        self.max_model_len = max_model_len
        self._vocabulary = model.get_input_embeddings().num_embeddings
        self._threads = threads
        self._batch = RunningBatch(PackedModel(model), max_batch=max_batch, cache_bytes=cache_bytes, reuse=reuse)
        self._seeds = random.Random(seed)
        self._waiting: deque[Request] = deque()
        self._updates: deque[_Update] = deque()
        self._closed = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._work, name="generation", daemon=True)
        self._thread.start()

    @property
    def policy_version(self) -> int:
        """Of the weights that answer now; 0 until the first update."""
        return self._batch.policy_version

    @property
    def stats(self) -> GenerationStats:
        """What it has done so far, a copy."""
        return replace(self._batch.stats)

    def submit(self, prompt_ids: Sequence[int], sampling: Sampling, request_id: str | None = None) -> Future[Generated]:
        """Ask for the continuation of a prompt.

        Args:
            request_id: names the episode, so that its next turn finds what this one has computed.

        Returns: a future; cancelling it takes the request out of the batch.
        Raises: PromptTooLongError when the prompt leaves no room below `max_model_len`; RequestError for an empty
            prompt or token ids that the model has not; GenerationError after `close`.
        """
        prompt = np.asarray(prompt_ids, dtype=np.int64)
        if prompt.ndim != 1 or not len(prompt):
            raise RequestError("the prompt has no tokens")
        if len(prompt) >= self.max_model_len:
            raise PromptTooLongError(
                f"the prompt has {len(prompt)} tokens and its answer needs one; max_model_len is {self.max_model_len}"
            )
        if prompt.min() < 0 or prompt.max() >= self._vocabulary:
            raise RequestError(
                f"token ids must be from 0 to {self._vocabulary - 1}, found {prompt.min()} to {prompt.max()}; "
                "is it this model's tokenizer?"
            )
        room = min(sampling.max_tokens, self.max_model_len - len(prompt))
        with self._changed:
            self._check_open()
            seed = self._seeds.getrandbits(64) if sampling.seed is None else sampling.seed
            key = request_id if request_id is not None else object()
            request = Request(prompt, sampling, key, room, random.Random(seed))
            self._waiting.append(request)
            self._changed.notify_all()
        return request.future

    def update_weights(self, named_tensors: Iterable[tuple[str, Tensor]], policy_version: int) -> None:
        """Put new weights in place; waits until the running requests are done, waiting ones get the new weights.

        Args:
            named_tensors: every parameter, by the names of the model's `state_dict`; a tied one under either name.

        Raises: WeightsError when they do not fit: the old weights stay. GenerationError after `close`.
        """
        update = _Update(list(named_tensors), policy_version)
        with self._changed:
            self._check_open()
            self._updates.append(update)
            self._changed.notify_all()
        update.future.result()

    def close(self) -> None:
        """Stop; whatever has not been answered ends with a GenerationError."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        if self._thread is not threading.current_thread():
            self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _check_open(self) -> None:
        if self._closed:
            raise GenerationError("the generation engine is closed")

    # What follows runs in the engine's thread.

    def _work(self) -> None:
        if self._threads is not None:
            torch.set_num_threads(self._threads)
        with torch.inference_mode():
            while self._next_work():
                if len(self._batch):
                    self._step()
                elif self._updates:
                    self._update(self._updates.popleft())
        closed = GenerationError("the generation engine was closed before it answered")
        self._batch.fail(closed)
        for request in self._waiting:
            fail(request.future, closed)
        for update in self._updates:
            fail(update.future, closed)

    def _next_work(self) -> bool:
        """Wait for work and let requests in; False when the engine is to stop."""
        with self._changed:
            while not (self._closed or len(self._batch) or self._waiting or self._updates):
                self._changed.wait()
            if self._closed:
                return False
            if not self._updates:
                self._batch.admit(self._waiting)
            return True

    def _step(self) -> None:
        """One step. Whatever the model raises ends the requests that are running, not the engine."""
        try:
            self._batch.step()
        except GenerationError as error:
            self._batch.fail(error)
        except Exception as error:  # noqa: BLE001 - out of memory, a broken kernel: those who wait must hear of it
            wrapped = GenerationError(f"the model failed: {type(error).__name__}: {error}")
            wrapped.__cause__ = error
            self._batch.fail(wrapped)

    def _update(self, update: _Update) -> None:
        self._batch.forget()
        try:
            load_weights(self._batch.model.model, update.tensors)
        except Exception as error:  # noqa: BLE001 - handed to the caller of update_weights
            update.future.set_exception(error)
        else:
            self._batch.policy_version = update.policy_version
            update.future.set_result(None)
