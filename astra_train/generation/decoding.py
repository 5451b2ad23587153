"""One new token for each of many sequences: the attention of those that share a shelf, computed together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from astra_train.generation.sequence_cache import SequenceCache
from astra_train.generation.shelves import Shelf, padding_mask

WORTH_PADDING = 0.5
"""Share of what is read that must belong to the sequences; below it they are attended one by one."""


@dataclass(frozen=True, slots=True)
class Segment:
    """The new tokens of one sequence: `length` of them, after `past` that its cache already holds."""

    cache: SequenceCache
    past: int
    length: int


class DecodingRows:
    """Rows of one shelf that get a token each. Made once a step, used in every layer."""

    def __init__(self, shelf: Shelf, at: Sequence[int], segments: Sequence[Segment], device: torch.device) -> None:
        """
        Args:
            at: where the segments stand in the packed batch.
        """
        pairs = sorted(zip((s.cache.row for s in segments), at, (s.past + 1 for s in segments), strict=True))
        self.at = torch.tensor([at for _, at, _ in pairs], device=device)
        """Where the segments stand, in the order of their rows."""
        self._shelf = shelf
        self._rows = [row for row, _, _ in pairs]
        self._lengths = [length for _, _, length in pairs]
        self._first, self._end = self._rows[0], self._rows[-1] + 1
        self._longest = max(self._lengths)
        read = (self._end - self._first) * self._longest
        self._together = len(pairs) > 1 and sum(self._lengths) >= WORTH_PADDING * read
        self._row_index = torch.tensor(self._rows, device=device)
        self._position_index = torch.tensor(self._lengths, device=device) - 1
        self._masks: dict[int | None, Tensor] = {}

    def attend(
        self, layer: int, query: Tensor, key: Tensor, value: Tensor, *, scale: float, window: int | None
    ) -> Tensor:
        """Store the new keys and values, and attend; shapes (rows, heads, size), heads a multiple of key heads."""
        keys, values = self._shelf.layer(layer, key[0], value[0])
        keys[self._row_index, :, self._position_index] = key
        values[self._row_index, :, self._position_index] = value
        queries = (query * scale).reshape(len(self._rows), key.shape[1], -1, query.shape[-1])
        attend = self._side_by_side if self._together else self._one_by_one
        return attend(queries, keys, values, window).reshape(len(self._rows), -1, value.shape[-1])

    def _side_by_side(self, queries: Tensor, keys: Tensor, values: Tensor, window: int | None) -> Tensor:
        """All rows from the first to the last, those in between that get no token included, up to the longest."""
        count, (_, heads, groups, size) = self._end - self._first, queries.shape
        among = self._row_index - self._first
        full = queries.new_zeros(count, heads, groups, size).index_copy_(0, among, queries)
        keys, values = (tensor[self._first : self._end, :, : self._longest] for tensor in (keys, values))
        scores = torch.bmm(full.flatten(0, 1), keys.flatten(0, 1).transpose(1, 2))
        scores.view(count, heads, groups, -1).add_(self._mask(window, scores))
        answers = torch.bmm(scores.softmax(-1), values.flatten(0, 1))
        return answers.view(count, heads, groups, -1)[among]

    def _mask(self, window: int | None, like: Tensor) -> Tensor:
        mask = self._masks.get(window)
        if mask is None:
            lengths = [1] * (self._end - self._first)
            for row, length in zip(self._rows, self._lengths, strict=True):
                lengths[row - self._first] = length
            self._masks[window] = mask = padding_mask(lengths, self._longest, window, like)
        return mask

    def _one_by_one(self, queries: Tensor, keys: Tensor, values: Tensor, window: int | None) -> Tensor:
        answers = []
        for at, (row, length) in enumerate(zip(self._rows, self._lengths, strict=True)):
            first = 0 if window is None else max(0, length - window)
            scores = torch.bmm(queries[at], keys[row, :, first:length].transpose(1, 2))
            answers.append(torch.bmm(scores.softmax(-1), values[row, :, first:length]))
        return torch.stack(answers)
