"""A model that says what it was told to: for tests, examples and replay."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from astra_gym.errors import ModelError
from astra_gym.types import Message, ToolEnvSpec


class ScriptedModel:
    """Gives the turns in order, from the first again in each episode; asked for more, it raises ModelError."""

    name = "scripted"

    def __init__(self, *turns: str) -> None:
        self.turns = turns
        self._next = 0

    def begin_episode(self, spec: ToolEnvSpec, seed: int) -> None:  # noqa: ARG002
        self._next = 0

    def reply(self, messages: Sequence[Message], tools: Sequence[dict[str, Any]]) -> str:  # noqa: ARG002
        if self._next == len(self.turns):
            raise ModelError(f"the script has {len(self.turns)} turns and the episode goes on; add a final answer")
        self._next += 1
        return self.turns[self._next - 1]
