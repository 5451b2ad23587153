"""Overrides: hydra reads back what was written, and a user's own win."""

from __future__ import annotations

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from astra_train.errors import TrainingError
from astra_train.training.overrides import combine, render, split_override


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        0,
        -1,
        2e-06,
        1e-4,
        0.05,
        "fp32",
        "/a folder/with 'quotes'",
        'say "no"',
        "a=b,c",
        "pkg://astra_train.data.sft_dataset",
        "back\\slash",
        "ends with \\",
        "null",
        "12",
        "True",
        "",
        "{x}",
        "naïve ü",
        [1, "two", None],
        ["/data/train set.parquet"],
        [],
        {"param_dtype": "fp32", "n": 1},
    ],
)
def test_hydra_reads_back_what_is_written(value):
    parsed = OverridesParser.create().parse_override(f"some.key={render(value)}")
    assert parsed.value() == value


def test_a_reference_stays_a_reference():
    assert render("${data.train_batch_size}") == "${data.train_batch_size}"


@pytest.mark.parametrize(
    ("own", "expected"),
    [
        (["a=9"], ["+b=2", "a=9"]),
        (["b=9"], ["a=1", "+b=9"]),
        (["+c=9"], ["a=1", "+b=2", "+c=9"]),
        (["~b"], ["a=1"]),
        (["~a"], ["+b=2", "~a"]),
        (["a=8", "a=9"], ["+b=2", "a=9"]),
        (["b.x=9"], ["a=1", "+b=2", "b.x=9"]),
    ],
)
def test_a_users_override_wins_and_keeps_the_presets_prefix(own, expected):
    assert combine(["a=1", "+b=2"], own) == expected


@pytest.mark.parametrize("text", ["novalue", "=3", "--flag", "two words=3", "+x"])
def test_what_is_no_override_is_refused(text):
    with pytest.raises(TrainingError, match="no override"):
        split_override(text)
