"""Initial weights that already copy: a tiny policy then learns what to copy, not first how.

A call repeats names that stand in the question or in an earlier result. A transformer copies with two heads in a row:
one that writes into each position which token came before it, and one that looks for the position whose predecessor is
the current token and predicts what stands there (Olsson et al., arXiv 2209.11895). Random weights find that circuit
after many millions of tokens, which a laptop does not have; so it is written into the first two layers here, as
mimetic initialisation does for other patterns (Trockman & Kolter, arXiv 2305.09828). All weights stay trainable, and
the model remains an ordinary Qwen3.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn
    from transformers import Qwen3ForCausalLM

LOOK_BACK = (1, 2)
"""How far back the heads of the first layer look; head h of the second layer then matches h + 1 tokens."""
NEAR_PAIRS = 3
"""Rotary pairs, the fastest, by which those heads find their place."""
SLOW = 0.006
"""Radians a position: rotary pairs below it hardly turn over a prompt, so that tokens can be compared by them."""
EMBEDDING_STD, WRITE_BACK, WRITE_COPY = 0.3, 0.3, 0.9
NEAR_SHARPNESS, MATCH_SHARPNESS = 2.5, 2.0
"""Weights of the query's and key's norms: attention logits grow with their square."""
NEEDED = "at least 4 heads of 8 dimensions each, and 2 layers"


def has_room(hidden: int, heads: int, layers: int) -> bool:
    """Whether the circuit fits: a constant and three parts of a head's size, rotary pairs fast and slow."""
    return heads >= 4 and hidden // heads >= 8 and layers >= 2


def install_copying(model: Qwen3ForCausalLM) -> None:
    """Overwrite part of the embedding and of the first two layers' attention with a copying circuit.

    The hidden state holds a constant (1), the token (head_dim), the token before it and the one before that; what is
    left over stays random and free. Token vectors and projections are drawn from torch's own generator.

    Raises: ValueError when the shape has no room for it.
    """
    import torch

    config = model.config
    hidden, heads, layers = config.hidden_size, config.num_attention_heads, config.num_hidden_layers
    if not has_room(hidden, heads, layers):
        raise ValueError(f"the copying heads need {NEEDED}; found hidden {hidden}, heads {heads}, layers {layers}")
    size = config.head_dim
    token, *before = (slice(1 + part * size, 1 + (part + 1) * size) for part in range(3))
    speeds = [config.rope_parameters["rope_theta"] ** (-2 * pair / size) for pair in range(size // 2)]

    with torch.no_grad():
        embedding = model.model.embed_tokens.weight
        embedding.mul_(0.2)
        embedding[:, 0] = 1.0
        embedding[:, token] = torch.randn(embedding.shape[0], size) * EMBEDDING_STD
        first, second = (model.model.layers[layer].self_attn for layer in (0, 1))
        near, slow = range(NEAR_PAIRS), [pair for pair, speed in enumerate(speeds) if speed < SLOW]
        for head, back in enumerate(LOOK_BACK):
            rows = _clear(first, head)
            for pair in near:
                # a query turned back by `back` positions meets the key that stands there
                first.k_proj.weight[rows.start + pair, 0] = 1.0
                first.q_proj.weight[rows.start + pair, 0] = math.cos(back * speeds[pair])
                first.q_proj.weight[rows.start + pair + size // 2, 0] = -math.sin(back * speeds[pair])
            first.v_proj.weight[rows, token] = torch.eye(size)
            first.o_proj.weight[before[head], rows] = torch.eye(size) * WRITE_BACK
        compared = _both_halves(slow, size)
        for head in range(len(LOOK_BACK)):
            rows = _clear(second, head)
            places = [rows.start + place for place in compared]
            sought = (token, *before)
            for part in range(head + 1):
                projection = torch.randn(len(places), size) / math.sqrt(size)
                second.q_proj.weight[places, sought[part]] = projection
                second.k_proj.weight[places, sought[part + 1]] = projection
            second.v_proj.weight[rows, token] = torch.eye(size)
            second.o_proj.weight[token, rows] = torch.eye(size) * WRITE_COPY
        for layer, places, sharpness in (
            (first, _both_halves(near, size), NEAR_SHARPNESS),
            (second, compared, MATCH_SHARPNESS),
        ):
            for norm in (layer.q_norm, layer.k_norm):
                norm.weight[places] = sharpness


def _both_halves(pairs: range | list[int], size: int) -> list[int]:
    """The dimensions of rotary pairs: a pair is a dimension of a head's first half and its like of the second."""
    return [*pairs, *(pair + size // 2 for pair in pairs)]


def _clear(attention: nn.Module, head: int) -> slice:
    """Set what one head reads and writes to zero; returns its rows."""
    rows = slice(head * attention.head_dim, (head + 1) * attention.head_dim)
    for projection in (attention.q_proj, attention.k_proj, attention.v_proj):
        projection.weight[rows] = 0.0
    attention.o_proj.weight[:, rows] = 0.0
    return rows
