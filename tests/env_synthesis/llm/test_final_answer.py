"""The final answer: recomputed by expression, or found by judges who do not see it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from astra_gym.env_synthesis.llm.expression import Amount, ExpressionError, evaluate, names_in
from astra_gym.env_synthesis.llm.final_answer import check_final_answer, recomputed
from astra_gym.types import Verdict
from tests.env_synthesis.llm.museum import changed, drafted
from tests.llm.server import answering, ask, say, settings

VALUES = {
    "q1": Amount(12),
    "q2": Amount(5.5),
    "q3": Amount(3, "km"),
    "q4": Amount(4, "km"),
    "q5": Amount(900, "m"),
    "q6": "Oslo",
    "q7": [Amount(1), Amount(2), Amount(4)],
    "q8": True,
    "q9": Amount(0.1),
}


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("q1", Amount(12)),
        ("q1 - q2", Amount(6.5)),
        ("q9 + 0.2", Amount(0.3)),
        ("q1 / 4", Amount(3)),
        ("-q1 * 2", Amount(-24)),
        ("q3 + q4", Amount(7, "km")),
        ("q3 + 1", Amount(4, "km")),
        ("q3 * 2", Amount(6, "km")),
        ("q3 / q4", Amount(0.75)),
        ("max(q3, q4) - min(q3, q4)", Amount(1, "km")),
        ("abs(q2 - q1)", Amount(6.5)),
        ("round(q1 / 7, 2)", Amount(1.71)),
        ("round(2.5)", Amount(3)),
        ("round(0 - 2.5)", Amount(-3)),
        ("round(1.005, 2)", Amount(1.01)),
        ("sum(q7)", Amount(7)),
        ("sum([q1, q2])", Amount(17.5)),
        ("len(q7)", Amount(3)),
        ("sorted([q1, q2])", [Amount(5.5), Amount(12)]),
        ("[q6, q1, [q8]]", ["Oslo", Amount(12), [True]]),
        ("(q1, q2)", [Amount(12), Amount(5.5)]),
        ("q1 > q2", True),
        ("q3 >= q4", False),
        ("q6 == q6", True),
        ("q6 != q6", False),
        ("q7 == [1, 2, 4]", True),
    ],
)
def test_expressions_come_to_values(expression, expected):
    assert evaluate(expression, VALUES) == expected


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("q3 + q5", "mixes the units ['km', 'm']"),
        ("q1 / (q2 - q2)", "divides by 0"),
        ("q6 + q1", "q6 is a text; arithmetic needs numbers"),
        ("q8 * 2", "q8 is yes or no"),
        ("q6 > q6", "only numbers have an order"),
        ("q6 == q1", "compares a text with a number"),
        ("q10", "no sub-question 'q10'"),
        ("max([])", "has nothing to work on"),
        ("round(q1, 99)", "0 to 15"),
        ("round(q1, q2)", "0 to 15"),
        ("len(q1)", "needs one list"),
        ("q1 +", "is no expression"),
        ("", "is no expression"),
        ("q1 ** q1", "is none of"),
        ("q1 if q8 else q2", "is none of"),
        ("'Oslo'", "is none of"),
        ("True", "is none of"),
        ("q1 < q2 < q3", "is none of"),
        ("q6.upper()", "is none of"),
        ("open(q6)", "is none of"),
        ("().__class__", "is none of"),
        ("[x for x in q7]", "is none of"),
        ("max(q1, key=q2)", "is none of"),
        ("sum(*q7)", "is none of"),
        ("q1 " + "+ 1" * 400, "characters"),
        ("+".join(["q1"] * 150), "more than 200 parts"),
        ("1e999 + q1", "is no number"),
    ],
)
def test_what_is_not_in_the_grammar_or_has_no_value_is_refused(expression, said):
    with pytest.raises(ExpressionError) as error:
        evaluate(expression, VALUES)
    assert said in str(error.value)


@given(st.text(max_size=60))
def test_no_text_does_anything_but_evaluate_or_be_refused(text):
    try:
        evaluate(text, VALUES)
    except ExpressionError:
        return
    assert names_in(text) <= VALUES.keys()


@pytest.mark.parametrize(
    ("final", "expression", "status"),
    [
        (["28 EUR", "Tuesday"], "[q4, q3]", "pass"),
        (["28 EUR", "Tuesday"], "[q2 * 2, q3]", "pass"),
        (["29 EUR", "Tuesday"], "[q4, q3]", "fail"),
        (["28 EUR", "Monday"], "[q4, q3]", "fail"),
        (["28 EUR"], "[q4, q3]", "fail"),
        (["28 USD", "Tuesday"], "[q4, q3]", "fail"),
        ("28 EUR", "q4", "pass"),
        (28, "q4", "pass"),
        ("2800 cents", "q4", "fail"),
        ("14 EUR", "q4 - q2", "pass"),
        (2, "q4 / q2", "pass"),
        (True, "q4 > q2", "pass"),
        (False, "q4 > q2", "fail"),
        ("tuesday", "q3", "pass"),
        ("28 EUR", "q3 + q4", "fail"),
    ],
)
def test_the_final_answer_is_recomputed_from_the_sub_answers(final, expression, status):
    found = drafted(changed(answer=final))
    verdict = recomputed(found.decomposition, expression)
    assert verdict.status == status
    assert verdict.evidence["answer_from"] == expression
    assert ("problem" in verdict.evidence) == (status == "fail")


def test_amounts_are_converted_to_the_unit_of_the_answer():
    walk = drafted(changed("q2", answer="1.5 km"))
    metres = walk.decomposition.model_copy(update={"answer": drafted(changed(answer="1500 m")).decomposition.answer})
    assert recomputed(metres, "q2").status == "pass"
    assert recomputed(metres, "q2 * 2").status == "fail"


def entailed(*replies: dict[str, object], samples: int = 1) -> tuple[Verdict, list[str]]:
    """The verdict on the museum when judges say `replies`, in the order of their seeds, and what they were shown."""
    shown = []

    def answer(request):
        shown.append(request["messages"][1]["content"])
        return say(replies[request["seed"]])

    found = drafted(changed(answer_from="", answer=["28 EUR", "Tuesday"]))
    with answering(answer) as server:
        options = settings(server.base_url, judge_samples=samples, reasks=0)
        return ask(options, lambda llm: check_final_answer(found, llm)), shown


def said(answer: object, answerable: bool = True) -> dict[str, object]:
    return {"answerable": answerable, "answer": answer, "reason": "from q3 and q4"}


@pytest.mark.parametrize(
    ("replies", "status"),
    [
        ([said(["28 EUR", "Tuesday"])], "pass"),
        ([said(["28 EUR", "Monday"])], "fail"),
        ([said(None, answerable=False)], "fail"),
        ([said(["28 EUR", "Tuesday"], answerable=False)], "fail"),
        ([said(["28 EUR", "Tuesday"])] * 2 + [said("28 EUR")], "pass"),
        ([said(["28 EUR", "Tuesday"]), said("28 EUR")], "unknown"),
        ([{"answer": "28 EUR"}], "unknown"),
        ([{"answer": "x"}, {"answer": "x"}, said(["28 EUR", "Tuesday"])], "unknown"),
    ],
)
def test_without_a_program_judges_must_find_the_same_answer(replies, status):
    verdict, _ = entailed(*replies, samples=len(replies))
    assert verdict.check == "final_answer"
    assert verdict.status == status


@pytest.mark.parametrize(
    ("program", "final", "asked"),
    [
        ("q2 * 2", "28 EUR", 0),
        ("q2 * 100 / 60", "23.33 EUR", 0),
        ("q2 + 37", "51 EUR", 1),  # a fee that nobody has looked up
        ("q2 * 0 + 37.5", "37.5 EUR", 1),
        ("q2 * 0 + 7", "7 EUR", 1),  # small numbers are no better
    ],
)
def test_a_number_that_only_the_program_states_is_for_judges_to_find(program, final, asked):
    requests = []

    def answer(request):
        requests.append(request)
        return say(said("14 EUR"))

    found = drafted(changed(answer_from=program, answer=final))
    with answering(answer) as server:
        verdict = ask(settings(server.base_url), lambda llm: check_final_answer(found, llm))
    assert len(requests) == asked
    assert verdict.status == ("fail" if asked else "pass")
    if asked:
        assert verdict.evidence["problem"].endswith("the judges find '14 EUR' (from q3 and q4)")


def test_the_entailment_judge_is_not_shown_the_final_answer():
    gold = "41 visitors"

    def answer(request):
        assert "41" not in str(request["messages"])
        return say(said(gold))

    found = drafted(changed(answer_from="", answer=gold))
    with answering(answer) as server:
        verdict = ask(settings(server.base_url), lambda llm: check_final_answer(found, llm))
    assert verdict.status == "pass"


def test_a_program_asks_nobody():
    found = drafted()
    verdict = ask(settings("http://127.0.0.1:9/v1", retries=0), lambda llm: check_final_answer(found, llm))
    assert verdict.status == "pass"
