"""Numbers, money and units as people write them."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from astra_gym.values.numbers import read_fraction, read_quantity, scan_quantities
from astra_gym.values.units import meanings

ANY = settings(deadline=None, database=None)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("42", 42),
        ("-42", -42),
        ("−42", -42),
        ("+3.50", 3.5),
        (".5", 0.5),
        ("1,151.5", 1151.5),
        ("1,234,567", 1234567),
        ("1 151.5", 1151.5),
        ("1\u202f151,5", 1151.5),
        ("1'234'567", 1234567),
        ("1.151,5", 1151.5),
        ("1.151.500", 1151500),
        ("1.151", 1.151),
        ("1,5", 1.5),
        ("0,151", 0.151),
        ("1234,567", 1234.567),
        ("1e3", 1000.0),
        ("1.5E-3", 0.0015),
        ("1.5 × 10^3", 1500.0),
        ("1.5×10³", 1500.0),
        ("2×10⁻²", 0.02),
        ("1.2 million", 1200000),
        ("3 billion", 3000000000),
        ("１２", 12),
    ],
)
def test_a_bare_number_is_read(text, value):
    read = read_quantity(text)
    assert (read.value, type(read.value), read.unit) == (value, type(value), None)


NO_QUANTITIES = ["", " ", "x", "1,23,4", "1,151,5", "12,34,567", "1.2.3", "1 15 1", "--5", "5-3", "1987-10-05", "10:30"]
NO_QUANTITIES += ["1/2/3", "nan", "inf", "Infinity", "1_000", "five", "²", "10/05/1987", "$", "$5 per day", "$5 kg"]
NO_QUANTITIES += ["ABC 123", "1" * 500]


@pytest.mark.parametrize("text", NO_QUANTITIES)
def test_what_is_no_quantity_is_not_read(text):
    assert read_quantity(text) is None


@pytest.mark.parametrize(
    ("text", "value", "wanted", "converted"),
    [
        ("1,500 m", 1500, "km", 1.5),
        ("1.5 kilometres", 1.5, "km", 1.5),
        ("1.5 Kilometers", 1.5, "km", 1.5),
        ("2 hours", 2, "min", 120),
        ("5 m²", 5, "m2", 5),
        ("5 m^2", 5, "sq m", 5),
        ("3 pounds", 3, "lb", 3),
        ("3 pounds", 3, "GBP", 3),
        ("$5", 5, "USD", 5),
        ("$5", 5, "CAD", 5),
        ("US$5", 5, "CAD", None),
        ("-$5", -5, "USD", -5),
        ("€1,000", 1000, "EUR", 1000),
        ("€1,000", 1000, "USD", None),
        ("$1.2M", 1200000, "USD", 1200000),
        ("$5k", 5000, "USD", 5000),
        ("50 cents", 50, "USD", 0.5),
        ("1200元", 1200, "CNY", 1200),
        ("USD 1,200", 1200, "USD", 1200),
        ("12%", 12, "%", 12),
        ("12 percent", 12, "%", 12),
        ("20 °C", 20, "°F", None),
        ("5 km", 5, "kg", None),
        ("5 MW", 5, "kW", 5000),
        ("5 mW", 5, "MW", 5e-9),
        ("5 K", 5, "K", 5),
        ("42 duck eggs", 42, "duck egg", 42),
        ("42 duck eggs", 42, "goose eggs", None),
        ("42 eggs", 42, "km", None),
        ("42 eggs", 42, None, None),
        ("0x10", 0, None, None),
        ("42", 42, "anything", 42),
    ],
)
def test_a_quantity_converts_only_within_its_dimension(text, value, wanted, converted):
    read = read_quantity(text)
    assert read.value == value
    found = read.in_unit(wanted)
    assert found is None if converted is None else found == pytest.approx(converted, rel=1e-12)


def test_spellings_without_regard_to_case_have_one_meaning_or_none():
    assert meanings("KM") == meanings("km")
    assert meanings("Mw") == ()
    assert meanings("MW") != meanings("mW")


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("It is 42 km away, in 3 steps.", [(42, "km"), (3, None)]),
        ("There are 5 in the box", [(5, None)]),
        ("$1,200.50 and 12%.", [(1200.5, "$"), (12, "%")]),
        ("3-5 of v2.0, the 5th, ABC123", [(3, None), (5, None)]),
        ("on 2024-01-05: 7", [(7, None)]),
        ("from 10 to -5", [(10, None), (-5, None)]),
        ("1,2,3", []),
        ("762 M&M's and 5 K or 5K", [(762, None), (5, "K"), (5, "K")]),
        ("He is 5'300 tall? (x)=9", [(9, None)]),
        ("", []),
    ],
)
def test_quantities_are_found_in_running_text(text, values):
    assert [(found.value, found.unit) for found in scan_quantities(text)] == values


def test_a_fraction_is_read_whole():
    assert read_fraction("3/4") == 0.75
    assert read_fraction("-1/2") == -0.5
    assert read_fraction("1/0") is None
    assert read_fraction("1/2/3") is None


@ANY
@given(st.integers(-(10**18), 10**18))
def test_every_integer_reads_back_plain_grouped_and_spaced(number):
    for text in (str(number), f"{number:,}", f"{number:,}".replace(",", " ")):
        assert read_quantity(text).value == number


@ANY
@given(st.floats(allow_nan=False, allow_infinity=False))
def test_every_float_reads_back(number):
    assert read_quantity(repr(number)).value == number


@ANY
@given(st.text(max_size=300))
def test_reading_never_raises(text):
    read_quantity(text)
    read_fraction(text)
    scan_quantities(text, "eggs")
    meanings(text)
