"""Tools that exist already: only calls are written, what they return decides, and state is there as it would be."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from astra_gym.answers import Answer
from astra_gym.certify import certify
from astra_gym.env_synthesis.llm.assemble import assemble
from astra_gym.env_synthesis.llm.drafted import Drafted
from astra_gym.env_synthesis.llm.items import LlmItem
from astra_gym.env_synthesis.llm.made import MadeTool
from astra_gym.env_synthesis.llm.merge import merge_tools
from astra_gym.env_synthesis.llm.tool_runner import ToolRunner
from astra_gym.env_synthesis.llm.tools import make_tool
from astra_gym.types import Certificate, Decomposition, Rejected, SubQuestion, ToolEnvSpec
from tests.env_synthesis.llm.scripted import Said, ScriptedSession
from tests.specs import CHAIN, STATEFUL

BORN = "Where was the director of Salt Road born?"
DIRECTOR = "Who directed Salt Road?"
COUNTRY = "In which country was that director born?"


@pytest.fixture(scope="module")
def runner() -> Iterator[ToolRunner]:
    with ToolRunner() as runner:
        yield runner


def augmented(country: str = "Portugal") -> Drafted:
    return Drafted(
        LlmItem.make("augment", domain="film", tool_spec=CHAIN),
        Decomposition(
            id="salt",
            question=BORN,
            answer=Answer.parse(country),
            domain="film",
            sub_questions=(
                SubQuestion(id="q1", question=DIRECTOR, answer=Answer.parse("Paulo Reis")),
                SubQuestion(id="q2", question=COUNTRY, answer=Answer.parse(country), depends_on=("q1",)),
            ),
        ),
        answer_from="q2",
    )


FILM_CALL = {"tool": "get_film", "arguments": {"title": "Salt Road"}, "result_path": "/director"}
PERSON_CALL = {"tool": "get_person", "arguments": {"name": {"$ref": "q1"}}, "result_path": "/born_in"}
REPLIES = [Said("call", FILM_CALL, DIRECTOR), Said("call", PERSON_CALL, COUNTRY)]


def make_all(drafted: Drafted, session: Any, runner: ToolRunner) -> Any:
    known: dict[str, MadeTool] = {}
    for sub in drafted.decomposition.topological:
        outcome = asyncio.run(make_tool(drafted, sub.id, session, runner, known))
        if isinstance(outcome, Rejected):
            return outcome
        known[sub.id] = outcome
    return list(known.values())


def test_a_new_question_for_given_tools_needs_calls_alone_and_certifies(runner: ToolRunner) -> None:
    drafted, session = augmented(), ScriptedSession(REPLIES)
    made = make_all(drafted, session, runner)
    assert [prompt.stage for prompt in session.asked] == ["call", "call"]
    settled = asyncio.run(merge_tools(drafted, made, session, runner))
    spec = assemble(drafted, settled, (), (), drafted.item)
    assert isinstance(spec, ToolEnvSpec)
    assert spec.tools == CHAIN.tools
    assert spec.provenance.license == CHAIN.provenance.license
    assert spec.provenance.details["tools_of"] == CHAIN.id
    assert isinstance(certify(spec), Certificate)


def test_a_draft_that_the_tools_contradict_is_rejected(runner: ToolRunner) -> None:
    outcome = make_all(augmented("Spain"), ScriptedSession(REPLIES), runner)
    assert isinstance(outcome, Rejected)
    assert outcome.stage == "call"
    assert '"Portugal" at \'/born_in\', expected "Spain"' in outcome.reason


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"tool": "get_actor"}, "there is no tool 'get_actor'"),
        ({"arguments": {"name": "Paulo Reis"}}, "no argument refers to it"),
        ({"arguments": {"title": {"$ref": "q1"}}}, "missing 'name'"),
        ({"result_path": "/country"}, "nothing at 'country'"),
    ],
)
def test_a_wrong_call_goes_back(runner: ToolRunner, changes: dict[str, Any], told: str) -> None:
    wrong = Said("call", {**PERSON_CALL, **changes}, COUNTRY, attempt=0)
    session = ScriptedSession([*REPLIES, wrong])
    assert isinstance(make_all(augmented(), session, runner), list)
    assert told in session.told("call")
    outcome = make_all(
        augmented(), ScriptedSession([*REPLIES, Said("call", {**PERSON_CALL, **changes}, COUNTRY)]), runner
    )
    assert isinstance(outcome, Rejected)
    assert told in outcome.reason


@pytest.mark.parametrize("spec", [CHAIN, STATEFUL], ids=lambda spec: spec.id)
def test_gold_calls_that_come_with_their_env_are_run_and_nobody_is_asked(spec: ToolEnvSpec, runner: ToolRunner) -> None:
    own = Decomposition.model_validate(
        {name: getattr(spec, name) for name in Decomposition.model_fields} | {"id": "given"}
    )
    drafted = Drafted(LlmItem.make("given", domain=spec.domain, tool_spec=spec, decomposition=own), own, "")
    made = make_all(drafted, ScriptedSession([]), runner)
    assert [one.sub_id for one in made] == [sub.id for sub in own.topological]
    assembled = assemble(drafted, made, (), (), drafted.item)
    assert isinstance(assembled, ToolEnvSpec)
    assert isinstance(certify(assembled), Certificate)


def test_given_tools_that_the_sandbox_refuses_reject_the_item(runner: ToolRunner) -> None:
    tool = CHAIN.tools[0].model_copy(update={"source": "import os\n" + CHAIN.tools[0].source})
    drafted = augmented()
    spec = CHAIN.model_copy(update={"tools": (tool, *CHAIN.tools[1:])})
    unsafe = Drafted(LlmItem.make("augment", domain="film", tool_spec=spec), drafted.decomposition, "")
    outcome = make_all(unsafe, ScriptedSession(REPLIES), runner)
    assert isinstance(outcome, Rejected)
    assert outcome.stage == "sources"
    assert "os" in outcome.reason
