"""Attention over sequences of different lengths laid end to end: no padding, no masks, each with its own cache.

A step of the engine is one forward pass of shape (1, tokens): the prompts that begin and the next token of everything
that runs, one after the other. Transformers calls the function registered here for each layer (its attention interface,
the way its own paged attention comes in); it stores new keys and values with their sequences and attends within each.
Without a `packed` batch it is transformers' own `sdpa` attention, masks included.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from astra_train.generation.decoding import DecodingRows, Segment
from astra_train.generation.errors import UnsupportedModelError
from astra_train.generation.shelves import Shelf

PACKED_ATTENTION = "astra_packed"
"""The name under which transformers knows it."""


class PackedBatch:
    """The segments of one forward pass, in order; those of one token (decoding) come first."""

    def __init__(self, segments: Sequence[Segment], device: torch.device) -> None:
        self._prefilling = [s for s in segments if s.length > 1]
        by_shelf: dict[Shelf, list[int]] = {}
        for at, segment in enumerate(segments[: len(segments) - len(self._prefilling)]):
            by_shelf.setdefault(segment.cache.shelf, []).append(at)
        self._decoding = [DecodingRows(shelf, at, [segments[i] for i in at], device) for shelf, at in by_shelf.items()]
        self._first = len(segments) - len(self._prefilling)

    def attend(
        self, layer: int, query: Tensor, key: Tensor, value: Tensor, scale: float | None, window: int | None
    ) -> Tensor:
        """Store `key` and `value`, and attend.

        Args:
            query: shape (heads, tokens, head size).
            key, value: shape (key heads, tokens, head size); heads is a multiple of key heads.
            window: a token sees itself and so many tokens less one before it; None: all.

        Returns: shape (tokens, heads, head size of the values).
        """
        scale = query.shape[-1] ** -0.5 if scale is None else scale
        output = query.new_empty(query.shape[1], query.shape[0], value.shape[-1])
        first = self._first
        if first:
            queries, keys, values = (tensor[:, :first].transpose(0, 1) for tensor in (query, key, value))
            for rows in self._decoding:
                new = (queries[rows.at], keys[rows.at], values[rows.at])
                output[rows.at] = rows.attend(layer, *new, scale=scale, window=window)
        for segment in self._prefilling:
            end = first + segment.length
            keys, values = segment.cache.put(layer, segment.past, key[:, first:end], value[:, first:end])
            part = _prefill(query[:, first:end], keys, values, segment.past, scale, window)
            output[first:end] = part.transpose(0, 1)
            first = end
        return output


def _prefill(query: Tensor, keys: Tensor, values: Tensor, past: int, scale: float | None, window: int | None) -> Tensor:
    """Causal attention of the last tokens of one sequence; shape (heads, tokens, head size)."""
    key_heads, total, _ = keys.shape
    heads, tokens, _ = query.shape
    groups = heads // key_heads
    mask = None
    if past or (window is not None and total > window):
        mask = torch.ones(tokens, total, dtype=torch.bool, device=query.device).tril_(past)
        if window is not None:
            mask = mask.triu_(past - window + 1)
    answer = scaled_dot_product_attention(
        query.reshape(key_heads, groups, tokens, -1),
        keys.unsqueeze(1).expand(-1, groups, -1, -1),
        values.unsqueeze(1).expand(-1, groups, -1, -1),
        attn_mask=mask,
        is_causal=mask is None,
        scale=scale,
    )
    return answer.flatten(0, 1)


def packed_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    packed: PackedBatch | None = None,
    scaling: float | None = None,
    sliding_window: int | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """What transformers calls in each layer: shapes (1, heads, tokens, size) in, (1, tokens, heads, size) out.

    Raises: UnsupportedModelError for attention with sinks or capped scores.
    """
    if packed is None:
        more = {"scaling": scaling, "sliding_window": sliding_window, **kwargs}
        output, _ = sdpa_attention_forward(module, query, key, value, attention_mask, **more)
        return output, None
    if odd := [name for name in ("softcap", "s_aux") if kwargs.get(name) is not None]:
        raise UnsupportedModelError(f"{type(module).__name__} needs {odd[0]} in its attention, which is not supported")
    layer = module.layer_idx
    if not isinstance(layer, int):
        raise UnsupportedModelError(f"{type(module).__name__} has no layer_idx, so its cache cannot be told apart")
    return packed.attend(layer, query[0], key[0], value[0], scaling, sliding_window).unsqueeze(0), None


AttentionInterface.register(PACKED_ATTENTION, packed_attention)
AttentionMaskInterface.register(PACKED_ATTENTION, sdpa_mask)
