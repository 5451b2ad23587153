"""What one item may still ask. Counted before and after each call, so that calls in flight together decide alike."""

from __future__ import annotations

import time

from astra_gym.llm.errors import BudgetError
from astra_gym.llm.settings import ItemBudget
from astra_gym.llm.usage import Usage


class Meter:
    """The usage of one item against its budget."""

    def __init__(self, budget: ItemBudget) -> None:
        self.budget = budget
        self.usage = Usage()
        self._ends_at = None if budget.seconds is None else time.monotonic() + budget.seconds

    def begin_call(self) -> None:
        """Count a call that is about to be made. Raises: BudgetError when it is one too many, or too late."""
        if self.budget.calls is not None and self.usage.calls >= self.budget.calls:
            raise BudgetError(f"needs more than the {self.budget.calls} calls that one item may make")
        if (left := self.seconds_left()) is not None and left <= 0:
            raise self.out_of_time()
        self.usage += Usage(calls=1)

    def end_call(self, cost: Usage) -> None:
        """Count what a call cost. Raises: BudgetError when that was too much."""
        self.usage += cost
        if self.budget.tokens is not None and self.usage.tokens > self.budget.tokens:
            raise BudgetError(f"needs more than the {self.budget.tokens} tokens that one item may use")
        if self.budget.usd is not None and self.usage.usd > self.budget.usd:
            raise BudgetError(f"costs more than the {self.budget.usd:g} USD that one item may cost")

    def seconds_left(self) -> float | None:
        """Until the time is up; None without a limit."""
        return None if self._ends_at is None else self._ends_at - time.monotonic()

    def out_of_time(self) -> BudgetError:
        return BudgetError(f"takes longer than the {self.budget.seconds:g} s that one item may take")
