"""The GSM8K door on records made up here; the real files are walked in `test_data_sets.py`."""

from __future__ import annotations

import pickle
from typing import Any

import orjson
import pytest

from astra_gym.certify import Certifier
from astra_gym.env_synthesis.sources.gsm8k import Gsm8kSource
from astra_gym.errors import SuiteError
from astra_gym.types import Certificate, Rejected, ToolEnvSpec

PENS = {
    "question": "Mara buys 3 boxes of 12 pens. She gives away 8 pens and sells the rest for $2 each. Her profit?",
    "answer": "How many pens does Mara buy? ** She buys 3*12 = <<3*12=36>>36 pens.\n"
    "How many pens does Mara sell? ** She sells 36-8 = <<36-8=28>>28 pens.\n"
    "How much does Mara earn? ** She earns 28*2 = $<<28*2=56>>56.\n#### 56",
}


@pytest.fixture
def build(tmp_path):
    def build(question: str, answer: str, name: str = "made_up.jsonl") -> Any:
        path = tmp_path / name
        path.write_bytes(orjson.dumps({"question": question, "answer": answer}) + b"\n")
        source = Gsm8kSource(path)
        (item,) = source.items()
        return source.build(item)

    return build


@pytest.fixture(scope="module")
def certifier():
    with Certifier() as certifier:
        yield certifier


def solution(*steps: str, final: str) -> str:
    return "\n".join([*steps, f"#### {final}"])


def edges(spec: ToolEnvSpec) -> set[tuple[str, str]]:
    assert isinstance(spec, ToolEnvSpec), spec
    return set(spec.edges)


def test_each_calculation_becomes_a_named_tool_over_named_numbers(build):
    spec = build(**PENS)
    assert [tool.name for tool in spec.tools] == [
        "compute_pens_mara_buy",
        "compute_pens_mara_sell",
        "compute_mara_earn",
    ]
    assert [sub.call.arguments for sub in spec.sub_questions] == [
        {"boxes": 3, "pens": 12},
        {"pens_mara_buy": {"$ref": "q1"}, "pens": 8},
        {"pens_mara_sell": {"$ref": "q2"}, "dollars_per_item": 2},
    ]
    assert [sub.result_path for sub in spec.sub_questions] == ["/pens", "/pens", "/dollars"]
    assert (spec.answer.kind, spec.answer.value, spec.answer.unit) == ("money", 56, "USD")
    assert spec.scenario_type == "Multi-Hop"
    assert (spec.provenance.dataset, spec.provenance.license, spec.provenance.record) == (
        "GSM8K",
        "MIT",
        "made_up.jsonl:1",
    )


def test_what_is_built_is_certified(build, certifier):
    assert isinstance(certifier.certify(build(**PENS)), Certificate)


def test_records_without_sub_questions_get_them_from_their_own_words(build, certifier):
    answer = "\n".join(line.partition(" ** ")[2] or line for line in PENS["answer"].splitlines())
    spec = build(PENS["question"], answer)
    assert [sub.question for sub in spec.sub_questions] == [
        "Fill in the blank: She buys ____ pens.",
        "Fill in the blank: She sells ____ pens.",
        "Fill in the blank: She earns ____",
    ]
    assert isinstance(certifier.certify(spec), Certificate)


def test_no_tool_document_tells_a_result_that_the_question_does_not_state(build):
    spec = build(
        "A hall has 4 rows of 9 chairs. 10 chairs are taken. How many of the chairs are free?",
        solution(
            "How many chairs are there? ** 4*9 = <<4*9=36>>36 chairs.",
            "How many of the 36 chairs are free? ** 36-10 = <<36-10=26>>26.",
            final="26",
        ),
    )
    documents = " ".join(f"{tool.description} {tool.parameters}" for tool in spec.tools)
    assert "36" not in documents
    assert "26" not in documents


@pytest.mark.parametrize(
    ("question", "steps", "final", "expected"),
    [
        pytest.param(
            "A rope of 30 m is cut into 5 parts; 2 parts are used. How many metres are used?",
            ["How long is a part? ** <<30/5=6>>6", "How many metres are used? ** 2*6 = <<2*6=12>>12"],
            "12",
            {("q1", "q2")},
            id="a number that only an earlier step has is that step's result",
        ),
        pytest.param(
            "Ann has 4 red beads and twice as many blue beads. How many beads has she, with 8 more from her aunt?",
            [
                "How many blue beads has Ann? ** <<4*2=8>>8",
                "How many beads has Ann? ** <<4+8=12>>12",
                "How many beads with those of the aunt? ** <<12+8=20>>20",
            ],
            "20",
            None,
            id="a result that is used by no number that must be it is ambiguous",
        ),
        pytest.param(
            "A baker sells 10 loaves at $4 and 8 cakes at $5. How much does he take?",
            [
                "How much for the loaves? ** <<10*4=40>>40",
                "How much for the cakes? ** <<8*5=40>>40",
                "How much in all? ** 40+40 = <<40+40=80>>80",
            ],
            "80",
            {("q1", "q3"), ("q2", "q3")},
            id="two equal results that are both used once go in order",
        ),
        pytest.param(
            "A club of 12 buys shirts: each of the 12 pays $3 for 4 shirts. What is the price of all?",
            ["How many dollars for each? ** <<3*4=12>>12", "What is the price of all? ** 12*12 = <<12*12=144>>144"],
            "144",
            {("q1", "q2")},
            id="of two equal numbers one is the result, the other the question's",
        ),
        pytest.param(
            "Kim runs 4 laps in the morning and 3 at night. How many laps are run in two weeks and one day more?",
            [
                "How many laps a day? ** <<4+3=7>>7 laps",
                "How many laps a week? ** A week has 7 days, so Kim runs 7*7 = <<7*7=49>>49 laps",
                "How many laps in two weeks? ** 49*2 = <<49*2=98>>98 laps",
                "How many laps with one day more? ** 98+7 = <<98+7=105>>105 laps",
            ],
            "105",
            {("q1", "q2"), ("q2", "q3"), ("q3", "q4"), ("q1", "q4")},
            id="where the units are named a number is their constant once, and a result elsewhere",
        ),
    ],
)
def test_dependencies_follow_the_values(build, question, steps, final, expected):
    built = build(question, solution(*steps, final=final))
    if expected is None:
        assert isinstance(built, Rejected)
        assert built.stage == "flow"
    else:
        assert edges(built) == expected


def test_in_a_square_of_equal_numbers_only_one_is_the_reference(build):
    spec = build(
        "Each of 6 dogs needs 2 pairs of shoes at $12 a pair. What is the price?",
        solution("How many pairs? ** <<6*2=12>>12", "What is the price? ** 12*12 = $<<12*12=144>>144", final="144"),
    )
    literal, reference = sorted(spec.sub_questions[1].call.arguments.values(), key=str)
    assert (literal, reference) == (12, {"$ref": "q1"})


@pytest.mark.parametrize(
    ("steps", "final", "stage", "reason"),
    [
        (["How many? ** <<3*4=13>>13"], "13", "parse", "gives 12, not 13"),
        (["How many? ** <<3*=12>>12"], "12", "parse", "expected a number"),
        (["How many? ** <<3*4>>12"], "12", "parse", "expression=value"),
        (["How many? ** <<3/0=0>>0"], "0", "parse", "divides by zero"),
        (["How many? ** <<__import__('os')=1>>1"], "1", "parse", "expected a number"),
        (["Define a variable ** Let x be the number."], "12", "parse", "no line states a calculation"),
        (["How many? ** <<3*4=12>>12"], "13", "flow", "final answer is 13"),
        (["How many? ** <<3*4=12>>12", "How many now? ** <<3+4=7>>7"], "7", "flow", "used by no later step"),
        (["How many? ** <<77*3=231>>231"], "231", "flow", "77 of step 1 stands neither in the question"),
        (["How many? ** <<3*0=0>>0"], "0", "tools", "does not depend on"),
        (["How many? ** <<3*4=12>>12"], "many", "parse", "the final answer"),
    ],
)
def test_a_record_that_does_not_hold_is_rejected_with_its_reason(build, steps, final, stage, reason):
    built = build("There are 3 bags with 4 nuts.", solution(*steps, final=final))
    assert isinstance(built, Rejected)
    assert built.stage == stage
    assert reason in built.reason


def test_a_missing_last_line_is_a_parse_rejection(build):
    built = build("There are 3 bags with 4 nuts.", "How many? ** <<3*4=12>>12")
    assert (built.stage, "'#### answer'" in built.reason) == ("parse", True)


def test_an_unmarked_equation_that_holds_is_a_calculation(build):
    spec = build(
        "There are 3 bags with 4 nuts each; 2 nuts are bad. How many are good?",
        solution("How many nuts? ** <<3*4=12>>12", "How many are good? ** 12 nuts - 2 nuts = 10 nuts", final="10"),
    )
    assert [sub.answer.value for sub in spec.sub_questions] == [12, 10]


def test_a_line_that_only_says_a_number_needs_no_tool(build):
    spec = build(
        "There are 3 bags with 4 nuts each. How many nuts are there?",
        solution("How many bags are there? ** There are 3 bags.", "How many nuts? ** <<3*4=12>>12", final="12"),
    )
    assert [(sub.id, sub.call is None) for sub in spec.sub_questions] == [("q1", True), ("q2", False)]


def test_a_line_in_letters_allows_no_number_from_nowhere(build):
    steps = ["Define a variable ** Let x be the bags.", "How many nuts? ** 5*x = <<5*4=20>>20"]
    built = build("There are some bags with 4 nuts each.", solution(*steps, final="20"))
    assert (built.stage, "5 of step 1" in built.reason) == ("flow", True)


def test_a_rounded_result_is_rounded_by_the_tool(build, certifier):
    spec = build(
        "7 friends share $50 and each buys 3 cards of equal price with all of it. What is the price of a card?",
        solution(
            "What does each get? ** $<<50/7=7.14>>7.14", "What does a card cost? ** $<<7.14/3=2.38>>2.38", final="2.38"
        ),
    )
    assert "rounded to 2 decimal places" in spec.tools[0].description
    assert isinstance(certifier.certify(spec), Certificate)


@pytest.mark.parametrize(
    ("steps", "parameters"),
    [
        (["What is 15% of it? ** <<15/100*60=9>>9"], {"percent", "dollars_per_month"}),
        (["How much a year? ** <<60*12=720>>720 a year"], {"dollars_per_month"}),
        (["What is half of it? ** <<60/2=30>>30"], {"dollars_per_month"}),
    ],
)
def test_constants_of_units_belong_to_the_tool(build, steps, parameters):
    final = steps[0].rpartition("=")[2].partition(">>")[0]
    spec = build("Half of the 15% of $60 a month is saved. How much is asked for?", solution(*steps, final=final))
    assert set(spec.sub_questions[0].call.arguments) == parameters


def test_two_steps_with_one_question_are_two_tools(build):
    spec = build(
        "Jo earns $20 an hour, 5 hours a day, for 4 days. How much does Jo earn?",
        solution(
            "How much does Jo earn? ** <<20*5=100>>100", "How much does Jo earn? ** <<100*4=400>>400", final="400"
        ),
    )
    assert [tool.name for tool in spec.tools] == ["compute_jo_earn", "compute_jo_earn_product"]


@pytest.mark.parametrize(
    "record",
    [{}, {"question": "How many?"}, {"question": 3, "answer": "#### 3"}, {"question": " ", "answer": "#### 3"}],
)
def test_a_record_without_its_fields_is_a_parse_rejection(tmp_path, record):
    path = tmp_path / "records.jsonl"
    path.write_bytes(orjson.dumps(record))
    source = Gsm8kSource(path)
    (item,) = source.items()
    built = source.build(item)
    assert isinstance(built, Rejected)
    assert (built.id, built.stage) == ("gsm8k-records-00000-v0", "parse")


def test_the_door_is_the_same_on_every_run_and_can_be_pickled(tmp_path):
    path = tmp_path / "pens.jsonl"
    path.write_bytes(orjson.dumps(PENS) + b"\n{oops\n")
    source = Gsm8kSource(path, skip_bad=True, prefix="mine", version="abc")
    copied = pickle.loads(pickle.dumps(source))
    assert list(source.items()) == list(copied.items())
    item = next(source.items())
    assert source.build(item) == copied.build(item)
    assert source.build(item).id == "mine-00000-v0"
    assert source.build(item).provenance.version == "abc"
    with pytest.raises(SuiteError, match="jsonl:2:"):
        list(Gsm8kSource(path).items())
