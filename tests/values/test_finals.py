"""What a final message gives as its answer, by each convention; and what it does not."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from astra_gym.answers import Answer
from astra_gym.values.finals import TAIL_CHARS

ANY = settings(deadline=None, database=None)
PARIS = Answer.parse("Paris")
KM = Answer.parse("42 km")
BARE = Answer.parse("42")
MONEY = Answer.parse("$18")
YES = Answer.parse("yes")
DAY = Answer.parse("October 5, 1987")
YEAR = Answer(kind="date", value="1987")
CHOICE = Answer(kind="text", value="Film A", choices=("Film A", "Film B", "Film A Returns"))
ITEMS = Answer(kind="set", value=["Oslo", "Rome", 3])
ORDER = Answer(kind="list", value=["Oslo", "Rome"])
DATA = Answer(kind="json", value={"a": [1, 2]})


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (PARIS, "Paris"),
        (PARIS, "**Paris**."),
        (PARIS, "The answer is Paris."),
        (PARIS, "The final answer is: **Paris**"),
        (PARIS, "Answer: paris, because the tool says so"),
        (PARIS, "The answer is Paris. It lies on the Seine."),
        (PARIS, "Final Answer:\n\nParis\n"),
        (PARIS, "The capital of France is Paris."),
        (PARIS, "The capital of France is Paris, which lies on the Seine."),
        (PARIS, "Capital: Paris"),
        (PARIS, "I looked it up.\n\nParis"),
        (PARIS, r"So \boxed{\text{Paris}}."),
        (PARIS, "<answer>Paris</answer> thanks"),
        (PARIS, "<think>London? The answer is London.</think>Paris"),
        (PARIS, "答案是Paris。"),
        (BARE, "42"),
        (BARE, "The answer is 42 eggs."),
        (BARE, "She has $42."),
        (BARE, "6 * 7 = 42"),
        (BARE, "So 6 * 7 = 42 litres are left of the 100 litres."),
        (BARE, "x = 3. The total is 42."),
        (BARE, "The answer is 6 * 7 = 42, not 41."),
        (BARE, "#### 42"),
        (BARE, r"$\boxed{42}$"),
        (BARE, r"It is \(42\)."),
        (BARE, "84/2"),
        (BARE, "It takes **42** minutes with 3 tools."),
        (KM, "It is 42 km, found in 3 steps."),
        (KM, "42,000 m"),
        (KM, "The distance is 42 kilometres."),
        (KM, "The distance is 42."),
        (KM, r"\boxed{42\,\text{km}}"),
        (MONEY, "She makes $18 every day for 7 days."),
        (MONEY, "18 dollars"),
        (Answer.parse("12%"), "It fell by 12 percent over 3 years."),
        (Answer.parse("12%"), "12"),
        (YES, "Yes, both are."),
        (YES, "Both were born there, so the answer is yes."),
        (YES, "So it is true."),
        (Answer.parse("no"), "No."),
        (Answer.parse("no"), "No, it is not true"),
        (DAY, "He was born on 5 October 1987."),
        (DAY, "The answer is 1987-10-05 (a Monday)."),
        (YEAR, "It happened in 1987."),
        (CHOICE, "Film A"),
        (CHOICE, "The older one was clearly Film A here."),
        (Answer(kind="text", value="Film A Returns", choices=CHOICE.choices), "It must be Film A Returns then"),
        (ITEMS, "Rome, 3 and Oslo"),
        (ITEMS, "They are: Rome, Oslo, 3."),
        (ITEMS, "Here they are:\n- Rome\n- 3\n- Oslo"),
        (ITEMS, 'The answer is ["Oslo", "Rome", 3].'),
        (ITEMS, "Answer:\n1. Rome\n2. 3\n3. Oslo"),
        (ORDER, "Oslo, Rome"),
        (ORDER, '```json\n["Oslo", "Rome"]\n```'),
        (DATA, 'It is {"a": [1, 2.0]}.'),
        (DATA, '```\n{"a": [1, 2]}\n```'),
        (Answer(kind="number", value=3, aliases=("three",)), "The answer is three."),
    ],
)
def test_the_answer_is_found(answer, text):
    assert answer.matches_text(text)


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (PARIS, ""),
        (PARIS, "London"),
        (PARIS, "Paris or London"),
        (PARIS, "Comparing Paris with London"),
        (PARIS, "The capital is not Paris."),
        (PARIS, "The answer is Paris, London, Rome"),
        (PARIS, "The answer is London. Paris"),
        (PARIS, r"Paris \boxed{London}"),
        (PARIS, "Parisian"),
        (PARIS, "The answer is Paris Hilton"),
        (PARIS, "<think>Paris</think>"),
        (BARE, "142"),
        (BARE, "4.2"),
        (BARE, "42 and then 43"),
        (BARE, "The answer is 43, not 42"),
        (BARE, "v42"),
        (BARE, "no number"),
        (BARE, r"\boxed{41} 42"),
        (KM, "42 kg"),
        (KM, "42 miles"),
        (KM, "First 42, then 43 km"),
        (MONEY, "18 €"),
        (Answer.parse("12%"), "0.12"),
        (YES, "No."),
        (YES, "No tool found it"),
        (YES, "yesterday"),
        (Answer.parse("no"), "No tool found it"),
        (DAY, "1987"),
        (DAY, "October 6, 1987"),
        (YEAR, "October 5, 1987"),
        (CHOICE, "Film A or Film B"),
        (CHOICE, "It is not Film A"),
        (CHOICE, "Film A Returns"),
        (CHOICE, "Film B"),
        (ITEMS, "Rome and Oslo"),
        (ITEMS, "Rome, 3, Oslo and Bonn"),
        (ORDER, "Rome, Oslo"),
        (DATA, '{"a": [2, 1]}'),
    ],
)
def test_what_is_not_the_answer_is_not_taken_for_it(answer, text):
    assert not answer.matches_text(text)


def test_only_the_end_of_a_long_text_is_read():
    filler = "and so on. " * 100_000
    assert BARE.matches_text(filler + "The answer is 42")
    assert not BARE.matches_text("The answer is 42" + " and so on." * TAIL_CHARS)


@ANY
@given(st.text(st.characters(), max_size=300), st.sampled_from([PARIS, BARE, KM, YES, DAY, CHOICE, ITEMS, ORDER, DATA]))
def test_reading_never_raises_whatever_is_written(text, answer):
    answer.matches_text(text)
    answer.matches_text("The answer is " + text)
    answer.matches_text(r"\boxed{" + text)
