"""A small door for the runner's tests: item i asks for the sum of two numbers; some items are flawed on purpose."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from astra_gym.answers import Answer
from astra_gym.env_synthesis.sources.base import Item
from astra_gym.types import GoldCall, Rejected, SubQuestion, ToolEnvSpec
from tests.specs import BY_HAND, NUMBER, tool

ADD = tool("Add two numbers.", {"a": NUMBER, "b": NUMBER}, "def add(a, b):\n    return a + b\n")


@dataclass(frozen=True)
class Sums:
    """Of ten items: 3 is wrong, 4 cannot be built, 5 repeats 0, 6 could not be read, the rest are sound."""

    items_at_most: int | None = None
    kill_at: int | None = None
    killed: Path | None = None
    """Item `kill_at` ends the process once (the file `killed` remembers)."""
    name: str = "sums"

    def items(self) -> Iterator[Item | Rejected]:
        for i in count() if self.items_at_most is None else range(self.items_at_most):
            if i % 10 == 6:
                yield Rejected(id=f"sum-{i}", stage="read", reason=f"line {i}: not JSON")
            else:
                yield Item(f"sum-{i}", i)

    def build(self, item: Item) -> ToolEnvSpec | Rejected:
        i = int(item.payload)
        if i == self.kill_at and self.killed is not None and not self.killed.exists():
            self.killed.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        if i % 10 == 4:
            raise KeyError("nothing here")
        a, b = (i - 5, i) if i % 10 == 5 else (i, i + 5)
        answer = Answer(kind="number", value=a + b + (i % 10 == 3))
        question = f"What is {a} and {b} together?"
        sub = SubQuestion(
            id="q1", question=question, answer=answer, call=GoldCall(tool="add", arguments={"a": a, "b": b})
        )
        return ToolEnvSpec(
            id=f"sum-{i}-v0",
            question=question,
            answer=answer,
            sub_questions=(sub,),
            tools=(ADD,),
            domain="sums",
            provenance=BY_HAND,
        )
