"""Groups of rollouts of one env and the question whether they carry a learning signal.

Implements the validity rule of ASTRA's adaptive batch filling (arXiv 2601.21558): a group is valid when the spread of
its rewards is greater than delta, for otherwise all its advantages are (close to) zero. Knows nothing of verl.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class Rollout:
    """One episode of a group."""

    keys: tuple[str, ...]
    """Where its samples are stored: one key, or several when an episode is split into several samples."""
    reward: float
    """What the spread is measured on; meaningless when `masked`."""
    masked: bool = False
    """Lost to an infrastructure error: neither a success nor a failure of the policy."""
    metrics: Mapping[str, float] = field(default_factory=dict)
    """The episode's `reward_extra_info`."""


@dataclass(frozen=True, slots=True)
class Group:
    """All rollouts of one env under one policy version; it is never split."""

    uid: str
    env_id: str
    version: int
    """Policy updates that had been made when the group was sent out: the version that its log-probs belong to."""
    dispatched: int
    """Place in the order of sending out, unique."""
    finished: int
    """Place in the order of completion; groups seen finished at the same moment share it."""
    rollouts: tuple[Rollout, ...]

    @property
    def usable(self) -> tuple[Rollout, ...]:
        """The rollouts that were not lost to an infrastructure error."""
        return tuple(rollout for rollout in self.rollouts if not rollout.masked)

    @property
    def rewards(self) -> tuple[float, ...]:
        """Rewards of the usable rollouts."""
        return tuple(rollout.reward for rollout in self.usable)


class Verdict(StrEnum):
    """Whether a group trains, and if not, why."""

    VALID = "valid"
    ALL_ZERO = "all_zero"
    ALL_ONE = "all_one"
    FLAT = "flat"
    """The rewards agree on some other value."""
    UNUSABLE = "unusable"
    """Fewer than two rollouts are left once those lost to infrastructure errors are taken out."""


def spread(rewards: Sequence[float]) -> float:
    """Population standard deviation, exactly 0 for equal rewards (also where rounding would say otherwise)."""
    if not rewards or min(rewards) == max(rewards):
        return 0.0
    mean = math.fsum(rewards) / len(rewards)
    return math.sqrt(math.fsum((reward - mean) ** 2 for reward in rewards) / len(rewards))


def judge(group: Group, delta: float) -> Verdict:
    """Whether Std(R) > delta over the usable rollouts of the group."""
    rewards = group.rewards
    if len(rewards) < 2:
        return Verdict.UNUSABLE
    if spread(rewards) > delta:
        return Verdict.VALID
    for level, verdict in ((0.0, Verdict.ALL_ZERO), (1.0, Verdict.ALL_ONE)):
        if all(abs(reward - level) <= max(delta, 1e-6) for reward in rewards):
            return verdict
    return Verdict.FLAT
