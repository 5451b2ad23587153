from __future__ import annotations

import pytest

from astra_train.filling.errors import NoSignalError
from astra_train.filling.filler import Batch, BatchFiller
from astra_train.filling.options import AtCap, FillingOptions, Order
from tests.train.filling.making import HALF, ONE, VALID, ZERO, group


def filler(**options) -> BatchFiller:
    return BatchFiller(FillingOptions(**options))


def uids(batch: Batch) -> list[str]:
    return [one.uid for one in batch.groups]


def test_the_first_n_valid_groups_train_and_the_surplus_opens_the_next_batch():
    filling = filler()
    filling.begin(2, version=0)
    for place, (uid, rewards) in enumerate([("a", ZERO), ("b", VALID), ("c", VALID), ("d", VALID)]):
        filling.add(group(uid, rewards, dispatched=place, finished=place))
    assert uids(filling.take()) == ["b", "c"]
    filling.begin(2, version=1)
    filling.add(group("e", version=1, dispatched=4))
    batch = filling.take()
    assert uids(batch) == ["d", "e"]
    assert (batch.metrics["filling/groups_from_buffer"], batch.metrics["filling/groups_fresh"]) == (1, 1)
    assert batch.metrics["filling/staleness_max"] == 1


@pytest.mark.parametrize(("order", "expected"), [(Order.COMPLETION, ["b", "c"]), (Order.DISPATCH, ["a", "b"])])
def test_the_order_decides_who_trains_first_and_ties_go_to_the_first_sent_out(order, expected):
    filling = filler(order=order)
    filling.begin(2, version=0)
    filling.add(group("a", dispatched=0, finished=9))
    filling.add(group("c", dispatched=2, finished=1))
    filling.add(group("b", dispatched=1, finished=1))
    assert uids(filling.take()) == expected


@pytest.mark.parametrize(
    ("limit", "dropped"), [(0, {"v0", "v1", "v2"}), (1, {"v0", "v1"}), (2, {"v0"}), (3, set()), (9, set())]
)
def test_waiting_groups_are_dropped_past_the_staleness_limit(limit, dropped):
    filling, stale = filler(max_staleness=limit), set()
    for version in range(4):
        stale |= {one.uid for one in filling.begin(0, version)}
        filling.add(group(f"v{version}", version=version))
    assert stale == dropped
    assert filling.waiting == 4 - len(dropped)


def test_a_group_that_arrives_too_old_never_trains():
    filling = filler(max_staleness=1)
    filling.begin(1, version=5)
    assert not filling.add(group("old", version=3))
    assert filling.add(group("new", version=4))
    batch = filling.take()
    assert uids(batch) == ["new"]
    assert batch.metrics["filling/dropped_stale"] == 1


@pytest.mark.parametrize(
    ("refill", "valid", "in_flight", "expected"),
    [(None, 3, 1, 0), (None, 3, 0, 4), (None, 0, 0, 4), (1, 1, 1, 2), (2, 1, 0, 4), (3, 0, 0, 6)],
)
def test_what_is_missing_even_if_all_in_flight_is_valid_is_sent_out_in_whole_refills(
    refill, valid, in_flight, expected
):
    filling = filler(refill_groups=refill)
    filling.begin(4, version=0)
    for i in range(valid):
        filling.add(group(str(i)))
    assert filling.to_dispatch(in_flight) == expected


def test_no_more_is_sent_out_than_the_cap_allows():
    filling = filler(max_gen_batches=3, refill_groups=3)
    filling.begin(4, version=0)
    sent = []
    while groups := filling.to_dispatch(0):
        filling.dispatched(groups)
        sent.append(groups)
    assert sent == [6]
    assert filling.is_complete(0, drain=True)
    assert not filling.is_complete(1, drain=True)
    assert filling.to_replace(5) == 2


def test_a_synchronous_trainer_waits_for_everything_in_flight():
    filling = filler()
    filling.begin(1, version=0)
    filling.add(group("a"))
    assert not filling.is_complete(3, drain=True)
    assert filling.is_complete(0, drain=True)
    assert filling.is_complete(3, drain=False)


@pytest.mark.parametrize(
    ("at_cap", "rewards", "trained", "discarded"),
    [
        (AtCap.SHORT, [VALID, ZERO, ZERO], ["0"], []),
        (AtCap.FLAT, [VALID, ZERO, ZERO, ONE], ["0", "1"], ["2", "3"]),
        (AtCap.FLAT, [ZERO, HALF], ["0", "1"], []),
        (AtCap.FLAT, [VALID, VALID, ONE], ["0", "1"], ["2"]),
    ],
)
def test_at_the_cap_the_batch_is_short_or_filled_up_with_flat_groups(at_cap, rewards, trained, discarded):
    filling = filler(at_cap=at_cap, max_gen_batches=1)
    filling.begin(2, version=0)
    for place, values in enumerate(rewards):
        filling.add(group(str(place), values, dispatched=place))
    batch = filling.take()
    assert uids(batch) == trained
    assert [one.uid for one in batch.discarded] == discarded
    assert batch.metrics["filling/groups_short"] == 2 - len(trained)


@pytest.mark.parametrize(
    ("at_cap", "rewards"),
    [
        (AtCap.SHORT, [ZERO, ZERO]),
        (AtCap.ERROR, [VALID, ZERO]),
        (AtCap.FLAT, [(None, None)]),
        (AtCap.SHORT, []),
    ],
)
def test_no_signal_at_the_cap_is_an_error(at_cap, rewards):
    filling = filler(at_cap=at_cap, max_gen_batches=1)
    filling.begin(2, version=6)
    for place, values in enumerate(rewards):
        filling.add(group(str(place), values))
    with pytest.raises(NoSignalError, match=r"step 7: 2 groups .* were wanted"):
        filling.take()


@pytest.mark.parametrize(
    ("rewards", "seen", "advice"),
    [
        (ZERO, "all_zero 3", "warm it up with SFT"),
        (ONE, "all_one 3", "harder envs"),
        (HALF, "flat 3", "lower sampler_kwargs.delta"),
        ((None, 1.0), "unusable 3", "agent loop's log"),
    ],
)
def test_the_error_says_what_was_seen_and_what_would_do(rewards, seen, advice):
    filling = filler(max_gen_batches=1)
    filling.begin(3, version=0)
    for i in range(3):
        filling.add(group(str(i), rewards))
    with pytest.raises(NoSignalError) as error:
        filling.take()
    message = str(error.value)
    usable = [reward for reward in rewards if reward is not None]
    assert seen in message
    assert advice in message
    assert f"Mean reward {sum(usable) / len(usable):.4f}" in message
    assert f"3 groups ({3 * len(rewards)} rollouts" in message


def test_without_the_filter_every_group_trains_and_nothing_more_is_sent_out():
    filling = filler(filter=False)
    filling.begin(3, version=0)
    filling.add(group("a", ZERO, dispatched=0))
    filling.add(group("b", (None, None, None, None), dispatched=1))
    filling.add(group("c", (1.0, None, None, None), dispatched=2))
    assert filling.to_dispatch(0) == filling.to_replace(1) == 0
    batch = filling.take()
    assert uids(batch) == ["a", "c"]
    assert batch.metrics["filling/invalid_all_zero"] == 1
    assert batch.metrics["filling/groups_short"] == 1


def test_the_statistics_add_up():
    filling = filler(max_staleness=0)
    filling.begin(1, version=0)
    for uid, rewards in [("a", VALID), ("b", (0.0, 1.0, None, 1.0)), ("c", ZERO), ("d", ONE), ("e", HALF)]:
        filling.add(group(uid, rewards))
    first = filling.take().metrics
    assert first["filling/groups_judged"] == 5
    assert first["filling/valid_share"] == pytest.approx(0.4)
    assert [first[f"filling/invalid_{v}"] for v in ("all_zero", "all_one", "flat", "unusable")] == [1, 1, 1, 0]
    assert (first["filling/rollouts"], first["filling/rollouts_masked"], first["filling/rollouts_wasted"]) == (
        20,
        1,
        13,
    )
    assert first["filling/rollouts_per_group"] == 20
    assert first["filling/groups_waiting"] == 1
    assert first["filling/wasted_share"] == pytest.approx(13 / 20)
    filling.begin(1, version=1)
    filling.add(group("f", version=1))
    second = filling.take().metrics
    assert second["filling/dropped_stale"] == 1
    assert second["filling/rollouts_wasted"] == 3
    assert second["filling/wasted_share"] == pytest.approx(16 / 24)
