"""Hidden checks: which tools they find out, what the writer is told of them, and that no verdict is no pass."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from astra_gym.env_synthesis.llm.made import MadeTool
from astra_gym.env_synthesis.llm.probes import looked_up
from astra_gym.env_synthesis.llm.tool_runner import ToolRunner
from astra_gym.env_synthesis.llm.tools import make_tool
from astra_gym.llm.errors import ReplyError
from astra_gym.types import Rejected
from tests.env_synthesis.llm import ferries
from tests.env_synthesis.llm.scripted import Said, ScriptedSession

ONLY_BLUE_HERON = """def get_adult_fare(line):
    if line != "Blue Heron":
        raise ValueError(f"no line called {line}")
    return {"fare": FARES[line]}
"""
EVERY_LINE_ALIKE = 'def get_adult_fare(line):\n    return {"line": line, "fare": FARES["Blue Heron"]}\n'
NOTHING_IS_UNKNOWN = 'def get_adult_fare(line):\n    return {"fare": FARES.get(line, 10.0)}\n'
GOOD_PROBE = {"second": {"line": "White Gull"}, "second_answer": 9.75, "unknown": {"line": "Night Owl"}}


@pytest.fixture(scope="module")
def runner() -> Iterator[ToolRunner]:
    with ToolRunner() as runner:
        yield runner


@pytest.fixture(scope="module")
def line(runner: ToolRunner) -> MadeTool:
    made = asyncio.run(make_tool(ferries.CHAIN, "q1", ScriptedSession(ferries.LINE_REPLIES), runner, {}))
    assert isinstance(made, MadeTool)
    return made


def fare(line: MadeTool, runner: ToolRunner, *said: Said, judges: int = 1) -> tuple[Any, ScriptedSession]:
    session = ScriptedSession([*ferries.FARE_REPLIES, *said], judges=judges)
    return asyncio.run(make_tool(ferries.CHAIN, "q2", session, runner, {"q1": line})), session


def implementation(source: str) -> Said:
    return Said("implementation", {"source": source, "data": {"FARES": ferries.FARES}}, ferries.WHICH_FARE)


def probe(**changes: Any) -> Said:
    return Said("probe", {**GOOD_PROBE, **changes}, ferries.WHICH_FARE)


def test_the_cases_that_a_tool_passed_are_kept_with_the_verdict(line: MadeTool, runner: ToolRunner) -> None:
    made, _ = fare(line, runner)
    assert [(case.arguments, case.answer and case.answer.value) for case in made.probes] == [
        ({"line": "White Gull"}, 9.75),
        ({"line": "Night Owl"}, None),
    ]
    assert [(verdict.check, verdict.status) for verdict in made.verdicts] == [("probe:q2", "pass")]


@pytest.mark.parametrize(
    ("source", "told"),
    [
        (EVERY_LINE_ALIKE, "the answer must come from the arguments: get_adult_fare gives the answer of 'q2' whatever"),
        (ONLY_BLUE_HERON, "for other arguments the tool does not return what its document promises"),
        (NOTHING_IS_UNKNOWN, "an entity that the tool cannot know must be an error"),
    ],
    ids=["constant", "one entity", "a default for all"],
)
def test_a_tool_made_for_one_case_is_found_out(line: MadeTool, runner: ToolRunner, source: str, told: str) -> None:
    outcome, session = fare(line, runner, implementation(source))
    assert isinstance(outcome, Rejected)
    assert outcome.stage == "probe"
    assert told in outcome.reason
    assert told in session.told("implementation")


def test_the_writer_never_reads_a_value_of_a_hidden_check(line: MadeTool, runner: ToolRunner) -> None:
    _, session = fare(line, runner, implementation(ONLY_BLUE_HERON))
    told = session.told("implementation") + session.told("document") + session.told("call")
    assert "hidden check failed" in told
    assert [value for value in ("White Gull", "9.75", "Night Owl") if value in told] == []


def test_the_judge_never_reads_the_source(line: MadeTool, runner: ToolRunner) -> None:
    _, session = fare(line, runner)
    assert "White Gull" in session.told("probe")
    assert "raise ValueError" not in session.told("probe")


def test_a_tool_that_is_mended_after_a_hidden_check_is_accepted(line: MadeTool, runner: ToolRunner) -> None:
    bad = Said(
        "implementation",
        {"source": ONLY_BLUE_HERON, "data": {"FARES": ferries.FARES}},
        ferries.WHICH_FARE,
        attempt=0,
    )
    made, session = fare(line, runner, bad)
    assert isinstance(made, MadeTool)
    assert session.count("implementation") == 2


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"second": {"line": "Blue Heron"}}, "must name another entity"),
        ({"second": {"ship": "White Gull"}}, "does not fit the tool"),
        ({"second_answer": 12.5}, "equals the first answer"),
        ({"second_answer": "cheap"}, "must be a value like the first answer (money in EUR)"),
        ({"second_answer": "9.75 USD"}, "must be in EUR"),
        ({"unknown": None}, "may be null for a pure computation only"),
        ({"unknown": {"line": 7}}, "right in form"),
        ({"unknown": {}}, "right in form"),
    ],
)
def test_a_probe_that_tests_nothing_goes_back_to_the_judge(
    line: MadeTool, runner: ToolRunner, changes: dict[str, Any], told: str
) -> None:
    outcome, session = fare(line, runner, probe(**changes))
    assert told in session.told("probe")
    assert isinstance(outcome, Rejected)
    assert (outcome.stage, "unknown" in outcome.reason) == ("probe", True)
    once = Said("probe", {**GOOD_PROBE, **changes}, ferries.WHICH_FARE, attempt=0)
    assert isinstance(fare(line, runner, once)[0], MadeTool)


@pytest.mark.parametrize(
    ("value", "tables", "named"),
    [
        ("Blue Heron", {"FARES": {"White Gull": 9.75}}, True),
        ("Blue Heron", {}, False),  # nothing to look up in
        (4, {"ZONES": {"4": 12.5, "5": 14.0}}, True),
        (4, {"ZONES": [{"zone": 4, "fare": 12.5}]}, True),
        (4, {"ZONES": [{"zone": 3, "berths": 4}]}, False),  # another column
        (4, {"RATE": [0.5]}, False),
        (True, {"ZONES": {"True": 1}}, False),
    ],
)
def test_a_number_that_names_a_row_is_looked_up_like_a_name(value: Any, tables: dict[str, Any], named: bool) -> None:
    assert looked_up("zone", value, tables) == named


def test_a_dead_judge_rejects(line: MadeTool, runner: ToolRunner) -> None:
    outcome, session = fare(line, runner, Said("probe", "I cannot say.", ferries.WHICH_FARE))
    assert isinstance(outcome, Rejected)
    assert outcome.stage == "probe"
    assert "0 of 1 judges" in outcome.reason
    assert session.count("implementation") == 1


def test_of_several_judges_the_majority_decides(line: MadeTool, runner: ToolRunner) -> None:
    mistaken = Said("probe", {**GOOD_PROBE, "second_answer": 99.0}, ferries.WHICH_FARE, judge=1)
    made, _ = fare(line, runner, mistaken, judges=3)
    assert isinstance(made, MadeTool)
    assert made.verdicts[0].evidence == {"asked": 3, "passed": 2, "failed": 1, "cases": 4}


def test_a_tie_between_judges_is_no_pass(line: MadeTool, runner: ToolRunner) -> None:
    silent = Said("probe", ReplyError("nothing usable", excerpt=""), ferries.WHICH_FARE, judge=1)
    outcome, _ = fare(line, runner, silent, judges=2)
    assert isinstance(outcome, Rejected)
    assert "1 of 2 judges" in outcome.reason
