"""One sub-question to one tool: what is accepted, what goes back to the writer, and where an item is rejected."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from astra_gym.env_synthesis.llm.made import MadeTool
from astra_gym.env_synthesis.llm.tool_runner import ToolRunner
from astra_gym.env_synthesis.llm.tools import make_tool
from astra_gym.llm.errors import BudgetError, RefusedError
from astra_gym.llm.prompts import render
from astra_gym.sandbox import describe_policy
from astra_gym.types import Rejected
from tests.env_synthesis.llm import ferries
from tests.env_synthesis.llm.scripted import Said, ScriptedSession


@pytest.fixture(scope="module")
def runner() -> Iterator[ToolRunner]:
    with ToolRunner() as runner:
        yield runner


def make(session: ScriptedSession, runner: ToolRunner, *ids: str, drafted: Any = ferries.CHAIN) -> Any:
    """The outcome of the last of `ids`, the others being made before."""
    known: dict[str, MadeTool] = {}
    outcome: Any = None
    for sub_id in ids:
        outcome = asyncio.run(make_tool(drafted, sub_id, session, runner, known))
        if isinstance(outcome, MadeTool):
            known[sub_id] = outcome
    return outcome


def changed(*said: Said) -> ScriptedSession:
    return ScriptedSession([*ferries.CHAIN_REPLIES, *said])


def test_a_chain_of_tools_is_made_with_references_resolved_from_outputs(runner: ToolRunner) -> None:
    session = changed()
    made = make(session, runner, "q1", "q2", "q3")
    assert made.call.arguments == {"fare": {"$ref": "q2"}, "tickets": 3}
    assert made.arguments == {"fare": 12.5, "tickets": 3}
    assert made.output == {"total": 37.5}
    assert len(session.asked) == 15


def test_the_prompts_show_dependencies_without_their_answers(runner: ToolRunner) -> None:
    session = changed()
    make(session, runner, "q1", "q2")
    for stage in ("document", "call"):
        assert '"output_shape": {"line": "string"' in session.told(stage)
        assert "Blue Heron" not in session.told(stage)


def test_a_missing_dependency_is_the_caller_s_mistake(runner: ToolRunner) -> None:
    with pytest.raises(ValueError, match="'q2' depends on"):
        make(changed(), runner, "q2")


def test_a_program_that_fails_goes_back_with_the_case_and_the_sandbox_s_error(runner: ToolRunner) -> None:
    broken = {
        "source": ferries.FARE_SOURCE.replace("FARES.items()", "FARES.entries()"),
        "data": {"FARES": ferries.FARES},
    }
    session = changed(Said("implementation", broken, ferries.WHICH_FARE, attempt=0))
    assert isinstance(make(session, runner, "q1", "q2"), MadeTool)
    told = session.told("implementation")
    assert 'get_adult_fare with {"line": "Blue Heron"} fails: tool_error: AttributeError' in told


@pytest.mark.parametrize(
    ("source", "data", "told"),
    [
        ("import os\n" + ferries.FARE_SOURCE, {"FARES": ferries.FARES}, "the sandbox refuses the source: .*os"),
        (ferries.FARE_SOURCE.replace("(line)", "(line, day='Monday')"), {"FARES": ferries.FARES}, "has the parameters"),
        (
            ferries.FARE_SOURCE.replace("(line)", "(line='Blue Heron')"),
            {"FARES": ferries.FARES},
            "must have no default",
        ),
        (
            ferries.FARE_SOURCE,
            {"FARES": {**ferries.FARES, "Blue Heron": 12.0}},
            "gives 12.0 at '/fare', expected .*12.5",
        ),
        (ferries.FARE_SOURCE, {"FARES": ferries.FARES, "SHIPS": [1]}, "nothing in the source reads the tables"),
        (ferries.FARE_SOURCE, {"fares": ferries.FARES}, "upper-case names"),
        ("def get_adult_fare(line):\n    return {'fare': 12.5}\n", {}, "holds the answer 12.5 as a constant"),
        (
            "def get_adult_fare(line):\n    FARES['x'] = 1.0\n    return {'fare': FARES[line]}\n",
            {"FARES": ferries.FARES},
            "a call changes a table",
        ),
        (
            "import random\ndef get_adult_fare(line):\n    return {'fare': FARES[line], 'ticket': random.random()}\n",
            {"FARES": ferries.FARES},
            "the same call twice",
        ),
        (
            "def get_adult_fare(line):\n    return {'price': FARES[line]}\n",
            {"FARES": ferries.FARES},
            "nothing at 'fare'",
        ),
    ],
)
def test_a_program_that_is_never_mended_is_rejected_with_what_was_said(
    runner: ToolRunner, source: str, data: dict[str, Any], told: str
) -> None:
    session = changed(Said("implementation", {"source": source, "data": data}, ferries.WHICH_FARE))
    outcome = make(session, runner, "q1", "q2")
    assert isinstance(outcome, Rejected)
    assert outcome.stage == ("probe" if "as a constant" in told else "implementation")
    assert outcome.reason.startswith("q2: ")
    assert len(outcome.evidence["rounds"]) == 3
    assert re.search(told, outcome.evidence["rounds"][0])


def test_a_tool_is_documented_once_more_when_no_program_is_accepted(runner: ToolRunner) -> None:
    bad = {"source": "def get_adult_fare(line):\n    return {'fare': 12.5}\n"}
    session = changed(Said("implementation", bad, ferries.WHICH_FARE))
    make(session, runner, "q1", "q2")
    assert session.count("implementation") == 1 + 2 * 3
    assert session.count("document") == 1 + 2
    assert "no program for this tool was accepted" in session.told("document")
    assert "12.5" not in session.told("document")


def test_who_documents_it_once_more_is_not_told_of_the_case(runner: ToolRunner) -> None:
    wrong = {"source": ferries.FARE_SOURCE, "data": {"FARES": {**ferries.FARES, "Blue Heron": 12.0}}}
    session = changed(Said("implementation", wrong, ferries.WHICH_FARE))
    make(session, runner, "q1", "q2")
    assert "12.5" in session.told("implementation")
    assert "it failed in the case that it was tested on" in session.told("document")
    assert all(told not in session.told("document") for told in ("12.5", "12.0", "Blue Heron"))


@pytest.mark.parametrize(
    ("arguments", "path", "told"),
    [
        ({"line": "Blue Heron"}, "/fare", 'no argument refers to it; write {"$ref": "q1"}'),
        ({"line": {"$ref": "q3"}}, "/fare", "refer to ['q3']"),
        ({"line": {"$ref": "q1", "path": "/nothing"}}, "/fare", "cannot be filled"),
        ({"line": {"$ref": "q1"}, "day": "Monday"}, "/fare", "unknown 'day'"),
        ({"line": {"$ref": "q1"}}, "fare", "must be a JSON Pointer"),
        ({"line": {"$ref": "q1", "path": "fare"}}, "/fare", "a reference is"),
    ],
)
def test_a_call_against_the_rules_goes_back_and_is_then_rejected(
    runner: ToolRunner, arguments: dict[str, Any], path: str, told: str
) -> None:
    session = changed(Said("call", {"arguments": arguments, "result_path": path}, ferries.WHICH_FARE))
    outcome = make(session, runner, "q1", "q2")
    assert isinstance(outcome, Rejected)
    assert outcome.stage == "call"
    assert told in outcome.reason
    assert session.count("implementation") == 1


@pytest.mark.parametrize(
    ("tickets", "told"),
    [
        (4, "which the main question does not state"),
        ("3", "expected integer"),
        (12.5, "expected integer"),
    ],
)
def test_values_in_a_call_come_from_the_question(runner: ToolRunner, tickets: Any, told: str) -> None:
    call = {"arguments": {"fare": {"$ref": "q2"}, "tickets": tickets}, "result_path": "/total"}
    outcome = make(changed(Said("call", call, ferries.WHICH_TOTAL)), runner, "q1", "q2", "q3")
    assert isinstance(outcome, Rejected)
    assert told in outcome.reason


def test_an_upstream_answer_written_out_is_refused_beside_a_reference(runner: ToolRunner) -> None:
    wide = json.loads(json.dumps(ferries.TOTAL_DOCUMENT))
    wide["parameters"]["properties"]["line"] = {"type": "string", "description": "Name of the line."}
    call = {"arguments": {"fare": {"$ref": "q2"}, "tickets": 3, "line": "blue heron"}, "result_path": "/total"}
    session = changed(
        Said("document", wide, ferries.WHICH_TOTAL),
        Said("scaling", wide, ferries.WHICH_TOTAL),
        Said("call", call, ferries.WHICH_TOTAL),
    )
    outcome = make(session, runner, "q1", "q2", "q3")
    assert isinstance(outcome, Rejected)
    assert "the answer of q1, written out" in outcome.reason


def without(parameter: str) -> dict[str, Any]:
    document = json.loads(json.dumps(ferries.LINE_DOCUMENT))
    del document["parameters"]["properties"][parameter]
    document["parameters"]["required"].remove(parameter)
    return document


def with_parameter(**schema: Any) -> dict[str, Any]:
    document = json.loads(json.dumps(ferries.LINE_DOCUMENT))
    document["parameters"]["properties"] |= schema
    return document


@pytest.mark.parametrize(
    ("scaled", "told"),
    [
        ({**ferries.LINE_DOCUMENT, "name": "find_line"}, "the name must stay 'find_ferry_line'"),
        (without("destination"), "gone are ['destination']"),
        (with_parameter(origin={**ferries.PORT, "pattern": "^[A-Z]"}), "'origin' must take all that it took"),
        (with_parameter(origin={**ferries.PORT, "type": "number"}), "the type of 'origin' must stay 'string'"),
        (with_parameter(origin={**ferries.PORT, "enum": ["Mora"]}), "the `enum` of 'origin'"),
    ],
)
def test_scaling_must_be_backward_compatible(runner: ToolRunner, scaled: dict[str, Any], told: str) -> None:
    outcome = make(changed(Said("scaling", scaled, ferries.WHICH_LINE)), runner, "q1")
    assert isinstance(outcome, Rejected)
    assert outcome.stage == "scaling"
    assert told in outcome.reason


def test_scaling_may_require_nothing_more(runner: ToolRunner) -> None:
    more = with_parameter(day={"type": "string", "description": "Day of the week."})
    more["parameters"]["required"].append("day")
    outcome = make(changed(Said("scaling", more, ferries.WHICH_LINE)), runner, "q1")
    assert isinstance(outcome, Rejected)
    assert "nothing more may be required; ['day']" in outcome.reason


def test_scaling_may_add_an_optional_parameter_that_the_program_then_has(runner: ToolRunner) -> None:
    more = with_parameter(upper={"type": "boolean", "description": "In capitals.", "default": False})
    source = ferries.LINE_SOURCE.replace("(origin, destination)", "(origin, destination, upper=False)")
    session = changed(
        Said("scaling", more, ferries.WHICH_LINE),
        Said("implementation", {"source": source, "data": {"SAILINGS": ferries.SAILINGS}}, ferries.WHICH_LINE),
    )
    made = make(session, runner, "q1")
    assert isinstance(made, MadeTool)
    assert set(made.tool.parameters["properties"]) == {"origin", "destination", "upper"}


@pytest.mark.parametrize(
    ("document", "told"),
    [
        ({**ferries.LINE_DOCUMENT, "name": "Find Line"}, "must be snake_case"),
        ({**ferries.LINE_DOCUMENT, "description": " "}, "description is empty"),
        ({**ferries.LINE_DOCUMENT, "description": "Finds lines such as Blue Heron."}, "gives an answer away"),
        ({**ferries.LINE_DOCUMENT, "returns": "`line`, and the fare: 12.50."}, "the document holds [12.5], which"),
        ({**ferries.LINE_DOCUMENT, "parameters": {"type": "array"}}, "of type 'object'"),
        ({**ferries.LINE_DOCUMENT, "parameters": {"type": "object", "properties": {}}}, "at least one parameter"),
        (with_parameter(**{"from": ferries.PORT}), "'from' must be a name"),
        (with_parameter(day={"type": "string"}), "'day' needs a `description`"),
        (with_parameter(day={"description": "a day"}), "'day' needs a schema"),
        (with_parameter(day={"type": "sting", "description": "a day"}), "schema at /properties/day/type"),
    ],
)
def test_a_document_that_is_no_tool_is_rejected(runner: ToolRunner, document: dict[str, Any], told: str) -> None:
    outcome = make(changed(Said("document", document, ferries.WHICH_LINE)), runner, "q1")
    assert isinstance(outcome, Rejected)
    assert outcome.stage == "document"
    assert told in outcome.reason


@pytest.mark.parametrize("stage", ["document", "scaling", "call", "implementation"])
@pytest.mark.parametrize("reply", ["I think", RefusedError("no")], ids=["no JSON", "a refusal"])
def test_a_writer_that_never_answers_rejects_at_its_stage(runner: ToolRunner, stage: str, reply: Any) -> None:
    outcome = make(changed(Said(stage, reply, ferries.WHICH_LINE)), runner, "q1")
    assert isinstance(outcome, Rejected)
    assert outcome.stage == stage


def test_an_exhausted_budget_is_the_item_s_and_not_the_tool_s(runner: ToolRunner) -> None:
    with pytest.raises(BudgetError):
        make(changed(Said("scaling", BudgetError("spent"), ferries.WHICH_LINE)), runner, "q1")


def test_prompts_quote_the_policy_and_follow_the_item_s_language() -> None:
    answer = ferries.CHAIN.decomposition.answer
    values = {"step": "q1", "question": "?", "document": ferries.LINE_DOCUMENT, "result_path": "/line", "arguments": {}}
    for language in ("en", "zh"):
        prompt = render("implementation", language=language, policy=describe_policy(), answer=answer, **values)
        system = prompt.messages[0]["content"]
        assert system.startswith("# Stage: implementation\n")
        assert describe_policy() in system
        assert ("Chinese" in system) == (language == "zh")
