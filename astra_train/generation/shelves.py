"""Where keys and values lie: shelves of sequences of about the same length, side by side in one tensor a layer.

Decoding reads all of them for each token, so it pays to read many at once: rows of one shelf are attended together, cut
at the longest. Shelves of long sequences or large models have a single row: a row is then work enough.
"""

from __future__ import annotations

from weakref import WeakSet

import torch
from torch import Tensor

ROWS = 16
"""Sequences of a shelf at most."""
SHELF_BYTES = 32 << 20
"""Of keys and values, which a shelf of several rows does not exceed."""
_SMALLEST, _GROWTH = 64, 1.25


class Shelf:
    """Keys and values of up to `rows` sequences of up to `capacity` tokens."""

    __slots__ = ("__weakref__", "_layers", "capacity", "free", "rows")

    def __init__(self, rows: int, capacity: int) -> None:
        self.rows, self.capacity = rows, capacity
        self.free = list(range(rows))[::-1]
        """Rows that no sequence has."""
        self._layers: dict[int, tuple[Tensor, Tensor]] = {}

    def layer(self, index: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """All keys and values of a layer, shape (rows, heads, capacity, size).

        Args:
            key, value: any tensors whose first and last dimension are heads and size, for the first time.
        """
        pair = self._layers.get(index)
        if pair is None:  # zeros: what a row has not written yet is read, at weight zero, beside a longer one
            keys, values = (
                new.new_zeros(self.rows, new.shape[0], self.capacity, new.shape[-1]) for new in (key, value)
            )
            self._layers[index] = pair = (keys, values)
        return pair

    @property
    def bytes_per_token(self) -> int:
        """Of one sequence's keys and values in all layers; 0 before anything was stored."""
        tensors = (tensor for pair in self._layers.values() for tensor in pair)
        return sum(tensor.shape[1] * tensor.shape[3] * tensor.element_size() for tensor in tensors)

    def copy_row(self, row: int, source: Shelf, source_row: int, tokens: int) -> None:
        """Take over the first `tokens` of a row, of another shelf or this one."""
        for index, (keys, values) in source._layers.items():
            new_keys, new_values = self.layer(index, keys[0], values[0])
            new_keys[row, :, :tokens] = keys[source_row, :, :tokens]
            new_values[row, :, :tokens] = values[source_row, :, :tokens]


class Shelves:
    """All shelves in use; one that has lost its last sequence is gone."""

    def __init__(self) -> None:
        self.bytes_per_token = 0
        """Of one sequence in all layers; 0 until it is known: shelves then have one row."""
        self._shelves: WeakSet[Shelf] = WeakSet()

    @property
    def bytes(self) -> int:
        """Held by all shelves, rows in use or not."""
        return self.bytes_per_token * sum(shelf.rows * shelf.capacity for shelf in self._shelves)

    def row(self, tokens: int) -> tuple[Shelf, int]:
        """A free row with room for so many tokens; it is the caller's until he puts it back into `shelf.free`."""
        capacity = rounded_up(tokens)
        fitting = [shelf for shelf in self._shelves if shelf.capacity == capacity and shelf.free]
        if fitting:
            shelf = min(fitting, key=lambda candidate: len(candidate.free))
        else:
            shelf = Shelf(self._rows(capacity), capacity)
            self._shelves.add(shelf)
        return shelf, shelf.free.pop()

    def _rows(self, capacity: int) -> int:
        row_bytes = capacity * self.bytes_per_token
        return max(1, min(ROWS, SHELF_BYTES // row_bytes)) if row_bytes else 1


def rounded_up(tokens: int) -> int:
    """The capacity of the shelves for so many tokens: a few sizes, each a quarter larger than the last."""
    capacity = _SMALLEST
    while capacity < tokens:
        capacity = int(capacity * _GROWTH) // 8 * 8
    return capacity


def padding_mask(lengths: list[int], longest: int, window: int | None, like: Tensor) -> Tensor:
    """What is added to attention scores, shape (rows, 1, 1, longest): 0 for a row's tokens, -inf behind them.

    Args:
        window: only so many tokens at the end of each row count; None: all.
    """
    positions, ends = torch.arange(longest, device=like.device), torch.tensor(lengths, device=like.device).unsqueeze(1)
    there = positions < ends
    if window is not None:
        there &= positions >= ends - window
    mask = torch.zeros(there.shape, dtype=like.dtype, device=like.device).masked_fill_(~there, float("-inf"))
    return mask[:, None, None, :]
