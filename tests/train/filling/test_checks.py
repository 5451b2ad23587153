from __future__ import annotations

import copy
import subprocess
import sys
from typing import Any

import pytest

from astra_train.filling.checks import PASS_RATE_DATASET, SAMPLER, check_filling
from astra_train.filling.errors import FillingConfigError

GOOD: dict[str, Any] = {
    "trainer": {
        "v1": {
            "trainer_mode": "sync",
            "sampler": {"custom_sampler": {"path": SAMPLER[0], "name": SAMPLER[1]}, "sampler_kwargs": {}},
        }
    },
    "data": {
        "train_batch_size": 16,
        "gen_batch_size": None,
        "dataloader_num_workers": 0,
        "custom_cls": {"path": PASS_RATE_DATASET[0], "name": PASS_RATE_DATASET[1]},
    },
    "algorithm": {"rollout_correction": {"bypass_mode": True, "rollout_is": None}, "filter_groups": {"enable": False}},
    "actor_rollout_ref": {"rollout": {"calculate_log_probs": True}},
}


def with_values(**values: Any) -> dict[str, Any]:
    config = copy.deepcopy(GOOD)
    for path, value in values.items():
        *folders, name = path.split("__")
        place = config
        for folder in folders:
            place = place[folder]
        place[name] = value
    return config


KWARGS = "trainer__v1__sampler__sampler_kwargs"
BYPASS = "algorithm__rollout_correction__bypass_mode"


@pytest.mark.parametrize(
    "values",
    [
        {},
        {BYPASS: False, "algorithm__rollout_correction__rollout_is": "token"},
        {BYPASS: False, KWARGS: {"max_staleness": 0}},
        {BYPASS: False, KWARGS: {"filter": False}},
        {KWARGS: {"refill_groups": 5}, "data__gen_batch_size": 1},
        {KWARGS: {"refill_groups": 5}, "algorithm__filter_groups__enable": True},
        {KWARGS: {"refill_groups": 5}, "trainer__v1__trainer_mode": "colocate_async"},
        {"trainer__v1__trainer_mode": "colocate_async", "trainer__v1__colocate_async": {"num_warmup_batches": 1}},
        {"actor_rollout_ref__rollout__n": 1, KWARGS: {"filter": False}},
        {"trainer__v1__sampler__custom_sampler": {"path": "pkg://astra_train/filling/sampler", "name": SAMPLER[1]}},
    ],
)
def test_a_config_that_fits_passes(values):
    check_filling(with_values(**values))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({BYPASS: False}, "set algorithm.rollout_correction.bypass_mode=true"),
        ({"actor_rollout_ref__rollout__calculate_log_probs": False}, "calculate_log_probs=true"),
        ({KWARGS: {"delta": -1.0}}, "delta"),
        ({"actor_rollout_ref__rollout__n": 1}, "a group of one has no spread"),
        (
            {"trainer__v1__trainer_mode": "colocate_async", "trainer__v1__colocate_async": {"num_warmup_batches": 1.5}},
            "set max_staleness to 3 or more",
        ),
        ({KWARGS: {"refill_groups": 5}}, "refill_groups=5 is not a multiple of data.gen_batch_size=16"),
        ({KWARGS: {"refill_groups": 6}, "data__gen_batch_size": 4}, "multiple of data.gen_batch_size=4"),
        ({KWARGS: {"refill_groups": 32, "max_gen_batches": 2}}, "nothing could be sent out"),
        ({"data__dataloader_num_workers": 8}, "set 0"),
        ({"trainer__v1__sampler__custom_sampler": {"path": None, "name": None}}, "reports outcomes"),
    ],
)
def test_a_config_under_which_training_goes_wrong_unnoticed_is_refused(values, message):
    with pytest.raises(FillingConfigError) as error:
        check_filling(with_values(**values))
    assert message in str(error.value)


def test_a_config_without_batch_filling_is_none_of_its_business():
    check_filling({})
    check_filling({"trainer": {"v1": {"sampler": {"custom_sampler": {"path": None, "name": None}}}}})


def test_importing_the_package_pulls_in_neither_torch_nor_verl():
    code = (
        "import sys, astra_train.filling, astra_train.filling.pass_rates; "
        "print([name for name in ('torch', 'verl', 'ray', 'transfer_queue', 'transformers') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
