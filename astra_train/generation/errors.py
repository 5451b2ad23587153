"""What generation raises on purpose."""

from __future__ import annotations

from astra_gym.errors import AstraError


class GenerationError(AstraError, RuntimeError):
    """A request was not answered: the engine is closed, or the model failed on it."""


class RequestError(GenerationError, ValueError):
    """A request that cannot be answered as it stands: no tokens, unknown tokens, impossible sampling settings."""


class PromptTooLongError(RequestError):
    """The prompt leaves no room for a single new token."""


class WeightsError(AstraError, ValueError):
    """New weights do not fit the model: names unknown or missing, shapes that differ."""


class UnsupportedModelError(AstraError, ValueError):
    """The engine does not compute what this model computes by itself."""
