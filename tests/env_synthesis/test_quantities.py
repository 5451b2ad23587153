from __future__ import annotations

from fractions import Fraction

import pytest

from astra_gym.env_synthesis.sources.quantities import derived_values, find_quantities


@pytest.mark.parametrize(
    ("text", "stated"),
    [
        ("16 eggs at $2.50", [(16, "plain"), (Fraction("2.5"), "money")]),
        ("1,200 pens, 20% off", [(1200, "plain"), (20, "percent")]),
        ("twenty-five dogs", [(25, "plain")]),
        ("two hundred and five cats", [(205, "plain")]),
        ("two thousand three hundred forty-one", [(2341, "plain")]),
        ("five and six", [(5, "plain"), (6, "plain")]),
        ("twice as many", [(2, "factor")]),
        ("two-thirds of them", [(2, "plain"), (3, "part")]),
        ("3 dozen", [(36, "plain"), (3, "plain"), (12, "plain")]),
        ("$2 million", [(2_000_000, "money"), (2, "money"), (1_000_000, "plain")]),
        ("a 12-mile trail", [(12, "plain")]),
        ("none at all, someone, often", []),
        (".5 of it", [(Fraction(1, 2), "plain")]),
    ],
)
def test_numbers_in_digits_and_in_words_are_found_with_their_form(text, stated):
    assert [(quantity.value, quantity.form) for quantity in find_quantities(text)] == stated


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("20% off", Fraction(4, 5)),
        ("20% more", Fraction(6, 5)),
        ("a third", Fraction(2, 3)),
        ("3/5 of it", Fraction(3, 5)),
    ],
)
def test_what_a_reader_makes_of_a_stated_number_counts_as_derived(text, value):
    assert value in derived_values(find_quantities(text))
