"""Typed answers: what can be one, what equals it, and that rendering and parsing are inverse."""

import copy
import json
import math
import pickle

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from astra_gym.answers import MAX_DEPTH, Answer
from astra_gym.errors import AnswerError, AstraError
from astra_gym.records import canonical_json

ANY = settings(deadline=None, database=None)

WORDS = st.text(st.characters(categories=["Lu", "Ll", "Lo", "N", "Zs", "Po", "Sm"]), min_size=1, max_size=40)
TEXTS = WORDS.filter(lambda text: text.strip() == text and text != "")
NUMBERS = st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
UNITS = st.sampled_from([None, "km", "kg", "°C", "m2", "min", "duck eggs", "people/km2"])
SCALARS = st.none() | st.booleans() | NUMBERS | WORDS
JSON_VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS, inner, max_size=4)
)
ITEMS = st.lists(NUMBERS | TEXTS | st.booleans(), max_size=6)
DATES = st.dates().map(lambda day: day.isoformat())
PARTIAL_DATES = st.tuples(DATES, st.sampled_from([10, 7, 4])).map(lambda pair: pair[0][: pair[1]])


def answers_of(kind: str, values: st.SearchStrategy, **fields: st.SearchStrategy) -> st.SearchStrategy[Answer]:
    return st.builds(Answer, kind=st.just(kind), value=values, **fields)


ANSWERS = st.one_of(
    answers_of("number", NUMBERS, unit=UNITS),
    answers_of("money", NUMBERS, unit=st.sampled_from([None, "USD", "EUR", "KES"])),
    answers_of("percentage", NUMBERS),
    answers_of("date", PARTIAL_DATES),
    answers_of("bool", st.booleans()),
    answers_of("text", TEXTS),
    answers_of("set", ITEMS),
    answers_of("list", ITEMS),
    answers_of("json", JSON_VALUES),
)
FEW = st.sampled_from([0, 1, 1.0, 2.5, "a", "A", "b", True, False])
SMALL = {
    "number": st.integers(-2, 2) | st.sampled_from([1.0, 1.5, -0.0]),
    "money": st.integers(-2, 2),
    "percentage": st.integers(-2, 2),
    "date": st.sampled_from(["1987", "1987-10", "1987-10-05", "1988"]),
    "bool": st.booleans(),
    "text": st.sampled_from(["a", "A", "á", "b", "the a", "1", "one", "a b"]),
    "set": st.lists(FEW, max_size=3),
    "list": st.lists(FEW, max_size=3),
    "json": st.recursive(st.none() | FEW, lambda inner: st.lists(inner, max_size=2), max_leaves=3),
}
HOSTILE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=40),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(st.characters(), max_size=8), inner, max_size=4)
    ),
)


@pytest.mark.parametrize(
    ("given", "kind", "value", "unit"),
    [
        ("1,151.5 km", "number", 1151.5, "km"),
        ("42", "number", 42, None),
        ("1987", "number", 1987, None),
        (42, "number", 42, None),
        (2.5, "number", 2.5, None),
        (2**80, "number", float(2**80), None),
        ("$1,200", "money", 1200, "USD"),
        ("$1.2 million", "money", 1200000, "USD"),
        ("€3.50", "money", 3.5, "EUR"),
        ("12%", "percentage", 12, None),
        ("12.5 percent", "percentage", 12.5, None),
        ("October 5, 1987", "date", "1987-10-05", None),
        ("1987-10-05", "date", "1987-10-05", None),
        ("June 1987", "date", "1987-06", None),
        ("Yes", "bool", True, None),
        ("false", "bool", False, None),
        (True, "bool", True, None),
        ('["a", 1]', "list", ["a", 1], None),
        ([1, 2], "list", [1, 2], None),
        ("3, 5, 7", "list", [3, 5, 7], None),
        ("Oslo; Rome", "list", ["Oslo", "Rome"], None),
        ("0; 1", "list", [0, 1], None),
        ('{"a": 1}', "json", {"a": 1}, None),
        ({"a": 1}, "json", {"a": 1}, None),
        ("Paris", "text", "Paris", None),
        (" Smith, John ", "text", "Smith, John", None),
        ("007", "text", "007", None),
        ("7 Samurai", "text", "7 Samurai", None),
        ("10/05/1987", "text", "10/05/1987", None),
        ("[broken", "text", "[broken", None),
        ("null", "text", "null", None),
        ("NaN", "text", "NaN", None),
        ("1e999", "text", "1e999", None),
    ],
)
def test_parse_infers_the_kind(given, kind, value, unit):
    answer = Answer.parse(given)
    assert (answer.kind, answer.value, answer.unit) == (kind, value, unit)
    assert type(answer.value) is type(value)
    assert answer.matches(given)


@pytest.mark.parametrize("nothing", ["", "  \n", None, float("nan"), float("inf"), 10**400])
def test_parse_refuses_what_states_nothing(nothing):
    with pytest.raises(AnswerError):
        Answer.parse(nothing)


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("1987", "date", "1987"),
        ("42", "text", "42"),
        ("18", "money", 18),
        ("12", "percentage", 12),
        ("42 duck eggs", "number", 42),
        ("a, b and c", "set", ["a", "b", "c"]),
        ("Oslo", "set", ["Oslo"]),
        ("[2, 1]", "set", [2, 1]),
        ("true", "json", True),
        ("no", "bool", False),
    ],
)
def test_parse_reads_a_text_as_the_kind_that_is_asked_for(text, kind, value):
    answer = Answer.parse(text, kind=kind)
    assert (answer.kind, answer.value) == (kind, value)


@pytest.mark.parametrize(
    ("text", "kind"),
    [("$5", "number"), ("5 km", "money"), ("x", "date"), ("42", "bool"), ("x", "json"), ("5 km", "percentage")],
)
def test_parse_refuses_a_text_of_another_kind(text, kind):
    with pytest.raises(AnswerError, match=f"is not a {kind}"):
        Answer.parse(text, kind=kind)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"kind": "number", "value": "42"}, "a number needs a finite number"),
        ({"kind": "number", "value": True}, "a number needs"),
        ({"kind": "number", "value": math.nan}, "a number needs"),
        ({"kind": "number", "value": 2**64}, "64 bits"),
        ({"kind": "money", "value": None}, "a money needs"),
        ({"kind": "date", "value": "October 5, 1987"}, "ISO 8601"),
        ({"kind": "date", "value": "1987-02-30"}, "ISO 8601"),
        ({"kind": "date", "value": 1987}, "ISO 8601"),
        ({"kind": "bool", "value": 1}, "true or false"),
        ({"kind": "bool", "value": "yes"}, "true or false"),
        ({"kind": "text", "value": " "}, "not blank"),
        ({"kind": "text", "value": 5}, "a text that"),
        ({"kind": "text", "value": "\ud800"}, "plain JSON"),
        ({"kind": "set", "value": "a"}, "a list"),
        ({"kind": "list", "value": {"a": 1}}, "a list"),
        ({"kind": "list", "value": [math.inf]}, "plain JSON"),
        ({"kind": "json", "value": {1: 2}}, "plain JSON"),
        ({"kind": "json", "value": (1, 2)}, "plain JSON"),
        ({"kind": "json", "value": {"a": object()}}, "plain JSON"),
        ({"kind": "text", "value": "a", "unit": "km"}, "has no unit"),
        ({"kind": "percentage", "value": 5, "unit": "%"}, "has no unit"),
        ({"kind": "money", "value": 5, "unit": "$"}, "ISO 4217"),
        ({"kind": "number", "value": 5, "unit": "million"}, "cannot be told apart"),
        ({"kind": "number", "value": 5, "unit": "7"}, "cannot be told apart"),
        ({"kind": "number", "value": 5, "unit": ""}, "must not be blank"),
        ({"kind": "number", "value": 5, "rel_tol": 1.0}, "less than 1"),
        ({"kind": "number", "value": 5, "abs_tol": -1}, "greater than or equal"),
        ({"kind": "number", "value": 5, "abs_tol": math.inf}, "finite"),
        ({"kind": "text", "value": "a", "aliases": ("",)}, "must not be blank"),
        ({"kind": "text", "value": "a", "choices": ("b", "c")}, "none of its choices"),
        ({"kind": "number", "value": 5, "tolerance": 1}, "Extra inputs"),
        ({"kind": "colour", "value": 5}, "Input should be"),
    ],
)
def test_an_answer_whose_value_does_not_fit_its_kind_cannot_be_made(fields, message):
    with pytest.raises(ValueError, match=message):
        Answer(**fields)


def test_deeply_nested_values_are_refused_and_compared_without_recursion_errors():
    deep: object = 1
    for _ in range(MAX_DEPTH + 1):
        deep = [deep]
    with pytest.raises(ValueError, match="nested"):
        Answer(kind="json", value=deep)
    for _ in range(100_000):
        deep = [deep]
    shallow = [Answer(kind="json", value=[[1]]), Answer(kind="list", value=[[1]]), Answer(kind="set", value=[[1]])]
    assert not any(answer.matches(deep) for answer in shallow)


def test_an_answer_error_is_a_value_error_of_this_library():
    assert issubclass(AnswerError, ValueError)
    assert issubclass(AnswerError, AstraError)


NUMBER = Answer(kind="number", value=42)
KM = Answer(kind="number", value=1.5, unit="km")
PRICE = Answer(kind="money", value=1200, unit="USD")
SHARE = Answer(kind="percentage", value=12)
DAY = Answer(kind="date", value="1987-10-05")
MONTH = Answer(kind="date", value="1987-10")
YEAR = Answer(kind="date", value="1987")
YES = Answer(kind="bool", value=True)
TEXT = Answer(kind="text", value="São Paulo", aliases=("Sampa",))
SET = Answer(kind="set", value=["Oslo", 3, True])
LIST = Answer(kind="list", value=["Oslo", 3, None])
DATA = Answer(kind="json", value={"a": [1, "x"], "b": None})


@pytest.mark.parametrize(
    ("answer", "value"),
    [
        (NUMBER, 42),
        (NUMBER, 42.0),
        (NUMBER, "42"),
        (NUMBER, " 42.0 "),
        (NUMBER, "84/2"),
        (KM, 1.5),
        (KM, "1.5"),
        (KM, "1.5 km"),
        (KM, "1,500 m"),
        (KM, "1.5 kilometres"),
        (PRICE, 1200),
        (PRICE, "$1,200"),
        (PRICE, "USD 1200.00"),
        (PRICE, "1.2 thousand dollars"),
        (Answer(kind="money", value=5), "€5"),
        (SHARE, 12),
        (SHARE, "12%"),
        (SHARE, "12 percent"),
        (SHARE, "12"),
        (DAY, "1987-10-05"),
        (DAY, "October 5, 1987"),
        (DAY, "1987-10-05T00:00:00"),
        (MONTH, "October 1987"),
        (YEAR, "1987"),
        (YEAR, 1987),
        (YES, True),
        (YES, "Yes"),
        (YES, "true"),
        (TEXT, "SAO PAULO"),
        (TEXT, "sampa."),
        (SET, [True, "oslo", 3.0]),
        (SET, [3, 3, "Oslo", True, True]),
        (SET, '["Oslo", 3, true]'),
        (Answer(kind="set", value=["a", "b"]), "b and a"),
        (Answer(kind="set", value=[]), []),
        (LIST, ["Oslo", "3", None]),
        (Answer(kind="list", value=[1, 2]), "1, 2"),
        (DATA, {"b": None, "a": [1.0, "x"]}),
        (DATA, '{"b": null, "a": [1, "x"]}'),
        (Answer(kind="number", value=10, abs_tol=0.5), 10.5),
        (Answer(kind="number", value=100, rel_tol=0.01), 99),
        (Answer(kind="number", value=0.3), 0.1 + 0.2),
        (Answer(kind="number", value=3, aliases=("three",)), "Three"),
    ],
)
def test_what_means_the_same_matches(answer, value):
    assert answer.matches(value)


@pytest.mark.parametrize(
    ("answer", "value"),
    [
        (NUMBER, 43),
        (NUMBER, "1423"),
        (NUMBER, "42 km"),
        (NUMBER, "$42"),
        (NUMBER, "42%"),
        (NUMBER, "the answer is 42"),
        (NUMBER, [42]),
        (NUMBER, {"value": 42}),
        (NUMBER, None),
        (NUMBER, ""),
        (NUMBER, math.nan),
        (NUMBER, math.inf),
        (NUMBER, 10**4000),
        (NUMBER, "9" * 100_000),
        (Answer(kind="number", value=1), True),
        (Answer(kind="number", value=0), False),
        (Answer(kind="number", value=0), ""),
        (Answer(kind="number", value=0), None),
        (Answer(kind="number", value=5), "1523"),
        (KM, 1500),
        (KM, "1.5 miles"),
        (KM, "1.5 kg"),
        (PRICE, "€1,200"),
        (PRICE, "1,200 km"),
        (SHARE, 0.12),
        (SHARE, "12 km"),
        (DAY, "1987"),
        (DAY, "1987-10"),
        (DAY, "1987-10-06"),
        (DAY, 1987),
        (MONTH, "1987-10-05"),
        (YEAR, "1987-10-05"),
        (YEAR, True),
        (YEAR, 1987.0),
        (YES, 1),
        (YES, "1"),
        (YES, False),
        (YES, None),
        (TEXT, ""),
        (TEXT, "Paulo"),
        (TEXT, "São Paulo and Rio"),
        (TEXT, ["São Paulo"]),
        (TEXT, 5),
        (Answer(kind="text", value="5"), 5),
        (SET, ["Oslo", 3]),
        (SET, ["Oslo", 3, True, 4]),
        (SET, ["Oslo", 3, 1]),
        (SET, []),
        (SET, "Oslo"),
        (LIST, [3, "Oslo", None]),
        (LIST, ["Oslo", 3]),
        (LIST, ["Oslo", 3, None, None]),
        (LIST, {"0": "Oslo"}),
        (DATA, {"a": [1, "X"], "b": None}),
        (DATA, {"a": [True, "x"], "b": None}),
        (DATA, {"a": [1, "x"]}),
        (DATA, {"a": [1, "x"], "b": None, "c": 1}),
        (DATA, "{'a': 1}"),
        (Answer(kind="json", value=None), "not json"),
        (Answer(kind="json", value=None), False),
        (Answer(kind="number", value=10, abs_tol=0.5), 10.51),
        (Answer(kind="number", value=2**53, rel_tol=0), 2**53 + 1),
    ],
)
def test_what_means_something_else_does_not_match(answer, value):
    assert not answer.matches(value)


@ANY
@given(ANSWERS)
@example(Answer(kind="number", value=-0.0, unit="°C"))
@example(Answer(kind="text", value="the"))
def test_an_answer_matches_its_value_and_what_it_renders(answer):
    rendered = answer.render()
    assert answer.matches(answer.value)
    assert answer.matches(rendered)
    assert answer.matches(f"  {rendered}\n")


@ANY
@given(ANSWERS)
def test_parse_of_its_kind_reads_back_what_an_answer_renders(answer):
    again = Answer.parse(answer.render(), kind=answer.kind)
    assert again == answer
    assert again.matches(answer.value)


@ANY
@given(ANSWERS)
def test_an_answer_survives_json_pickling_and_copying(answer):
    assert Answer.model_validate(json.loads(canonical_json(answer.to_json()))) == answer
    answer.matches(1)
    for twin in (pickle.loads(pickle.dumps(answer)), copy.deepcopy(answer)):
        assert twin == answer
        assert twin.matches(answer.value)


@ANY
@given(
    st.sampled_from(["number", "money", "percentage", "date", "bool", "text", "set", "list", "json"]).flatmap(
        lambda kind: st.lists(SMALL[kind].map(lambda value: Answer(kind=kind, value=value)), min_size=2, max_size=2)
    )
)
def test_comparison_is_symmetric_among_answers_of_a_kind(pair):
    left, right = pair
    assert left.matches(right.value) == right.matches(left.value)


@ANY
@given(NUMBERS, st.floats(1e-5, 1e6), st.sampled_from([1, -1]), UNITS)
def test_a_number_further_away_than_the_tolerance_does_not_match(value, factor, sign, unit):
    assume(abs(value) < 1e300)
    answer = Answer(kind="number", value=value, unit=unit, abs_tol=1e-3)
    margin = max(answer.abs_tol, answer.rel_tol * abs(value))
    assert answer.matches(value + sign * 0.99 * margin)
    assert not answer.matches(value + sign * margin * (1 + factor))


@ANY
@given(DATES, DATES)
def test_dates_match_only_the_same_day(one, other):
    assert Answer(kind="date", value=one).matches(other) == (one == other)


@ANY
@given(TEXTS, st.text("abcxyz 123", min_size=1, max_size=5))
def test_a_text_with_another_word_does_not_match(value, extra):
    assume(extra.strip())
    answer = Answer(kind="text", value=value)
    assert not answer.matches(f"{value} and then {extra}")
    assert not answer.matches(f"so {extra} {value}")


@ANY
@given(st.lists(st.integers(0, 50), unique=True, max_size=8), st.randoms(use_true_random=False))
def test_a_set_ignores_order_and_a_list_does_not(items, random):
    shuffled = random.sample(items, len(items))
    assert Answer(kind="set", value=items).matches(shuffled)
    assert Answer(kind="list", value=items).matches(shuffled) == (items == shuffled)
    assert not Answer(kind="set", value=items).matches([*shuffled, 51])
    assert not items or not Answer(kind="set", value=items).matches(shuffled[1:])


@ANY
@given(ANSWERS, HOSTILE)
def test_matching_is_total_and_fails_closed(answer, value):
    assert answer.matches(value) in (True, False)
    assert answer.matcher()(value) == answer.matches(value)


@ANY
@given(st.text(st.characters(), max_size=60) | HOSTILE)
@example("\ud800")
@example("1" * 5000)
@example("[" * 5000)
@example("1,000 km;;")
def test_parse_gives_an_answer_or_an_answer_error(given):
    try:
        answer = Answer.parse(given)
    except ValueError:
        assert not isinstance(given, str) or not given.strip()
        return
    canonical_json(answer.to_json())
    assert answer.matches(answer.render())


@pytest.mark.parametrize("kind", ["number", "text", "date", "bool", "set", "list", "json"])
def test_a_huge_text_is_refused_unread(kind):
    values = {"number": 1, "text": "x", "date": "1987", "bool": True, "set": ["x"], "list": ["x"], "json": {"x": 1}}
    answer = Answer(kind=kind, value=values[kind])
    for huge in ("x" * 10_000_000, " " * 10_000_000, "[" * 10_000_000, "1," * 5_000_000):
        assert not answer.matches(huge)
        assert not answer.matches_text(huge + "?")
