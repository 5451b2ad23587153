from __future__ import annotations

import pytest

from astra_train.filling.errors import FillingConfigError
from astra_train.filling.options import AtCap, FillingOptions, Order
from astra_train.filling.pass_rates import PassRateOptions


def test_options_are_read_from_the_sampler_kwargs():
    read = FillingOptions.from_mapping(
        {"delta": 0, "order": "dispatch", "at_cap": "flat", "refill_groups": 4, "filter": False}
    )
    assert read == FillingOptions(delta=0.0, order=Order.DISPATCH, at_cap=AtCap.FLAT, refill_groups=4, filter=False)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"delat": 0.1}, "unknown delat; known are at_cap, delta"),
        ({"delta": -0.1}, "sampler_kwargs.delta: -0.1 is out of range"),
        ({"delta": float("nan")}, "out of range"),
        ({"delta": "0.1"}, "'0.1', but it must be of type float"),
        ({"max_staleness": -1}, "max_staleness"),
        ({"max_staleness": True}, "of type int"),
        ({"max_staleness": None}, "of type int"),
        ({"max_gen_batches": 0}, "max_gen_batches"),
        ({"refill_groups": 0}, "refill_groups"),
        ({"poll_interval_s": 0}, "poll_interval_s"),
        ({"order": "fastest"}, "one of completion, dispatch"),
        ({"at_cap": "stop"}, "one of short, flat, error"),
        ({"metric": ""}, "metric"),
    ],
)
def test_a_wrong_option_is_refused_by_name(values, message):
    with pytest.raises(FillingConfigError, match=r"trainer\.v1\.sampler\.sampler_kwargs|sampler_kwargs\.") as error:
        FillingOptions.from_mapping(values)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"groupsize": 8}, "unknown groupsize"),
        ({"group_size": 1}, "group_size"),
        ({"discount": 0.0}, "discount"),
        ({"explore": 1.5}, "explore"),
        ({"no_repeat": 1.0}, "no_repeat"),
        ({"prior": 0.0}, "prior"),
        ({"power": -1.0}, "power"),
        ({"metric": ""}, "metric"),
    ],
)
def test_a_wrong_pass_rate_option_is_refused_by_name(values, message):
    with pytest.raises(FillingConfigError, match=r"data\.pass_rates") as error:
        PassRateOptions.from_mapping(values)
    assert message in str(error.value)
