"""The floor: schema-valid calls at random, then a random final answer. It never reads the gold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from astra_gym.errors import ModelError, SpecError
from astra_gym.spaces import ToolCallSpace
from astra_gym.types import Message, ToolEnvSpec

_STREAM = 0x52414E44
"""Keeps these draws apart from others that use the episode's seed."""


class RandomModel:
    """One random call a turn for `turns` turns; the draws depend on the episode's seed and the tools alone."""

    name = "random"

    def __init__(self, *, turns: int = 5) -> None:
        self.turns = turns

    def begin_episode(self, spec: ToolEnvSpec, seed: int) -> None:
        calls, answer = np.random.SeedSequence([seed, _STREAM]).generate_state(2)
        self._space = ToolCallSpace(spec.tools, seed=int(calls))
        self._answer = str(np.random.default_rng(answer).integers(1000))
        self._left = self.turns

    def reply(self, messages: Sequence[Message], tools: Sequence[dict[str, Any]]) -> str:  # noqa: ARG002
        if self._left == 0:
            return self._answer
        self._left -= 1
        try:
            return self._space.sample()
        except SpecError as error:
            raise ModelError(f"no call to make: {error}") from None
