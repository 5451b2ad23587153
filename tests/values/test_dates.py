"""Dates as people write them."""

from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from astra_gym.values.dates import is_iso_date, read_date, scan_dates

ANY = settings(deadline=None, database=None)


@pytest.mark.parametrize(
    ("text", "iso"),
    [
        ("1987-10-05", "1987-10-05"),
        ("1987/10/5", "1987-10-05"),
        ("1987-10-05T00:00:00Z", "1987-10-05"),
        ("1987-10-05 00:00:00", "1987-10-05"),
        ("October 5, 1987", "1987-10-05"),
        ("october 5th 1987", "1987-10-05"),
        ("Oct. 5, 1987", "1987-10-05"),
        ("5 October 1987", "1987-10-05"),
        ("5th of October, 1987", "1987-10-05"),
        ("Monday, October 5, 1987", "1987-10-05"),
        ("1987年10月5日", "1987-10-05"),
        ("25/12/1987", "1987-12-25"),
        ("12/25/1987", "1987-12-25"),
        ("10/10/1987", "1987-10-10"),
        ("31.12.1999", "1999-12-31"),
        ("June 1987", "1987-06"),
        ("1987-06", "1987-06"),
        ("1987年6月", "1987-06"),
        ("1987", "1987"),
        ("10/05/1987", None),
        ("1987-13-01", None),
        ("1987-02-30", None),
        ("February 29, 1987", None),
        ("1987-10-05T10:00:00", None),
        ("0000", None),
        ("25/12-1987", None),
        ("Oct", None),
        ("45/13/1987", None),
        ("19870", None),
        ("", None),
    ],
)
def test_a_date_is_read_when_it_can_be_one_day_only(text, iso):
    assert read_date(text) == iso


def test_only_existing_iso_dates_are_iso_dates():
    assert all(map(is_iso_date, ("1987-10-05", "1987-10", "1987")))
    assert not any(map(is_iso_date, ("1987-10-5", "1987-13", "0000", "1987-02-30", "87", "October 1987", "１９８７")))


def test_dates_are_found_in_running_text():
    text = "Born on October 5, 1987 (not 1986-01-02), in June 1990 or 1991; call 555-1234 or v1.1999."
    assert scan_dates(text) == ["1987-10-05", "1986-01-02", "1990-06", "1991"]
    assert scan_dates("该诊室，2031年10月12日有几位？自1987年起开放") == ["2031-10-12", "1987"]


@ANY
@given(st.dates())
def test_every_day_reads_back_from_its_unambiguous_forms(day: date):
    iso = day.isoformat()
    month = day.strftime("%B")
    for text in (iso, f"{month} {day.day}, {day.year:04}", f"{day.day} {month} {day.year:04}"):
        assert read_date(text) == iso
        assert scan_dates(f"It was {text}.") == [iso]


@ANY
@given(st.text(max_size=100))
def test_reading_never_raises(text):
    read_date(text)
    scan_dates(text)
