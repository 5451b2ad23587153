"""What batch filling did in a step: the numbers that go into the trainer's metrics and into the no-signal message."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from astra_train.filling.groups import Group, Verdict, spread


@dataclass(slots=True)
class StepStatistics:
    """Counts over one step's filling; a group is judged once, in the step in which it finished."""

    verdicts: Counter[Verdict] = field(default_factory=Counter)
    rewards: list[float] = field(default_factory=list)
    """Of every usable rollout judged."""
    spreads: list[float] = field(default_factory=list)
    """Of every usable group judged."""
    rollouts: int = 0
    masked: int = 0
    wasted: int = 0
    """Rollouts that will never train: of invalid groups, of stale groups, and those lost to infrastructure errors."""
    stale_groups: int = 0
    refilled: int = 0
    """Groups sent out beyond the batch that verl sends by itself."""

    def judged(self, group: Group, verdict: Verdict, *, kept: bool) -> None:
        """Count a group that has just finished; `kept` when it may train."""
        self.verdicts[verdict] += 1
        masked = len(group.rollouts) - len(group.usable)
        self.rollouts += len(group.rollouts)
        self.masked += masked
        self.wasted += masked if kept else len(group.rollouts)
        self.rewards += group.rewards
        if verdict is not Verdict.UNUSABLE:
            self.spreads.append(spread(group.rewards))

    def dropped_stale(self, groups: Iterable[Group]) -> None:
        """Count waiting groups that became too old to train."""
        for group in groups:
            self.stale_groups += 1
            self.wasted += len(group.usable)

    def metrics(self, trained: Sequence[Group], version: int, waiting: int) -> dict[str, float]:
        """The step's numbers for the log; `version` is the current policy's, `waiting` counts groups kept for later."""
        lags = [version - group.version for group in trained]
        judged = self.verdicts.total()
        return {
            "filling/groups_trained": len(trained),
            "filling/groups_from_buffer": sum(lag > 0 for lag in lags),
            "filling/groups_fresh": sum(lag <= 0 for lag in lags),
            "filling/groups_waiting": waiting,
            "filling/groups_judged": judged,
            "filling/groups_refilled": self.refilled,
            "filling/valid_share": self.verdicts[Verdict.VALID] / judged if judged else 0.0,
            **{f"filling/invalid_{v.value}": self.verdicts[v] for v in Verdict if v is not Verdict.VALID},
            "filling/dropped_stale": self.stale_groups,
            "filling/staleness_mean": mean(lags),
            "filling/staleness_max": max(lags, default=0),
            "filling/rollouts": self.rollouts,
            "filling/rollouts_per_group": self.rollouts / len(trained) if trained else 0.0,
            "filling/rollouts_masked": self.masked,
            "filling/rollouts_wasted": self.wasted,
            "filling/reward_mean": mean(self.rewards),
            "filling/group_std_mean": mean(self.spreads),
        }


def mean(values: Sequence[float]) -> float:
    """Arithmetic mean, 0 of nothing."""
    return math.fsum(values) / len(values) if values else 0.0


def no_signal_message(seen: StepStatistics, valid: int, wanted: int, delta: float, step: int) -> str:
    """What was asked for, what was seen and what would do; for `NoSignalError`."""
    counts = ", ".join(f"{verdict.value} {seen.verdicts[verdict]}" for verdict in Verdict)
    ranked = sorted(seen.spreads)
    quantiles = "none measured"
    if ranked:
        low, middle, high = ranked[0], ranked[len(ranked) // 2], ranked[(9 * len(ranked)) // 10]
        quantiles = f"min {low:.4f}, median {middle:.4f}, 90 % {high:.4f}, max {ranked[-1]:.4f}"
    return (
        f"step {step}: {wanted} groups whose rewards spread by more than delta = {delta:g} were wanted, {valid} found "
        f"in {seen.verdicts.total()} groups ({seen.rollouts} rollouts, {seen.masked} of them lost to infrastructure "
        f"errors). Groups: {counts}. Mean reward {mean(seen.rewards):.4f}; standard deviation of a group: {quantiles}. "
        f"{_advice(seen)} Or raise sampler_kwargs.max_gen_batches, or set sampler_kwargs.at_cap=flat to go on without."
    )


def _advice(seen: StepStatistics) -> str:
    invalid = [verdict for verdict in Verdict if verdict is not Verdict.VALID]
    most = max(invalid, key=lambda verdict: seen.verdicts[verdict])
    if not seen.verdicts[most]:
        return "No group finished: look at the agent loop's log."
    return {
        Verdict.ALL_ZERO: "The policy never succeeds: warm it up with SFT, take easier envs, or raise rollout.n or "
        "rollout.temperature.",
        Verdict.ALL_ONE: "The policy always succeeds: take harder envs, or stop here.",
        Verdict.FLAT: "The rewards of a group agree: lower sampler_kwargs.delta, or raise rollout.temperature or "
        "rollout.n.",
        Verdict.UNUSABLE: "Most rollouts failed for reasons outside the policy: look at the agent loop's log.",
    }[most]
