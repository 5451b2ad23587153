"""Adaptive batch filling: which finished groups train now, which wait, and how many more to roll out.

Implements ASTRA's adaptive batch filling (arXiv 2601.21558): roll out until n valid groups are there, train the first
n, keep the surplus for the next batch. Added to it: a policy version on every group with a limit on its age, a cap on
the rollouts of a step, whole groups only, and statistics. Pure: it is told what happened and says what to do.
"""

from __future__ import annotations

from dataclasses import dataclass

from astra_train.filling.errors import NoSignalError
from astra_train.filling.groups import Group, Verdict, judge
from astra_train.filling.options import AtCap, FillingOptions, Order
from astra_train.filling.statistics import StepStatistics, no_signal_message


@dataclass(frozen=True, slots=True)
class Batch:
    """A step's training groups, and what is left over from making it."""

    groups: tuple[Group, ...]
    discarded: tuple[Group, ...]
    """Groups that were held back as a last resort and were not needed."""
    metrics: dict[str, float]


class BatchFiller:
    """The state of filling across steps: `begin`, then `add` and `to_dispatch` until `is_complete`, then `take`."""

    def __init__(self, options: FillingOptions) -> None:
        self.options = options
        self._waiting: dict[str, Group] = {}
        self._flat: list[Group] = []
        self._statistics = StepStatistics()
        self._wanted = 0
        self._version = 0
        self._rollouts_total = 0
        self._wasted_total = 0

    @property
    def waiting(self) -> int:
        """Valid groups at hand."""
        return len(self._waiting)

    @property
    def keeps_invalid(self) -> bool:
        """Whether groups without signal are held until the batch is complete, to fill it up at the cap."""
        return self.options.at_cap is AtCap.FLAT

    def begin(self, wanted: int, version: int) -> tuple[Group, ...]:
        """Start the batch of policy `version`; returns the waiting groups that became too old, which are forgotten."""
        self._wanted, self._version, self._statistics = wanted, version, StepStatistics()
        stale = [g for g in self._waiting.values() if version - g.version > self.options.max_staleness]
        for group in stale:
            del self._waiting[group.uid]
        self._statistics.dropped_stale(stale)
        return tuple(stale)

    def add(self, group: Group) -> bool:
        """Judge a group that finished; True when it is kept (to train now or later), False when it is of no use."""
        verdict = judge(group, self.options.delta)
        trains = verdict is Verdict.VALID or (not self.options.filter and bool(group.usable))
        self._statistics.judged(group, verdict, kept=trains)
        if trains and self._version - group.version > self.options.max_staleness:
            self._statistics.dropped_stale([group])
            return False
        if trains:
            self._waiting[group.uid] = group
        elif self.keeps_invalid and group.usable:
            self._flat.append(group)
        else:
            return False
        return True

    def to_dispatch(self, in_flight: int) -> int:
        """Groups to send out now: what is missing even if everything in flight turns out valid, in whole refills."""
        missing = self._wanted - len(self._waiting) - in_flight
        if missing <= 0 or not self.options.filter:
            return 0
        chunk = self.options.refill_groups or self._wanted
        return min(-(-missing // chunk), self._budget() // chunk) * chunk

    def to_replace(self, lost: int) -> int:
        """Groups to send out for `lost` ones, one for one: what keeps an asynchronous trainer's prefetch full."""
        return max(0, min(lost, self._budget())) if self.options.filter else 0

    def dispatched(self, groups: int) -> None:
        """Note that `groups` were sent out on top of the trainer's own."""
        self._statistics.refilled += groups

    def is_complete(self, in_flight: int, *, drain: bool) -> bool:
        """Whether to stop waiting: enough valid groups, or nothing in flight and nothing more allowed.

        Args:
            drain: wait for everything in flight although there is enough: a synchronous trainer puts the rollout
                engine to sleep afterwards.
        """
        if len(self._waiting) >= self._wanted:
            return in_flight == 0 or not drain
        return in_flight == 0 and self.to_dispatch(0) == 0

    def take(self) -> Batch:
        """The batch: the first n valid groups, the oldest policy version first. The rest goes on waiting.

        Raises: NoSignalError when the cap was reached with too few groups and `at_cap` does not allow for it.
        """
        chosen = sorted(self._waiting.values(), key=self._place)[: self._wanted]
        flat, self._flat = sorted(self._flat, key=self._place), []
        missing = self._wanted - len(chosen)
        fill = flat[:missing] if missing > 0 else []
        short = missing > 0 and (self.options.at_cap is AtCap.ERROR or not (chosen or fill))
        if short and (self.options.filter or not chosen):
            raise NoSignalError(
                no_signal_message(
                    self._statistics, len(chosen), self._wanted, self.options.delta, step=self._version + 1
                )
            )
        for group in chosen:
            del self._waiting[group.uid]
        groups = (*chosen, *fill)
        return Batch(groups=groups, discarded=tuple(flat[len(fill) :]), metrics=self._metrics(groups, len(fill)))

    def _metrics(self, groups: tuple[Group, ...], flat: int) -> dict[str, float]:
        self._rollouts_total += self._statistics.rollouts
        self._wasted_total += self._statistics.wasted
        return {
            **self._statistics.metrics(groups, self._version, len(self._waiting)),
            "filling/groups_flat_trained": flat,
            "filling/groups_short": max(0, self._wanted - len(groups)),
            "filling/wasted_share": self._wasted_total / self._rollouts_total if self._rollouts_total else 0.0,
        }

    def _budget(self) -> int:
        return (self.options.max_gen_batches - 1) * self._wanted - self._statistics.refilled

    def _place(self, group: Group) -> tuple[int, int, int]:
        finished = group.finished if self.options.order is Order.COMPLETION else 0
        return group.version, finished, group.dispatched
