"""One request to the engine, from its submission to its answer."""

from __future__ import annotations

import random
from collections.abc import Hashable
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from astra_train.generation.sampling import Generated, Sampling
from astra_train.generation.sequence_cache import SequenceCache, Tokens


@dataclass(slots=True, eq=False)
class Request:
    """A prompt and what has been written after it so far."""

    prompt: Tokens
    sampling: Sampling
    key: Hashable
    """Under which its keys and values are kept afterwards."""
    max_tokens: int
    """As `sampling` allows, or fewer when the model's context ends before."""
    uniforms: random.Random
    """One number a token is drawn from it."""
    future: Future[Generated] = field(default_factory=Future)
    cache: SequenceCache | None = None
    """From when it runs."""
    pending: Tokens = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    """Tokens to compute before the next one can be drawn."""
    token_ids: list[int] = field(default_factory=list)
    log_probs: list[float] = field(default_factory=list)

    @property
    def most_tokens(self) -> int:
        """Tokens of the sequence when it has grown as long as it may."""
        return len(self.prompt) + self.max_tokens

    def add(self, token: int, log_prob: float) -> Literal["stop", "length"] | None:
        """One more token; returns why it is the last one, or None."""
        self.token_ids.append(token)
        self.log_probs.append(log_prob)
        self.pending = np.array([token], dtype=np.int64)
        if token in self.sampling.stop_token_ids:
            return "stop"
        return "length" if len(self.token_ids) == self.max_tokens else None

    def answer(self, reason: Literal["stop", "length"], policy_version: int) -> None:
        """Hand the answer to whoever waits for it."""
        with suppress(InvalidStateError):  # cancelled in this very moment
            self.future.set_result(Generated(self.token_ids, self.log_probs, reason, policy_version))


def fail(future: Future[Any], error: Exception) -> None:
    """Let whoever waits know."""
    with suppress(InvalidStateError):  # cancelled
        future.set_exception(error)
