"""Questions that refer instead of naming, choices read off questions, and the program of a final answer."""

from __future__ import annotations

import pytest

from astra_gym.answers import Answer
from astra_gym.env_synthesis.llm.choices import with_choices
from astra_gym.env_synthesis.llm.referring import by_reference, program_of
from astra_gym.env_synthesis.llm.rules import broken_rule
from astra_gym.env_synthesis.llm.rules.stated import numbers_in
from astra_gym.registration import SHIPPED
from astra_gym.suite import open_suite
from astra_gym.types import Decomposition, GoldCall, SubQuestion


def step(sub_id, question, answer, *depends_on, path=""):
    call = GoldCall(tool="look_up", arguments={"of": [{"$ref": key} for key in depends_on]}) if path else None
    return SubQuestion(
        id=sub_id, question=question, answer=Answer.parse(answer), depends_on=depends_on, call=call, result_path=path
    )


def referring(*steps: SubQuestion, final: object = "Oslo") -> str:
    whole = Decomposition(id="d", question="What is it?", answer=Answer.parse(final), sub_questions=steps)
    return by_reference(whole).sub_questions[-1].question


@pytest.mark.parametrize(
    ("upstream", "question", "expected"),
    [
        ([("Oslo", "/city")], "Who runs Oslo?", "Who runs that city?"),
        ([("Oslo", "/city")], "Oslo is run by whom?", "That city is run by whom?"),
        ([("Oslo", "/city")], "Which trains from the city Oslo are late?", "Which trains from that city are late?"),
        ([("Oslo", "")], "Who runs Oslo?", "Who runs the answer to q1?"),
        ([("Oslo", "")], "谁管理Oslo？", "谁管理q1 的答案？"),
        ([("Oslo", "/city")], "Who runs Oslofjord?", "Who runs Oslofjord?"),
        (
            [("1,250.5 km", "/distance_km")],
            "How much is 1,250.5 kilometres in miles?",
            "How much is that distance in miles?",
        ),
        ([(-3.25, "/longitude")], "Which town lies at -3.25 degrees?", "Which town lies at that longitude?"),
        ([(7, "/count")], "Who came 7th when 7 were there?", "Who came 7th when that count were there?"),
        ([("2031-05-02", "/opened_on")], "Which weekday is 2031-05-02?", "Which weekday is that opened on?"),
        ([(["Oslo", "Bergen"], "/cities")], "How far apart are Oslo and Bergen?", "How far apart are those cities?"),
        (
            [("Oslo", "/city"), ("Bergen", "/city")],
            "How far is Bergen from Oslo?",
            "How far is the first city from the second city?",
        ),
        ([(True, "/open")], "Is yes the right answer?", "Is yes the right answer?"),
    ],
)
def test_upstream_answers_are_referred_to_in_words(upstream, question, expected):
    steps = [step(f"q{i}", f"Question {i}?", answer, path=path) for i, (answer, path) in enumerate(upstream, start=1)]
    assert referring(*steps, step("q9", question, "x", *(sub.id for sub in steps))) == expected


def test_only_declared_dependencies_are_referred_to():
    assert referring(step("q1", "Where?", "Oslo", path="/city"), step("q2", "Who runs Oslo?", "x")) == "Who runs Oslo?"


def test_referring_twice_changes_nothing_and_the_shipped_decompositions_keep_every_rule():
    from astra_gym.env_synthesis.llm.calibration.labelled import sound

    specs = [spec for spec in open_suite(SHIPPED) if len(spec.sub_questions) > 1][::4]
    for one in sound(specs):
        once = one.drafted.decomposition
        assert by_reference(once) == once
        assert broken_rule(one.drafted) is None, one.truth.id


@pytest.mark.parametrize(
    ("answers", "edges", "final", "program"),
    [
        (["Oslo", "Ola"], {"q2": ("q1",)}, "Ola", "q2"),
        ([3, 5], {}, [3, 5], "[q1, q2]"),
        ([3, 5], {}, [5, 3], ""),
        ([3, 5], {"q2": ("q1",)}, 8, ""),
    ],
)
def test_the_program_of_a_final_answer_is_read_off_the_last_steps(answers, edges, final, program):
    steps = [step(f"q{i}", f"Question {i}?", answer, *edges.get(f"q{i}", ())) for i, answer in enumerate(answers, 1)]
    whole = Decomposition(id="d", question="What?", answer=Answer.parse(final), sub_questions=tuple(steps))
    assert program_of(whole) == program


@pytest.mark.parametrize(
    ("question", "answer", "choices"),
    [
        ("Which is cheaper, the Aurora or the Borealis?", "Aurora", ("Aurora", "Borealis")),
        ("Does the Aurora or the Borealis sail first?", "Aurora", ("Aurora", "Borealis sail first")),
        ("Which sails first: Aurora, Borealis or Corona?", "Borealis", ("Borealis", "Aurora", "Corona")),
        ("Which of Aurora and Borealis sails first?", "Aurora", ("Aurora", "Borealis sails first")),
        ("Comparing Aurora with Borealis, which one sails first?", "Aurora", ("Aurora", "Borealis")),
        ("极光号还是北风号更便宜？", "极光号", ("极光号", "北风号更便宜")),
        ("Where does the Aurora sail from?", "Aurora", ()),
        ("Which ship sails from Ost on Tuesdays?", "Aurora", ()),
        ("Is it the Aurora that sails, or not?", "Corona", ()),
    ],
)
def test_choices_are_what_the_question_offers(question, answer, choices):
    assert with_choices(Answer(kind="text", value=answer), question).choices == choices


def test_numbers_of_a_long_text_are_all_found():
    values = {float(1237 * i) for i in range(400)}
    assert numbers_in(" ".join(f"{int(value):,} kg" for value in sorted(values))) == values
    assert numbers_in("共有1,250件展品，2 million visitors") == {1250.0, 2_000_000.0}
