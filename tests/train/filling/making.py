"""Groups for the tests of this folder."""

from __future__ import annotations

from collections.abc import Sequence

from astra_train.filling.groups import Group, Rollout

VALID = (0.0, 1.0, 0.0, 1.0)
ZERO = (0.0, 0.0, 0.0, 0.0)
ONE = (1.0, 1.0, 1.0, 1.0)
HALF = (0.5, 0.5, 0.5, 0.5)


def group(
    uid: str,
    rewards: Sequence[float | None] = VALID,
    *,
    version: int = 0,
    dispatched: int = 0,
    finished: int = 0,
    env_id: str = "",
) -> Group:
    """A group with these rewards; None is a rollout lost to an infrastructure error. A reward of 1 is a pass."""
    rollouts = tuple(
        Rollout(
            keys=(f"{uid}_{session}_0",),
            reward=reward or 0.0,
            masked=reward is None,
            metrics={"solve_rate": float(reward == 1.0)},
        )
        for session, reward in enumerate(rewards)
    )
    return Group(uid, env_id or f"env-{uid}", version, dispatched, finished, rollouts)
