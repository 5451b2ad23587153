"""A transformers causal language model that computes packed segments, checked against itself before it is used."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from astra_train.generation.decoding import Segment
from astra_train.generation.errors import UnsupportedModelError
from astra_train.generation.packed_attention import PACKED_ATTENTION, PackedBatch
from astra_train.generation.sequence_cache import SequenceCache, Tokens
from astra_train.generation.shelves import Shelves

TOLERANCE = 1e-3
"""Of the self-check in float32, as a share of the largest logit; half types get 50 times as much."""

KNOWN_LAYERS = frozenset({"full_attention", "sliding_attention"})
"""Kinds of layers, as transformers' configurations name them; short sequences would not show the others."""


class PackedModel:
    """Logits after the last new token of each segment, in one forward pass for all of them."""

    def __init__(self, model: Any) -> None:
        """
        Args:
            model: a `transformers` causal language model. It is put into evaluation mode and its attention is set to
                `astra_packed`, which is the usual `sdpa` in all other use.

        Raises: UnsupportedModelError when it does not compute the same in segments as in a plain forward pass.
        """
        self.model = model.eval()
        self.device: torch.device = next(model.parameters()).device
        self._no_mask = torch.zeros(1, 1, 1, 1, device=self.device)
        self.bytes_per_token = self._check()

    def logits(self, segments: Sequence[Segment], ids: Sequence[Tokens], *, keep: Sequence[bool]) -> Tensor:
        """Compute segments and extend their caches.

        Args:
            segments: those of one token first.
            ids: the new tokens of each segment.
            keep: whether the logits after each segment are wanted.

        Returns: shape (segments kept, vocabulary).
        """
        flat = np.concatenate(ids)
        positions = np.concatenate([np.arange(s.past, s.past + s.length) for s in segments])
        last = np.cumsum([s.length for s in segments])[np.asarray(keep)] - 1
        output = self.model(
            input_ids=self._row(flat),
            position_ids=self._row(positions),
            attention_mask=self._no_mask,
            use_cache=False,
            logits_to_keep=torch.from_numpy(last).to(self.device),
            packed=PackedBatch(segments, self.device),
        )
        for segment, new in zip(segments, ids, strict=True):
            segment.cache.advance(new)
        logits: Tensor = output.logits[0]
        return logits

    def _row(self, values: Tokens) -> Tensor:
        return torch.from_numpy(values).to(self.device).unsqueeze(0)

    def _check(self) -> int:
        """Compare with the model's own forward pass on two short sequences; returns the bytes a token's cache takes."""
        kinds = set(getattr(self.model.config.get_text_config(), "layer_types", None) or ())
        if odd := kinds - KNOWN_LAYERS:
            raise UnsupportedModelError(f"{self._name} has layers of {', '.join(sorted(odd))}, which are not supported")
        size = self.model.config.get_text_config().vocab_size
        a, b = ((np.arange(length) * 7919 + length) % size for length in (11, 7))
        with torch.inference_mode():
            plain = [self.model(input_ids=self._row(row), use_cache=False).logits[0, -3:] for row in (a, b)]
            try:
                self.model.set_attn_implementation(PACKED_ATTENTION)
                packed, bytes_per_token = self._check_run([a, b])
            except (TypeError, AttributeError, IndexError, RuntimeError, ValueError) as error:
                raise UnsupportedModelError(f"{self._name} cannot be computed in segments: {error}") from error
        expected = torch.stack(plain).float()
        difference = float((packed.float() - expected).abs().max() / expected.abs().max().clamp_min(1e-30))
        allowed = TOLERANCE if self.model.dtype == torch.float32 else 50 * TOLERANCE
        if not difference <= allowed:
            raise UnsupportedModelError(
                f"{self._name} computes other logits in segments (they differ by {difference:.2g} of the largest, "
                f"allowed is {allowed:g}): its attention, positions or recurrent state are not supported by this engine"
            )
        return bytes_per_token

    def _check_run(self, rows: Sequence[Tokens]) -> tuple[Tensor, int]:
        """The logits of the last three tokens of each row: two prompts together, the second in two parts."""
        shelves = Shelves()
        caches = [SequenceCache(shelves, len(row)) for row in rows]

        def step(parts: Sequence[tuple[int, int, int]]) -> Tensor:
            segments = [Segment(caches[row], start, end - start) for row, start, end in parts]
            ids = [rows[row][start:end] for row, start, end in parts]
            return self.logits(segments, ids, keep=[True] * len(parts))

        n, m = len(rows[0]), len(rows[1])
        step([(1, 0, 2)])
        first = step([(0, 0, n - 2), (1, 2, m - 2)])
        second = step([(0, n - 2, n - 1), (1, m - 2, m - 1)])
        third = step([(1, m - 1, m), (0, n - 1, n)])
        return torch.stack([first, second, third.flip(0)], dim=1), caches[0].shelf.bytes_per_token

    @property
    def _name(self) -> str:
        return type(self.model).__name__
