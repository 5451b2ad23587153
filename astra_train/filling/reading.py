"""Finished rollouts as TransferQueue holds them: keys `{uid}_{session}_{index}`, reward in `rm_scores`.

The agent loop writes the reward on the last response token and its metrics into `extra_fields["reward_extra_info"]`;
an episode lost to an infrastructure error has `infrastructure_error` above 0 there.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import transfer_queue as tq

from astra_train.filling.errors import RolloutDataError
from astra_train.filling.groups import Rollout

INFRASTRUCTURE_ERROR = "infrastructure_error"
_FIELDS = ["rm_scores", "extra_fields", "extra_info"]


@dataclass(frozen=True, slots=True)
class ReadGroup:
    """What the queue holds of one group."""

    env_id: str
    """Empty when the rows carry none."""
    rollouts: tuple[Rollout, ...]
    """In the order of their session numbers."""


def session_keys(keys: Iterable[str], uids: set[str]) -> dict[str, dict[int, tuple[str, ...]]]:
    """The sample keys of the groups `uids`, by session and, within one, by the index of the sample."""
    found: dict[str, dict[int, list[tuple[int, str]]]] = {}
    for key in keys:
        uid, session, index = key.rsplit("_", 2)
        if uid in uids:
            found.setdefault(uid, {}).setdefault(int(session), []).append((int(index), key))
    return {
        uid: {session: tuple(key for _, key in sorted(sessions[session])) for session in sorted(sessions)}
        for uid, sessions in found.items()
    }


def read_rollouts(
    keys: Mapping[str, Mapping[int, tuple[str, ...]]], partition: str, metric: str | None
) -> dict[str, ReadGroup]:
    """Rewards and metrics of groups of sample keys, one request for all.

    Args:
        metric: a key of `reward_extra_info` to take as the reward; None is the reward itself.

    Raises: RolloutDataError when a reward is missing or not finite; one that an infrastructure error cost may be.
    """
    places = [(uid, samples) for uid, sessions in keys.items() for samples in sessions.values()]
    if not places:
        return {}
    rows = _rows([samples[-1] for _, samples in places], partition)
    rollouts: dict[str, list[Rollout]] = {uid: [] for uid in keys}
    env_ids: dict[str, str] = {}
    for (uid, samples), row in zip(places, rows, strict=True):
        rollouts[uid].append(_rollout(samples, row, metric))
        env_ids[uid] = str((row.get("extra_info") or {}).get("env_id", ""))
    return {uid: ReadGroup(env_ids[uid], tuple(rollouts[uid])) for uid in keys}


def _rows(keys: list[str], partition: str) -> list[dict[str, Any]]:
    """One dict of fields a key; a field that no sample of the queue has is left out."""
    data = tq.kv_batch_get(keys=keys, partition_id=partition, select_fields=_FIELDS)
    columns = {name: [getattr(value, "data", value) for value in data[name]] for name in _FIELDS if name in data}
    return [{name: column[i] for name, column in columns.items()} for i in range(len(keys))]


def _rollout(keys: tuple[str, ...], row: Mapping[str, Any], metric: str | None) -> Rollout:
    metrics = dict((row.get("extra_fields") or {}).get("reward_extra_info") or {})
    if metrics.get(INFRASTRUCTURE_ERROR, 0):
        return Rollout(keys=keys, reward=0.0, masked=True, metrics=metrics)
    if metric is not None and metric not in metrics:
        raise RolloutDataError(f"{keys[-1]}: no {metric!r} in reward_extra_info, it holds {sorted(metrics)}")
    if metric is None and row.get("rm_scores") is None:
        raise RolloutDataError(
            f"{keys[-1]}: no reward when the group is to be judged; let the agent loop set reward_score "
            "(a colocated reward model scores too late for batch filling)"
        )
    reward = float(metrics[metric] if metric is not None else row["rm_scores"].sum())
    if not math.isfinite(reward):
        raise RolloutDataError(f"{keys[-1]}: the reward is {reward}, but it must be a finite number")
    return Rollout(keys=keys, reward=reward, metrics=metrics)
