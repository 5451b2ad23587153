"""Small models with random weights large enough that their next tokens are far from uniform."""

from __future__ import annotations

import threading
from typing import Any

import torch

VOCABULARY = 160
STOP = 3
_SHAPE = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
    "eos_token_id": None,
    "bos_token_id": None,
    "pad_token_id": 0,
}
KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "qwen3": ("Qwen3Config", {"head_dim": 8, "tie_word_embeddings": True}),
    "llama": ("LlamaConfig", {"tie_word_embeddings": False}),
    "qwen2": ("Qwen2Config", {"num_key_value_heads": 4}),
    "mistral": ("MistralConfig", {"head_dim": 8, "sliding_window": 9}),
    "gemma2": ("Gemma2Config", {"head_dim": 8}),
}
"""Name -> the configuration's class in transformers and what differs from the common shape."""


def make_model(kind: str = "qwen3", seed: int = 0) -> Any:
    """A fresh model; the same seed gives the same weights."""
    import transformers

    name, more = KINDS[kind]
    model = transformers.AutoModelForCausalLM.from_config(getattr(transformers, name)(**{**_SHAPE, **more})).eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.normal_(std=0.2, generator=generator)
    return model


class Gate:
    """Holds a model's next forward pass until it is set: for what must be asked of an engine before."""

    def __init__(self, model: Any) -> None:
        self.reached, self._open = threading.Event(), threading.Event()
        model.register_forward_pre_hook(self._wait)

    def _wait(self, *_: Any) -> None:
        self.reached.set()
        self._open.wait()

    def set(self) -> None:
        self._open.set()


def plain_log_probs(model: Any, prompt: list[int], answer: list[int], temperature: float = 1.0) -> torch.Tensor:
    """Log-probabilities of an answer by one full forward pass of the model alone, without padding or cache."""
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([prompt + answer]), use_cache=False).logits[0, len(prompt) - 1 : -1]
    return torch.log_softmax(logits.float() / temperature, -1)[torch.arange(len(answer)), torch.tensor(answer)]
