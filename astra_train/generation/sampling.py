"""From logits to the next token, one setting a row, with the log-probability that a trainer would compute again.

The log-probability is that of the temperature-scaled distribution, before top-k and top-p: the filters decide what can
be drawn, a trainer knows nothing of them. Rows are independent: each brings its own uniform number.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from astra_train.generation.errors import GenerationError, RequestError


@dataclass(frozen=True, slots=True)
class Sampling:
    """How to continue a prompt."""

    max_tokens: int
    """At most so many new tokens; fewer when the model's context ends before."""
    stop_token_ids: tuple[int, ...]
    """Any of these ends the answer; it is the answer's last token."""
    temperature: float = 1.0
    """0: always the most likely token; its log-probability is then that at temperature 1."""
    top_p: float = 1.0
    """Draw from the most likely tokens that together have this probability."""
    top_k: int = -1
    """Draw from so many of the most likely tokens; -1 or 0: from all. Applied before `top_p`."""
    seed: int | None = None
    """The same seed draws the same tokens, whatever else is in the batch; None: the engine's. Only rounding can tip it:
    another batch changes logits in the seventh digit, which matters where a draw falls between two tokens."""

    def __post_init__(self) -> None:
        if self.max_tokens < 1:
            raise RequestError(f"max_tokens must be at least 1, found {self.max_tokens}")
        if not (math.isfinite(self.temperature) and self.temperature >= 0):
            raise RequestError(f"temperature must be 0 or more, found {self.temperature}")
        if not 0 < self.top_p <= 1:
            raise RequestError(f"top_p must be above 0 and at most 1, found {self.top_p}")
        if self.top_k < -1:
            raise RequestError(f"top_k must be -1 (off) or more, found {self.top_k}")


@dataclass(frozen=True, slots=True)
class Generated:
    """The answer to one request."""

    token_ids: list[int]
    """The new tokens, a stop token included; never empty."""
    log_probs: list[float]
    """Natural logarithms, one a token: log_softmax(logits / temperature) without top-k and top-p."""
    stop_reason: Literal["stop", "length"]
    """Ended by a stop token, or cut off by `max_tokens` or the model's context."""
    policy_version: int
    """Of the weights that wrote it; one answer is never written by two."""


def sample(logits: Tensor, settings: Sequence[Sampling], uniforms: Sequence[float]) -> tuple[list[int], list[float]]:
    """The next token of each row and its log-probability.

    Args:
        logits: shape (rows, vocabulary), any float type; computed in float32.
        uniforms: one number in [0, 1) a row; rows at temperature 0 ignore theirs.

    Raises: GenerationError when logits are not numbers (NaN), which broken weights give.
    """
    temperatures = [setting.temperature or 1.0 for setting in settings]
    scaled = logits.float()
    if any(temperature != 1.0 for temperature in temperatures):
        scaled = scaled / torch.tensor(temperatures, device=logits.device).unsqueeze(1)
    log_probs = torch.log_softmax(scaled, dim=-1)
    tokens = log_probs.argmax(dim=-1)
    drawn = [row for row, setting in enumerate(settings) if setting.temperature > 0]
    if drawn:
        every = len(drawn) == len(settings)
        chosen = log_probs if every else log_probs[drawn]
        kept = _filtered(chosen, [settings[row] for row in drawn])
        picked = _draw(kept, torch.tensor([uniforms[row] for row in drawn], dtype=torch.float64))
        tokens = picked if every else tokens.index_put((torch.tensor(drawn, device=logits.device),), picked)
    chosen_log_probs = log_probs.gather(1, tokens.unsqueeze(1)).squeeze(1)
    if bool(chosen_log_probs.isnan().any()):
        raise GenerationError("the model's logits are NaN; look at the weights (a diverged training step?)")
    return tokens.tolist(), chosen_log_probs.tolist()


def _filtered(log_probs: Tensor, settings: Sequence[Sampling]) -> Tensor:
    """Probabilities (not normalised) of what top-k and top-p leave; the most likely token always stays."""
    probs = log_probs.exp()
    size = probs.shape[-1]
    limited = [row for row, s in enumerate(settings) if s.top_p < 1 or 0 < s.top_k < size]
    if not limited:
        return probs
    device = probs.device
    top_k = torch.tensor([settings[row].top_k if settings[row].top_k > 0 else size for row in limited], device=device)
    top_p = torch.tensor([settings[row].top_p for row in limited], device=device, dtype=torch.float64)
    ordered, order = probs[limited].sort(dim=-1, descending=True, stable=True)
    ordered = ordered.masked_fill(torch.arange(size, device=device) >= top_k.unsqueeze(1), 0.0)
    before = ordered.double().cumsum(dim=-1) - ordered
    beyond = before >= (top_p * ordered.double().sum(dim=-1)).unsqueeze(1)
    beyond &= (top_p < 1).unsqueeze(1)
    beyond[:, 0] = False
    ordered = ordered.masked_fill(beyond, 0.0)
    rows = torch.tensor(limited, device=device)
    return probs.index_put((rows,), torch.zeros_like(ordered).scatter(1, order, ordered))


def _draw(weights: Tensor, uniforms: Tensor) -> Tensor:
    """One index a row by inversion: the first whose cumulated weight exceeds uniform * total."""
    cumulated = weights.cumsum(dim=-1, dtype=torch.float64)
    total = cumulated[:, -1]
    at = torch.minimum(uniforms.to(total.device) * total, torch.nextafter(total, torch.zeros_like(total)))
    found = torch.searchsorted(cumulated, at.unsqueeze(1), right=True).squeeze(1)
    return found.clamp_(max=weights.shape[-1] - 1)
