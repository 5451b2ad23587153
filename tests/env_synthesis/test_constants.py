from __future__ import annotations

from fractions import Fraction

import pytest

from astra_gym.env_synthesis.sources.constants import is_unit_constant


@pytest.mark.parametrize(
    ("value", "text", "expected"),
    [
        (60, "90 minutes are 90/60 hours", True),
        (60, "60 bees left in 6 hours", False),
        (7, "every day of the week", True),
        (7, "7 days were left", False),
        (12, "a year has 12 months", True),
        (12, "84 eggs are 7 dozen", True),
        (100, "20% of it", True),
        (100, "100 of them", False),
        (Fraction(1, 100), "20% * 200", True),
        (1000, "2 km in meters", True),
        (5, "5 days a week", False),
    ],
)
def test_a_number_is_a_constant_where_both_its_units_are_named(value, text, expected):
    assert is_unit_constant(Fraction(value), text) is expected
