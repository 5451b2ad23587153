"""What gets a certificate and what does not."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from astra_gym.answers import Answer
from astra_gym.certify import Certifier, certify, with_certificate
from astra_gym.errors import SpecError
from astra_gym.types import Certificate, GoldCall, Rejected, SubQuestion, ToolEnvSpec, ToolFunction
from tests.specs import ALL, CHAIN, JOIN, NUMBER, STATEFUL, STRING, number, text, tool


@pytest.fixture(scope="module")
def certifier() -> Iterator[Certifier]:
    with Certifier() as certifier:
        yield certifier


def altered(spec: ToolEnvSpec, **changes: object) -> ToolEnvSpec:
    """`spec` with fields replaced, checked anew."""
    return ToolEnvSpec.model_validate({**spec.to_json(), **changes})


def with_source(spec: ToolEnvSpec, name: str, source: str) -> ToolEnvSpec:
    tools = [t.model_copy(update={"source": source}) if t.name == name else t for t in spec.tools]
    return spec.model_copy(update={"tools": tuple(tools)})


def with_tool(spec: ToolEnvSpec, extra: ToolFunction) -> ToolEnvSpec:
    return spec.model_copy(update={"tools": (*spec.tools, extra)})


def single(answer: Answer, question: str, extra: ToolFunction, call: GoldCall, path: str = "") -> ToolEnvSpec:
    """An env of one sub-question and one tool."""
    sub = SubQuestion(id="q1", question=question, answer=answer, call=call, result_path=path)
    fields = {"id": "one-v0", "question": question, "answer": answer, "sub_questions": (sub,), "tools": (extra,)}
    return CHAIN.model_copy(update={**fields, "data": {}})


@pytest.mark.parametrize("spec", ALL, ids=lambda spec: spec.id)
def test_a_sound_env_is_certified_with_every_check_passed(certifier: Certifier, spec: ToolEnvSpec) -> None:
    certificate = certifier.certify(spec)
    assert isinstance(certificate, Certificate), certificate
    assert [check.check for check in certificate.checks] == [
        "replay",
        "determinism",
        "sensitivity",
        "leak",
        "other_tools",
    ]
    assert {check.status for check in certificate.checks} == {"pass"}
    assert with_certificate(spec, certificate).content_hash() == certificate.content_hash


def test_the_certificate_is_the_same_value_every_time(certifier: Certifier) -> None:
    assert certifier.certify(JOIN) == certify(JOIN)


def test_a_certificate_of_other_content_cannot_be_attached(certifier: Certifier) -> None:
    certificate = certifier.certify(CHAIN)
    assert isinstance(certificate, Certificate)
    with pytest.raises(SpecError, match="certificate is of"):
        with_certificate(JOIN, certificate)


CONSTANT = "def get_country(name):\n    return {'capital': 'Oslo'}\n"
ECHO = tool("Round a price.", {"amount": NUMBER}, "def rounded(amount):\n    return amount\n")
LUCKY = tool(
    "Draw a lot.", {"name": STRING}, "import random\ndef draw(name):\n    return len(name) * random.random()\n"
)
TWIN = tool(
    "Another directory.",
    {"name": STRING},
    "def directory(name):\n    return {'capital': COUNTRIES[name]['capital']}\n",
)
WORD_COUNT = tool("Count words.", {"text": STRING}, "def count_words(text):\n    return len(text.split())\n")

REJECTED = {
    "a tool that ignores its argument": (
        with_source(CHAIN, "get_country", CONSTANT),
        "sensitivity",
        "whatever 'name' is",
    ),
    "a tool that hands its argument back": (
        single(number(12.5), "What is 12.5 rounded?", ECHO, GoldCall(tool="rounded", arguments={"amount": 12.5})),
        "sensitivity",
        "only gives back its argument 'amount'",
    ),
    "a wrong gold answer": (
        altered(
            CHAIN,
            answer={"kind": "text", "value": "Bergen"},
            sub_questions=[
                {**sub.to_json(), "answer": {"kind": "text", "value": "Bergen"}} if sub.id == "q3" else sub.to_json()
                for sub in CHAIN.sub_questions
            ],
        ),
        "replay",
        "does not give 'Bergen' at '/capital'",
    ),
    "a gold call that the schema refuses": (
        altered(
            STATEFUL,
            sub_questions=[
                {**STATEFUL.sub_questions[0].to_json(), "call": {"tool": "transfer", "arguments": {"source": "Ada"}}},
                STATEFUL.sub_questions[1].to_json(),
            ],
        ),
        "replay",
        "fails",
    ),
    "a tool that raises": (
        with_source(CHAIN, "get_film", "def get_film(title):\n    raise ValueError('closed today')\n"),
        "replay",
        "closed today",
    ),
    "an answer in the question": (
        altered(CHAIN, question=CHAIN.question + " (Hint: it is not Bergen but OSLO!)"),
        "leak",
        "stands in the question",
    ),
    "an answer in a tool document": (
        with_tool(CHAIN, tool("Time in Oslo and elsewhere.", {"city": STRING}, "def now_in(city):\n    return city\n")),
        "leak",
        "the description of tool now_in",
    ),
    "an intermediate answer in a schema": (
        with_tool(
            CHAIN,
            tool(
                "Time in a country.",
                {"country": {"type": "string", "examples": ["Norway"]}},
                "def time_in(country):\n    return len(country)\n",
            ),
        ),
        "leak",
        "the schema of tool time_in",
    ),
    "an answer that depends on chance": (
        single(number(3), "Draw for Ada.", LUCKY, GoldCall(tool="draw", arguments={"name": "Ada"})).model_copy(),
        "replay",
        "does not give",
    ),
    "another tool that answers too": (with_tool(CHAIN, TWIN), "other_tools", "directory also answers 'q3'"),
    "source outside the policy": (
        with_source(CHAIN, "get_film", "import os\ndef get_film(title):\n    return os.listdir(title)\n"),
        "sources",
        "os",
    ),
    "a tool that never ends": (
        with_source(CHAIN, "get_film", "def get_film(title):\n    while True:\n        pass\n"),
        "replay",
        "fails",
    ),
}


@pytest.mark.parametrize(("spec", "stage", "reason"), REJECTED.values(), ids=REJECTED)
def test_a_flawed_env_is_rejected_at_the_stage_of_its_flaw(
    certifier: Certifier, spec: ToolEnvSpec, stage: str, reason: str
) -> None:
    rejected = certifier.certify(spec)
    assert isinstance(rejected, Rejected)
    assert rejected.stage == stage, rejected
    assert reason in rejected.reason


def test_chance_that_happens_to_fit_one_seed_is_not_deterministic(certifier: Certifier) -> None:
    coin = tool(
        "Toss.", {"name": STRING}, "import random\ndef toss(name):\n    return [name, random.randint(1, 10**9)]\n"
    )
    spec = single(
        Answer(kind="json", value=None), "Toss for Ada.", coin, GoldCall(tool="toss", arguments={"name": "Ada"})
    )
    rejected = certifier.certify(spec)
    assert isinstance(rejected, Rejected)
    seen = rejected.evidence["output"]
    lucky = altered(
        spec,
        answer={"kind": "json", "value": seen},
        sub_questions=[{**spec.sub_questions[0].to_json(), "answer": {"kind": "json", "value": seen}}],
    )
    again = certifier.certify(lucky)
    assert isinstance(again, Rejected)
    assert again.stage == "determinism"


def test_a_number_that_coincides_with_an_operand_is_recorded_not_refused(certifier: Certifier) -> None:
    double = tool("Twice a number.", {"x": NUMBER}, "def twice(x):\n    return 2 * x\n")
    call = GoldCall(tool="twice", arguments={"x": 4})
    spec = single(number(8), "There are 8 tables; how many legs have 4 two-legged ones?", double, call)
    certificate = certifier.certify(spec)
    assert isinstance(certificate, Certificate), certificate
    leak = next(check for check in certificate.checks if check.check == "leak")
    assert leak.evidence == ["the answer of q1 ('8') stands in the question"]


def test_a_choice_among_things_that_the_question_names_may_stand_there(certifier: Certifier) -> None:
    taller = tool(
        "The taller of two mountains.",
        {"a": STRING, "b": STRING},
        "def taller_of(a, b):\n"
        "    heights = {'Halti': 1324, 'Galdhøpiggen': 2469, 'Kebnekaise': 2097}\n"
        "    return a if heights[a] > heights[b] else b\n",
    )
    call = GoldCall(tool="taller_of", arguments={"a": "Halti", "b": "Kebnekaise"})
    question = "Which is taller, Halti or Kebnekaise?"
    named = Answer(kind="text", value="Kebnekaise", choices=("Halti", "Kebnekaise"))
    assert isinstance(certifier.certify(single(named, question, taller, call)), Certificate)
    assert isinstance(certifier.certify(single(text("Kebnekaise"), question, taller, call)), Rejected)


def test_a_short_answer_inside_a_longer_word_is_no_leak(certifier: Certifier) -> None:
    spec = single(
        text("Ne"),
        "Next to which network is the newest symbol?",
        tool(
            "Symbol by number.",
            {"z": {"type": "integer"}},
            "def symbol(z):\n    return {1: 'H', 10: 'Ne', 11: 'Na'}[z]\n",
        ),
        GoldCall(tool="symbol", arguments={"z": 10}),
    )
    assert isinstance(certifier.certify(spec), Certificate)


@pytest.mark.parametrize(("hint", "alias"), [("提示奥斯陆市", "奥斯陆"), ("车次为K8817次", "K8817")])
def test_a_text_in_a_script_without_spaces_is_found(certifier: Certifier, hint: str, alias: str) -> None:
    spec = altered(
        CHAIN,
        question=f"{CHAIN.question} {hint}",
        sub_questions=[
            {**s.to_json(), "answer": {"kind": "text", "value": "Oslo", "aliases": [alias]}}
            if s.id == "q3"
            else s.to_json()
            for s in CHAIN.sub_questions
        ],
    )
    rejected = certifier.certify(spec)
    assert isinstance(rejected, Rejected)
    assert rejected.stage == "leak"
