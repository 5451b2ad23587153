"""Trajectory reward: how much of the question was solved, for how few tool calls.

Implements the trajectory-level reward of ASTRA (arXiv 2601.21558), the harmonic mean of recall and precision, in the
closed form that is defined when nothing is solved: F1 = 2 * solved / (needed + calls). It only counts: whether a call
answers a sub-question is decided in `verifier.py`, which credits one call with one sub-question at most, so that no
reward exceeds 1.
"""

from __future__ import annotations

import math
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from astra_gym.types import RewardBreakdown

RewardKind: TypeAlias = Literal["f1", "recall", "precision"]
REWARD_KINDS: tuple[RewardKind, ...] = ("f1", "recall", "precision")
MAX_BETA = 1e6


def check_reward_options(kind: str, beta: float, final_answer_weight: float) -> None:
    """Raises ValueError, with what was found, when reward options are outside what `trajectory_reward` allows."""
    if kind not in REWARD_KINDS:
        raise ValueError(f"reward must be one of {list(REWARD_KINDS)}, found {kind!r}")
    if not (math.isfinite(beta) and 0 <= beta <= MAX_BETA):
        raise ValueError(f"beta must be from 0 (precision only) to {MAX_BETA:g} (recall only), found {beta!r}")
    if not 0 <= final_answer_weight <= 1:
        raise ValueError(f"final_answer_weight must be from 0 to 1, found {final_answer_weight!r}")


def trajectory_reward(
    breakdown: RewardBreakdown,
    kind: RewardKind = "f1",
    beta: float = 1.0,
    final_answer_weight: float = 0.0,
    final_answer_correct: bool | None = None,
) -> float:
    """The reward of a trajectory so far, in [0, 1]; exactly 1 when everything needed is solved without a call too many.

    (1 - w) * F + w * (1 if the final answer is correct), where w is `final_answer_weight` and F is recall, precision
    or F-beta = (1 + beta^2) * solved / (beta^2 * needed + calls); F is 0 when nothing is solved. A final answer that
    was not given or not checked (None) counts as not correct.
    Raises: ValueError for options out of range (see `check_reward_options`).
    """
    check_reward_options(kind, beta, final_answer_weight)
    return reward_of_counts(breakdown, kind, beta, final_answer_weight, final_answer_correct)


def reward_of_counts(
    breakdown: RewardBreakdown,
    kind: RewardKind,
    beta: float,
    final_answer_weight: float,
    final_answer_correct: bool | None,
) -> float:
    """`trajectory_reward` for options that were checked before: on the path of every step."""
    needed, solved, calls = breakdown.needed, breakdown.solved, breakdown.calls
    if not solved:
        score = 0.0
    elif kind == "recall":
        score = solved / needed
    elif kind == "precision":
        score = solved / calls
    else:
        score = (beta * beta * solved + solved) / (beta * beta * needed + calls)
    return (1.0 - final_answer_weight) * score + final_answer_weight * bool(final_answer_correct)


def batch_reward(
    needed: npt.ArrayLike,
    solved: npt.ArrayLike,
    calls: npt.ArrayLike,
    kind: RewardKind = "f1",
    beta: float = 1.0,
    final_answer_weight: float = 0.0,
    final_answer_correct: npt.ArrayLike | None = None,
) -> npt.NDArray[np.float64]:
    """`trajectory_reward` of N trajectories at once, equal to it to the last bit.

    Args:
        needed, solved, calls: integer counts, each of shape (N,), 0 <= solved <= min(needed, calls).
        final_answer_correct: bools of shape (N,); None when no final answer was checked.

    Returns: rewards, shape (N,).
    Raises: ValueError for counts that cannot be, shapes that differ, or options out of range.
    """
    check_reward_options(kind, beta, final_answer_weight)
    needed_n, solved_n, calls_n = (np.asarray(counts) for counts in (needed, solved, calls))
    _check_counts(needed_n, solved_n, calls_n)
    if kind == "recall":
        over, under = solved_n / 1, needed_n / 1
    elif kind == "precision":
        over, under = solved_n / 1, calls_n / 1
    else:
        over, under = beta * beta * solved_n + solved_n, beta * beta * needed_n + calls_n
    score = np.divide(over, under, out=np.zeros(solved_n.shape), where=solved_n > 0)
    correct = np.zeros(solved_n.shape, dtype=bool) if final_answer_correct is None else np.asarray(final_answer_correct)
    if correct.shape != solved_n.shape or correct.dtype != np.bool_:
        raise ValueError(
            f"final_answer_correct must be bools of shape {solved_n.shape}, found {correct.dtype} {correct.shape}"
        )
    total: npt.NDArray[np.float64] = (1.0 - final_answer_weight) * score + final_answer_weight * correct
    return total


def _check_counts(needed: npt.NDArray[np.int_], solved: npt.NDArray[np.int_], calls: npt.NDArray[np.int_]) -> None:
    shapes = {counts.shape for counts in (needed, solved, calls)}
    if len(shapes) != 1 or needed.ndim != 1:
        raise ValueError(f"needed, solved and calls must have one shape (N,), found {sorted(shapes)}")
    if needed.size and not all(np.issubdtype(counts.dtype, np.integer) for counts in (needed, solved, calls)):
        raise ValueError(f"counts must be integers, found {[str(c.dtype) for c in (needed, solved, calls)]}")
    wrong = (solved < 0) | (solved > needed) | (solved > calls)
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        found = f"needed={needed[row]}, solved={solved[row]}, calls={calls[row]}"
        raise ValueError(f"row {row}: expected 0 <= solved <= min(needed, calls), found {found}")
