"""Batch filling over whole runs: a synchronous trainer played with random rewards and random completion orders."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from astra_train.filling.errors import NoSignalError
from astra_train.filling.filler import Batch, BatchFiller
from astra_train.filling.groups import Group, Verdict, judge
from astra_train.filling.options import AtCap, FillingOptions, Order
from tests.train.filling.making import ONE, VALID, ZERO, group


@dataclass
class Run:
    """A run of `steps` batches of `wanted` groups; `rewards` go to the groups in the order of sending out."""

    wanted: int
    steps: int
    options: FillingOptions
    rewards: list[tuple[float, ...]]
    seed: int = 0
    sent: list[Group] = field(default_factory=list)
    batches: list[Batch] = field(default_factory=list)
    stale: list[str] = field(default_factory=list)
    waited: list[int] = field(default_factory=list)

    def play(self) -> Run:
        filling, order, looks = BatchFiller(self.options), random.Random(self.seed), 0
        for version in range(self.steps):
            self.stale += [one.uid for one in filling.begin(self.wanted, version)]
            flying = self._send(self.wanted, version)
            while not filling.is_complete(len(flying), drain=True):
                order.shuffle(flying)
                looks += 1
                for _ in range(order.randint(1, max(1, len(flying)))):
                    if flying:
                        filling.add(self._finish(flying.pop(), looks))
                groups = filling.to_dispatch(len(flying))
                filling.dispatched(groups)
                flying += self._send(groups, version)
            self.batches.append(filling.take())
            self.waited.append(filling.waiting)
        return self

    def _send(self, groups: int, version: int) -> list[Group]:
        first = len(self.sent)
        new = [
            group(str(i), self.rewards[i % len(self.rewards)], version=version, dispatched=i)
            for i in range(first, first + groups)
        ]
        self.sent += new
        return list(new)

    @staticmethod
    def _finish(one: Group, looks: int) -> Group:
        return Group(one.uid, one.env_id, one.version, one.dispatched, looks, one.rollouts)


@st.composite
def runs(draw: st.DrawFn) -> Run:
    wanted = draw(st.integers(1, 6))
    options = FillingOptions(
        max_staleness=draw(st.integers(0, 3)),
        max_gen_batches=draw(st.integers(2, 12)),
        refill_groups=draw(st.none() | st.integers(1, wanted)),
        order=draw(st.sampled_from(Order)),
    )
    rewards = draw(st.lists(st.sampled_from([VALID, VALID, ZERO, ONE]), min_size=1, max_size=23))
    return Run(wanted, draw(st.integers(1, 5)), options, [*rewards, VALID], draw(st.integers(0, 999)))


def safely(run: Run) -> Run:
    try:
        return run.play()
    except NoSignalError:
        return run


@given(runs())
def test_only_valid_groups_train_at_most_once_and_never_too_old(run):
    safely(run)
    trained = [one for batch in run.batches for one in batch.groups]
    assert max(Counter(one.uid for one in trained).values(), default=0) <= 1
    assert all(judge(one, run.options.delta) is Verdict.VALID for one in trained)
    for version, batch in enumerate(run.batches):
        assert all(0 <= version - one.version <= run.options.max_staleness for one in batch.groups)


@given(runs())
def test_every_valid_group_trains_waits_or_is_counted_as_stale(run):
    safely(run)
    if len(run.batches) < run.steps:
        return
    trained = {one.uid for batch in run.batches for one in batch.groups}
    valid = {one.uid for one in run.sent if judge(one, run.options.delta) is Verdict.VALID}
    assert len(valid) == len(trained) + len(run.stale) + run.waited[-1]
    assert trained.isdisjoint(run.stale)


@given(runs())
def test_a_batch_is_full_unless_the_cap_was_reached_and_the_buffer_stays_below_a_batch(run):
    safely(run)
    cap = (run.options.max_gen_batches - 1) * run.wanted
    chunk = run.options.refill_groups or run.wanted
    for batch, waiting in zip(run.batches, run.waited, strict=True):
        refilled = batch.metrics["filling/groups_refilled"]
        assert refilled <= cap
        assert len(batch.groups) == run.wanted or refilled + chunk > cap
        assert waiting < run.wanted


@given(runs(), st.integers(0, 999))
def test_in_dispatch_order_the_batches_do_not_depend_on_who_finishes_first(run, seed):
    options = FillingOptions(
        max_staleness=run.options.max_staleness,
        max_gen_batches=run.options.max_gen_batches,
        refill_groups=run.options.refill_groups,
        order=Order.DISPATCH,
        at_cap=AtCap.FLAT,
    )
    one = Run(run.wanted, run.steps, options, run.rewards, run.seed).play()
    other = Run(run.wanted, run.steps, options, run.rewards, seed).play()
    assert [[g.uid for g in b.groups] for b in one.batches] == [[g.uid for g in b.groups] for b in other.batches]
    assert [g.uid for g in one.sent] == [g.uid for g in other.sent]


@given(runs())
def test_the_wasted_share_is_what_never_trains(run):
    safely(run)
    if len(run.batches) < run.steps:
        return
    size = len(VALID)
    trained = size * sum(len(batch.groups) for batch in run.batches)
    rollouts = size * len(run.sent)
    expected = (rollouts - trained - size * run.waited[-1]) / rollouts
    assert abs(run.batches[-1].metrics["filling/wasted_share"] - expected) < 1e-9
