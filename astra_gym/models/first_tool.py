"""Trivial policies: rules without any understanding, to stand beside every result. A gain below them is no gain.

`FirstToolModel` shows what one easy call is worth; `EveryToolModel` what calling all there is, in the order of the list
and each with the last result, is worth. The arguments come from `argument_rule.py`; neither reads the gold.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from astra_gym.models.argument_rule import ArgumentRule
from astra_gym.models.oracle import read_result
from astra_gym.records import JSON
from astra_gym.tool_calls import render_turn
from astra_gym.types import Message, ToolCall, ToolEnvSpec

UNKNOWN = "unknown"
"""The final answer when no call gave anything."""


class EveryToolModel:
    """Calls each tool once, one a turn, in the order of the list, then answers with the last result."""

    name = "every-tool"

    def __init__(self, *, calls: int | None = None) -> None:
        """
        Args:
            calls: how many of the tools to call; None for all.
        """
        self._calls = calls

    def begin_episode(self, spec: ToolEnvSpec, seed: int) -> None:  # noqa: ARG002
        self._rule: ArgumentRule | None = None
        self._made = 0

    def reply(self, messages: Sequence[Message], tools: Sequence[dict[str, Any]]) -> str:
        if self._rule is None:
            question = next((m["content"] for m in messages if m["role"] == "user"), None)
            self._rule = ArgumentRule(question or "")
        elif messages[-1]["role"] == "tool" and (value := _value(messages[-1]["content"] or "")) is not None:
            self._rule.results.append(value)
        if self._made < len(tools if self._calls is None else tools[: self._calls]):
            function = tools[self._made]["function"]
            self._made += 1
            return render_turn("", [ToolCall(function["name"], self._rule.arguments(function))])
        return _text(self._rule.results[-1]) if self._rule.results else UNKNOWN


class FirstToolModel(EveryToolModel):
    """Calls the first tool once, with arguments copied from the question, and answers with its result."""

    name = "first-tool"

    def __init__(self) -> None:
        super().__init__(calls=1)


def _value(content: str) -> JSON:
    """The result of a call, of an object its last field; None when it failed."""
    output, error = read_result(content)
    if error is not None:
        return None
    while isinstance(output, dict):
        output = next(reversed(output.values()), None)
    return output


def _text(value: JSON) -> str:
    if isinstance(value, list):
        return ", ".join(map(_text, value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)
