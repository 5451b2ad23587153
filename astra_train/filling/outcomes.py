"""Where the sampler reports finished groups, and what wants to learn from them listens.

verl 0.9.1's V1 trainer has no curriculum hook: it never calls its data sampler back. Sampler and dataset live in one
process, so the report goes through this module. A listener is held weakly and ends with its owner.
"""

from __future__ import annotations

from typing import Protocol
from weakref import WeakSet

from astra_train.filling.groups import Group


class OutcomeListener(Protocol):
    """Something that learns from finished groups."""

    def observe(self, group: Group) -> None:
        """Take in one finished group, valid or not."""

    def metrics(self, rollout_s: float) -> dict[str, float]:
        """Numbers for the trainer's log; the step's rollouts took `rollout_s` seconds by the clock."""


_LISTENERS: WeakSet[OutcomeListener] = WeakSet()


def listen(listener: OutcomeListener) -> None:
    """Report every finished group to `listener` from now on, for as long as somebody holds it."""
    _LISTENERS.add(listener)


def report(group: Group) -> None:
    """Tell all listeners about a finished group."""
    for listener in list(_LISTENERS):
        listener.observe(group)


def listener_metrics(rollout_s: float) -> dict[str, float]:
    """What the listeners have to say in the log of a step whose rollouts took `rollout_s` seconds."""
    return {name: value for listener in list(_LISTENERS) for name, value in listener.metrics(rollout_s).items()}
