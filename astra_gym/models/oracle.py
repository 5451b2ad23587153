"""The perfect policy: plays the gold calls in the order of the graph, then gives the gold final answer.

What a call needs from upstream it reads from the tool messages, as a model would, never from the gold answers: when the
messages do not hold it, the oracle fails too. It bounds from above what any policy can earn.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import orjson

from astra_gym.errors import ModelError
from astra_gym.gold import resolve_call
from astra_gym.records import JSON
from astra_gym.tool_calls import MAX_CALLS, render_turn
from astra_gym.types import Message, SubQuestion, ToolCall, ToolEnvSpec

MAX_FAULTS = 16
"""Injected faults that one call is tried again after."""


class OracleModel:
    """Plays gold calls; `parallel` puts all calls whose upstream results are known into one turn."""

    def __init__(self, *, parallel: bool = True) -> None:
        self.parallel = parallel
        self.name = "oracle" if parallel else "oracle-sequential"
        self._spec: ToolEnvSpec | None = None

    def begin_episode(self, spec: ToolEnvSpec, seed: int) -> None:  # noqa: ARG002
        self._spec = spec
        self._outputs: dict[str, JSON] = {}
        self._given_up: set[str] = set()
        self._faults: dict[str, int] = {}
        self._asked: list[SubQuestion] = []

    def reply(self, messages: Sequence[Message], tools: Sequence[dict[str, Any]]) -> str:  # noqa: ARG002
        if self._spec is None:
            raise ModelError("the oracle plays only what begin_episode has shown it")
        self._read(messages)
        ready = list(self._ready(self._spec))[: MAX_CALLS if self.parallel else 1]
        self._asked = [sub for sub, _ in ready]
        if ready:
            return render_turn("", [call for _, call in ready])
        return self._spec.answer.render()

    def _read(self, messages: Sequence[Message]) -> None:
        """Take in the results of the calls of the last turn."""
        answers = [m for m in messages if m["role"] == "tool"][-len(self._asked) :] if self._asked else []
        for sub, message in zip(self._asked, answers, strict=True):
            output, error_code = read_result(message["content"] or "")
            if error_code is None:
                self._outputs[sub.id] = output
            elif error_code != "injected_fault" or self._faults.get(sub.id, 0) == MAX_FAULTS:
                self._given_up.add(sub.id)
            else:
                self._faults[sub.id] = self._faults.get(sub.id, 0) + 1

    def _ready(self, spec: ToolEnvSpec) -> Iterator[tuple[SubQuestion, ToolCall]]:
        """Calls not answered yet whose upstream outputs are known. What hangs on a call that failed is left out."""
        known = set(self._outputs)
        for sub in spec.topological:
            if not known.issuperset(sub.depends_on):
                continue
            if sub.call is None:
                known.add(sub.id)  # no tool needed: known as soon as what it rests on is
            elif sub.id not in known | self._given_up:
                try:
                    yield sub, resolve_call(spec, sub.call, self._outputs)
                except LookupError:
                    self._given_up.add(sub.id)


def read_result(text: str) -> tuple[JSON, str | None]:
    """(output, None) or (None, error code) of one tool message. A result cut short is an error of code "unreadable"."""
    try:
        body = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None, "unreadable"
    if isinstance(body, dict) and body.keys() == {"error"}:
        error = body["error"]
        if isinstance(error, dict) and error.keys() == {"code", "message"}:
            return None, str(error["code"])
    return body, None
