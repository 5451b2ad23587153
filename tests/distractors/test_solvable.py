"""A candidate that gives an answer away is found, under whatever names its parameters have."""

from __future__ import annotations

import pytest

from astra_gym.distractors import ToolPool
from astra_gym.distractors.solvable import GoldRun, leaks_an_answer, solving
from astra_gym.records import JSON
from astra_gym.sandbox import IsolatedRunner
from astra_gym.types import ToolCall
from tests.distractors.specs import GALLERY, NAMESAKE, POOL_SPECS, SOLVER, TELLTALE, env
from tests.specs import CHAIN, JOIN, NUMBER, STATEFUL, STRING, tool


@pytest.fixture(scope="module")
def runner():
    runner = IsolatedRunner()
    yield runner
    runner.close()


def only(source: str, *parameters: str, kind: JSON = STRING):
    """One candidate with this source."""
    pool = ToolPool.of((env("other", "other", tool("Says something.", dict.fromkeys(parameters, kind), source)),))
    return pool.tools[0]


def verdict(spec, candidate, runner) -> str | None:
    return solving(GoldRun.of(spec, runner), [candidate], runner).get(candidate.tool.name)


def test_gold_calls_are_filled_from_what_the_tools_return(runner):
    assert GoldRun.of(CHAIN, runner).calls == {
        "q1": ToolCall("get_film", {"title": "Winter Ferry"}),
        "q2": ToolCall("get_person", {"name": "Ingrid Dahl"}),
        "q3": ToolCall("get_country", {"name": "Norway"}),
    }
    assert GoldRun.of(STATEFUL, runner).calls["q2"] == ToolCall("get_balance", {"account": "Bo"})


def test_a_tool_that_answers_under_another_parameter_name_is_found(runner):
    (candidate,) = ToolPool.of((SOLVER,)).tools
    assert verdict(CHAIN, candidate, runner) == "answers 'q2'"


def test_tools_that_know_nothing_of_it_are_not(runner):
    candidates = [one for one in ToolPool.of((GALLERY, NAMESAKE, JOIN, STATEFUL)).tools if one.tool.name != "subtract"]
    assert solving(GoldRun.of(CHAIN, runner), candidates, runner) == {}


@pytest.mark.parametrize(
    "source",
    [
        "def f(title):\n    return 'Ingrid Dahl'\n",
        "def f(title):\n    return {'rows': [{'by': {'name': 'INGRID DAHL'}}]}\n",
        "def f(title):\n    return ['?', 'Oslo']\n",
    ],
    ids=["as it is", "deep inside", "of another sub-question"],
)
def test_an_answer_is_found_anywhere_in_the_output(source, runner):
    assert (verdict(CHAIN, only(source, "title"), runner) or "").startswith("answers")


def test_what_went_in_may_come_out_again(runner):
    echo = only("def f(title):\n    return {'title': title, 'length': len(title)}\n", "title")
    assert verdict(CHAIN, echo, runner) is None


def test_arguments_are_tried_in_every_order_and_one_at_a_time(runner):
    minus = "def f(less, more):\n    return {'so': more - less}\n"
    assert verdict(JOIN, only(minus, "less", "more", kind=NUMBER), runner) == "answers 'q3'"
    one = "def f(value):\n    return 2469 - 2097 if value == 2097 else 0\n"
    assert verdict(JOIN, only(one, "value", kind=NUMBER), runner) == "answers 'q3'"
    three = "def f(a, b, c):\n    return 372\n"
    assert verdict(JOIN, only(three, "a", "b", "c", kind=NUMBER), runner) is None  # no gold call has three


def test_arguments_that_do_not_fit_the_schema_are_not_tried(runner):
    assert verdict(CHAIN, only("def f(year):\n    return 'Ingrid Dahl'\n", "year", kind=NUMBER), runner) is None


def test_yes_and_no_are_not_looked_for_among_other_questions(runner):
    # The last question of the join is a yes/no question that no tool is needed for.
    assert verdict(JOIN, only("def f(x):\n    return True\n", "x"), runner) is None


def test_a_candidate_that_cannot_be_run_is_found_and_hides_no_other(runner):
    broken = only("def f(title):\n    return __import__('os')\n", "title")
    (solver,) = ToolPool.of((SOLVER,)).tools
    reasons = solving(GoldRun.of(CHAIN, runner), [broken, solver], runner)
    assert reasons["f"].startswith("cannot be run")
    assert reasons["birthplace_of"] == "answers 'q2'"


def test_a_document_that_holds_an_answer_leaks():
    (telltale,) = ToolPool.of((TELLTALE,)).tools
    assert leaks_an_answer(CHAIN, telltale)
    assert not leaks_an_answer(JOIN, telltale)
    assert not any(leaks_an_answer(CHAIN, one) for one in ToolPool.of(POOL_SPECS).tools if one.key != telltale.key)
