"""What every model is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from astra_gym.types import Message, ToolEnvSpec


class ChatModel(Protocol):
    """Writes assistant turns. One object plays one episode at a time.

    A model may also have `usage`, a dict of token counts of the episode so far; `rollout` records it.
    """

    @property
    def name(self) -> str:
        """Stands in trajectories and tables."""

    def begin_episode(self, spec: ToolEnvSpec, seed: int) -> None:
        """Forget the last episode. The spec holds the gold calls: only the oracle may read them."""

    def reply(self, messages: Sequence[Message], tools: Sequence[dict[str, Any]]) -> str:
        """The next assistant turn as text, tool calls as `<tool_call>` blocks; without a call it is the final answer.

        Args:
            messages: the conversation in the OpenAI form, the question first.
            tools: the OpenAI schemas.

        Raises: ModelError when there is no answer to be had.
        """
