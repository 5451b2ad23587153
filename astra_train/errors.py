"""What training raises on purpose, besides `astra_gym.errors`."""

from __future__ import annotations

from astra_gym.errors import AstraError


class TrainingError(AstraError, RuntimeError):
    """A training run cannot start or cannot go on; the message says what would help."""


class ChatTemplateError(AstraError, ValueError):
    """A tokenizer's chat template cannot carry tools and tool results turn by turn."""
