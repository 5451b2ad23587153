from __future__ import annotations

from typing import Any

import pytest

from astra_gym.env_synthesis.sources.comparisons import asked_for, compare_dates_tool, pick_date

DAY, YEAR, MONTH = "1911-05-04", "1930", "1930-06"


@pytest.fixture(scope="module")
def compare():
    namespace: dict[str, Any] = {}
    exec(compare_dates_tool().source, namespace)  # our own source, to see what it accepts

    def compare(pick: str, *dates: str) -> str:
        candidates = [{"name": f"n{i}", "date": date} for i, date in enumerate(dates)]
        return namespace["compare_dates"](candidates, pick)["name"]

    return compare


@pytest.mark.parametrize(
    ("pick", "dates", "winner"),
    [
        ("earliest", (DAY, YEAR), "n0"),
        ("latest", (DAY, YEAR), "n1"),
        ("latest", ("May 4, 1911", "4 May 1912"), "n1"),
        ("earliest", ("June 1930", "1930-05-31"), "n1"),
        ("latest", ("1930", "1931", "1929"), "n1"),
    ],
)
def test_dates_are_compared_in_any_usual_spelling(compare, pick, dates, winner):
    assert compare(pick, *dates) == winner


@pytest.mark.parametrize(
    "date", ["", "soon", "abc123", "32", "1930-13", "1930-01-40", "Oskar Lind", "19300", "1 2 1930"]
)
def test_what_is_no_date_is_refused(compare, date):
    with pytest.raises(ValueError, match="date"):
        compare("earliest", date, YEAR)


def test_dates_that_do_not_differ_as_far_as_given_are_refused(compare):
    with pytest.raises(ValueError, match="the same"):
        compare("earliest", YEAR, MONTH)
    assert pick_date({"a": YEAR, "b": MONTH}, "earliest") is None


@pytest.mark.parametrize(
    ("question", "names", "pick"),
    [
        ("Which film came out first, A or B?", (), "earliest"),
        ("Who is younger, A or B?", (), "latest"),
        ("Which film was released more recently?", (), "latest"),
        ("Who was born later, The First Man or B?", ("The First Man",), "latest"),
        ("Who was born first and who last?", (), None),
        ("Who was born in Oslo?", (), None),
    ],
)
def test_the_question_says_which_end_it_wants(question, names, pick):
    assert asked_for(question, names) == pick
