"""The trivial policies, and the rule that fills their calls."""

from __future__ import annotations

from typing import Any

import pytest

from astra_gym.env import ToolEnv
from astra_gym.models import ChatModel, EveryToolModel, FirstToolModel
from astra_gym.models.argument_rule import ArgumentRule, names, numbers, quoted
from astra_gym.rollout import rollout
from astra_gym.tool_calls import parse_turn
from astra_gym.types import ToolCall, ToolEnvSpec, Trajectory
from tests.specs import CHAIN, JOIN, STATEFUL


def played(spec: ToolEnvSpec, model: ChatModel) -> Trajectory:
    with ToolEnv(spec, require_certificate=False, isolation="inprocess") as env:
        return rollout(env, model)


def calls(trajectory: Trajectory) -> list[tuple[str, dict[str, Any]]]:
    found = [call for action in trajectory.actions for call in parse_turn(action).calls]
    return [(call.name, call.arguments) for call in found if isinstance(call, ToolCall)]


def test_the_first_tool_is_called_with_words_of_the_question_and_its_result_is_the_answer() -> None:
    trajectory = played(CHAIN, FirstToolModel())
    assert calls(trajectory) == [("get_film", {"title": "Winter Ferry"})]
    assert (trajectory.solved, trajectory.calls, trajectory.actions[-1]) == (1, 1, "1987")
    assert not trajectory.final_answer_correct


def test_every_tool_hands_each_result_on() -> None:
    flat = [
        {**tool.to_json(), "source": tool.source.replace("{'title': title, **FILMS[title]}", "FILMS[title]")}
        for tool in CHAIN.tools
    ]
    data = {
        "FILMS": {"Winter Ferry": {"year": 1987, "director": "Ingrid Dahl"}},
        "PEOPLE": {"Ingrid Dahl": {"born": "1951", "born_in": "Norway"}},
        "COUNTRIES": {"Norway": {"calling_code": 47, "capital": "Oslo"}},
    }
    spec = ToolEnvSpec.model_validate({**CHAIN.to_json(), "tools": flat, "data": data})
    trajectory = played(spec, EveryToolModel())
    assert [name for name, _ in calls(trajectory)] == ["get_film", "get_person", "get_country"]
    assert trajectory.breakdown.f1 == 1.0
    assert trajectory.actions[-1] == "Oslo"
    assert trajectory.final_answer_correct


def test_numbers_of_the_question_go_in_in_order() -> None:
    rule = ArgumentRule("Mia packs three boxes with 1,450 apples and sells 2.5 percent. How many are left?")
    properties = {name: {"type": "number"} for name in "abcd"}
    function = {"parameters": {"properties": properties, "required": ["a", "b", "c", "d"]}}
    assert rule.arguments(function) == {"a": 3, "b": 1450, "c": 2.5, "d": 2.5}
    rule.results.append(9)
    rule = ArgumentRule("Of 16 eggs she eats 3.")
    rule.results.append(13)
    assert rule.arguments(function) == {"a": 13, "b": 16, "c": 3, "d": 3}


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"type": "string"}, "Ada"),
        ({"type": "integer"}, 250),
        ({"type": "boolean"}, True),
        ({"type": "string", "enum": ["asc", "desc"]}, "asc"),
        ({"type": "string", "default": "km"}, "km"),
        ({"const": 5}, 5),
        ({"type": "array", "items": {"type": "string"}}, ["Ada", "Bo"]),
        ({"type": "array", "items": {"type": "number"}}, [250]),
        ({"type": "object", "properties": {"x": {"type": "number"}}}, {"x": 250}),
        ({"type": ["string", "null"]}, "Ada"),
        ({}, "Ada"),
        (True, "Ada"),
    ],
)
def test_a_value_fits_the_kind_of_parameter(schema: Any, value: Any) -> None:
    rule = ArgumentRule("Move 250 crowns from Ada's account to Bo's.")
    assert rule.arguments({"parameters": {"properties": {"p": schema, "q": schema}, "required": ["p"]}}) == {"p": value}


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("What is the capital of the country of Winter Ferry?", ["Winter Ferry"]),
        ("Which film is older, The Prairie King or Confessions Of An Opium Eater?",
         ["The Prairie King", "Confessions Of An Opium Eater"]),
        ("Does Ingrid Dahl of the Isle of Man know St. John?", ["Ingrid Dahl of the Isle of Man", "St. John"]),
        ("Start at Salamanca Airport. Take Norway. Treat 3 alike.", ["Salamanca Airport", "Norway", "Start", "Treat"]),
        ("how many are left?", []),
        ("a Boeing 747 or X", ["Boeing 747"]),
    ],
)  # fmt: skip
def test_names_are_the_capitalised_parts(question: str, expected: list[str]) -> None:
    assert names(question) == expected


def test_quoted_parts_come_before_names() -> None:
    assert quoted('Who wrote "Salt Road" and “The Long Quay”?') == ["Salt Road", "The Long Quay"]
    rule = ArgumentRule('Did Paulo Reis direct "Salt Road"?')
    function = {"parameters": {"properties": {"p": {"type": "string"}}, "required": ["p"]}}
    assert rule.arguments(function) == {"p": "Salt Road"}


def test_numbers_are_figures_and_words() -> None:
    assert numbers("Two of 3 cost $1,200.50, -4 and twelve; A380 and v2.1 none") == [2, 3, 1200.5, -4, 12]


@pytest.mark.parametrize("model", [FirstToolModel(), EveryToolModel()])
@pytest.mark.parametrize("spec", [CHAIN, JOIN, STATEFUL], ids=lambda spec: spec.id)
def test_a_rule_reads_no_gold_and_starts_afresh(model: ChatModel, spec: ToolEnvSpec) -> None:
    blind = spec.model_copy(update={"sub_questions": spec.sub_questions[:1], "answer": STATEFUL.answer})
    first = played(spec, model)
    assert first.actions == played(blind, model).actions == played(spec, model).actions
    assert first.stop_reason == "final_answer"


def test_without_a_result_the_answer_is_that_nothing_is_known() -> None:
    spec = CHAIN.model_copy(update={"question": "who knows?"})
    assert played(spec, FirstToolModel()).actions[-1] == "unknown"
