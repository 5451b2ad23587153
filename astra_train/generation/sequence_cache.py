"""Keys and values of one sequence, and the pool that keeps them between requests.

A prompt that begins like something in the pool is computed only from where it differs: the next turn of an episode
takes over what the last one left, the rollouts of one group share their question, all prompts share a system message.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Iterable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from torch import Tensor

from astra_train.generation.shelves import Shelves

Tokens = npt.NDArray[np.int64]
WORTH_COPYING = 32
"""Tokens in common from which on copying keys and values is cheaper than computing them."""


class SequenceCache:
    """Keys and values of the first `length` tokens of one sequence: a row of a shelf, its own until nobody holds it."""

    __slots__ = ("_shelves", "_tokens", "length", "row", "shelf")

    def __init__(self, shelves: Shelves, tokens: int) -> None:
        self.length = 0
        """Tokens whose keys and values are known; what was stored beyond is not yet certain to stay."""
        self._shelves = shelves
        self.shelf, self.row = shelves.row(tokens)
        self._tokens: Tokens = np.empty(self.shelf.capacity, dtype=np.int64)

    def __del__(self) -> None:
        if hasattr(self, "row"):
            self.shelf.free.append(self.row)

    @property
    def tokens(self) -> Tokens:
        """The first `length` tokens."""
        return self._tokens[: self.length]

    def put(self, layer: int, past: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Store new ones, shape (heads, new tokens, size), after `past`; returns all, shape (heads, tokens, size)."""
        end = past + key.shape[1]
        keys, values = self.shelf.layer(layer, key, value)
        keys[self.row, :, past:end] = key
        values[self.row, :, past:end] = value
        return keys[self.row, :, :end], values[self.row, :, :end]

    def advance(self, tokens: Tokens) -> None:
        """The keys and values of these tokens have been stored in every layer."""
        end = self.length + len(tokens)
        self._tokens[self.length : end] = tokens
        self.length = end

    def reserve(self, tokens: int) -> None:
        """Make room for so many tokens in all."""
        if tokens > self.shelf.capacity:
            old, old_row = self.shelf, self.row
            self.shelf, self.row = self._shelves.row(tokens)
            self._tokens = np.resize(self._tokens, self.shelf.capacity)
            self.shelf.copy_row(self.row, old, old_row, self.length)
            old.free.append(old_row)

    def fork(self, length: int, tokens: int) -> SequenceCache:
        """A new sequence that begins with the first `length` tokens of this one and has room for `tokens`."""
        twin = SequenceCache(self._shelves, max(length, tokens))
        twin.advance(self._tokens[:length])
        twin.shelf.copy_row(twin.row, self.shelf, self.row, length)
        return twin


class Match(NamedTuple):
    """A known sequence that begins like a prompt."""

    cache: SequenceCache | None
    held: int
    """Tokens in common, always fewer than the prompt has: the last one must be computed to continue it."""


class CachePool:
    """Sequences that no request is using, the least recently used dropped first."""

    def __init__(self, max_bytes: int, bytes_per_token: int) -> None:
        """
        Args:
            max_bytes: of keys and values, those in use included.
            bytes_per_token: of one sequence's keys and values in all layers.
        """
        self.shelves = Shelves()
        self.shelves.bytes_per_token = bytes_per_token
        self._max_bytes = max_bytes
        self._idle: OrderedDict[Hashable, SequenceCache] = OrderedDict()

    def __len__(self) -> int:
        return len(self._idle)

    def has_room(self, used_tokens: int, more_tokens: int) -> bool:
        """Whether a request of `more_tokens` may start beside those that may come to use `used_tokens`."""
        return used_tokens == 0 or (used_tokens + more_tokens) * self.shelves.bytes_per_token <= self._max_bytes

    def longest(self, key: Hashable, prompt: Tokens, in_use: Iterable[SequenceCache]) -> Match:
        """Where most of the prompt is known already; the sequence parked under `key` unless copying pays."""
        own = self._idle.get(key)
        held = common_prefix(own.tokens, prompt) if own is not None else 0
        best = own
        if own is None or held < own.length - 1:
            for other in (*self._idle.values(), *in_use):
                shared = common_prefix(other.tokens, prompt)
                if shared >= held + WORTH_COPYING:
                    best, held = other, shared
        return Match(best, min(held, len(prompt) - 1))

    def claim(self, key: Hashable, match: Match, capacity: int) -> SequenceCache:
        """A sequence for one request, holding the matched tokens; what was parked under `key` leaves the pool."""
        own = self._idle.pop(key, None)
        if match.cache is None or match.held == 0:
            return SequenceCache(self.shelves, capacity)
        if match.cache is not own:
            return match.cache.fork(match.held, capacity)
        own.length = match.held
        own.reserve(capacity)
        return own

    def park(self, key: Hashable, cache: SequenceCache) -> None:
        """Keep a sequence for later."""
        self._idle[key] = cache
        self._idle.move_to_end(key)
        self.shrink()

    def shrink(self) -> None:
        """Drop sequences until the limit holds."""
        while self._idle and self.shelves.bytes > self._max_bytes:
            self._idle.popitem(last=False)

    def clear(self) -> None:
        self._idle.clear()


def common_prefix(a: Tokens, b: Tokens) -> int:
    """How many tokens two sequences begin with in common."""
    length = min(len(a), len(b))
    differs = a[:length] != b[:length]
    if not length or not differs.any():
        return length
    return int(differs.argmax())
