"""What a training run raises before and while it runs."""

from __future__ import annotations

from collections.abc import Sequence

from astra_train.errors import TrainingError


class PreflightError(TrainingError):
    """A run cannot work as asked; nothing was started. The message lists every problem."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = list(dict.fromkeys(problems))
        listed = "\n".join(f"- {problem}" for problem in self.problems)
        super().__init__(self.problems[0] if len(self.problems) == 1 else f"{len(self.problems)} problems:\n{listed}")


class StoppedError(TrainingError):
    """The run was stopped by a signal; the message says how it goes on."""
