"""What a draft must score: an absolute minimum a dimension, and as an option a gate over a finished run's scores.

The minima decide alone whether a draft is sound. The paper's percentile gate picks the best of a run after that; here
it never keeps more than its share, and among equals it picks by id, so that the pick does not depend on their order.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping
from typing import Literal, TypeAlias, get_args

from pydantic import Field

from astra_gym.records import Record
from astra_gym.types import Rejected, Verdict

Dimension: TypeAlias = Literal["dependency", "atomicity", "serialisation", "completeness"]
DIMENSIONS: tuple[Dimension, ...] = get_args(Dimension)
_SLACK = 1e-9


class Thresholds(Record):
    """The least score of each dimension, 0 to 1. At 1 every step must hold."""

    dependency: float = Field(default=1.0, gt=0, le=1)
    atomicity: float = Field(default=1.0, gt=0, le=1)
    serialisation: float = Field(default=1.0, gt=0, le=1)
    completeness: float = Field(default=1.0, gt=0, le=1)

    def minimum(self, dimension: Dimension) -> float:
        found: float = getattr(self, dimension)
        return found

    def met(self, dimension: Dimension, score: float) -> bool:
        return score >= self.minimum(dimension) - _SLACK


def overall(verdicts: Iterable[Verdict]) -> float | None:
    """The mean of the four scores, or None unless each of the four checks is there with a score and passed."""
    scores: dict[str, float] = {}
    for verdict in verdicts:
        if verdict.check in DIMENSIONS and verdict.status == "pass" and isinstance(verdict.evidence, dict):
            score = verdict.evidence.get("score")
            if isinstance(score, int | float):
                scores[verdict.check] = score
    return math.fsum(scores.values()) / len(DIMENSIONS) if len(scores) == len(DIMENSIONS) else None


def percentile_gate(scores: Mapping[str, float], percentile: float) -> frozenset[str]:
    """The ids of the items above a percentile of `scores` (90: the best tenth, rounded up to whole items).

    Raises: ValueError when `percentile` is not in [0, 100) or a score is not finite.
    """
    if not 0 <= percentile < 100:
        raise ValueError(f"a percentile to be above is at least 0 and below 100, found {percentile}")
    if odd := sorted(key for key, score in scores.items() if not math.isfinite(score)):
        raise ValueError(f"scores must be finite; they are not for {odd[:3]}")
    share = math.ceil(len(scores) * (100 - percentile) / 100 - _SLACK)
    ranked = sorted(scores, key=lambda key: (-scores[key], hashlib.sha256(key.encode()).digest()))
    return frozenset(ranked[:share])


def gated(item_id: str, score: float, percentile: float) -> Rejected:
    """The `Rejected` of an item that a percentile gate leaves out."""
    reason = f"its mean score {score:.3f} is not among the best {100 - percentile:g} % of the run"
    return Rejected(id=item_id, stage="percentile", reason=reason, evidence={"score": score, "percentile": percentile})
