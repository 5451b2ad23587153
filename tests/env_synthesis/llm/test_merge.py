"""Merging: a partition by rule, one tool for one intent, nothing lost where that fails, names unique in the end."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from astra_gym.env_synthesis.llm.cluster import check_partition, refined
from astra_gym.env_synthesis.llm.feedback import Unfit
from astra_gym.env_synthesis.llm.intents import tool_key
from astra_gym.env_synthesis.llm.made import MadeTool
from astra_gym.env_synthesis.llm.merge import merge_tools
from astra_gym.env_synthesis.llm.renaming import renamed_source, with_unique_names
from astra_gym.env_synthesis.llm.replies import ClusterReply
from astra_gym.env_synthesis.llm.tool_runner import ToolRunner
from astra_gym.env_synthesis.llm.tools import make_tool
from astra_gym.llm.errors import BudgetError
from tests.env_synthesis.llm import ferries
from tests.env_synthesis.llm.scripted import Said, ScriptedSession


@pytest.fixture(scope="module")
def runner() -> Iterator[ToolRunner]:
    with ToolRunner() as runner:
        yield runner


@pytest.fixture(scope="module")
def made(runner: ToolRunner) -> list[MadeTool]:
    return asyncio.run(all_made(ferries.PIERS, ScriptedSession(ferries.PIER_REPLIES), runner))


async def all_made(drafted: Any, session: Any, runner: ToolRunner) -> list[MadeTool]:
    known: dict[str, MadeTool] = {}
    for sub in drafted.decomposition.topological:
        outcome = await make_tool(drafted, sub.id, session, runner, known)
        assert isinstance(outcome, MadeTool), outcome
        known[sub.id] = outcome
    return list(known.values())


def merge(made: list[MadeTool], runner: ToolRunner, *said: Said) -> tuple[list[MadeTool], ScriptedSession]:
    session = ScriptedSession([*ferries.MERGE_REPLIES, *said])
    return asyncio.run(merge_tools(ferries.PIERS, made, session, runner)), session


def test_tools_of_one_intent_become_one_with_the_first_member_s_program(
    made: list[MadeTool], runner: ToolRunner
) -> None:
    merged, _ = merge(made, runner)
    first, second, third = merged
    assert first.tool is second.tool is not third.tool
    assert first.tool.source == ferries.PIER_SOURCE
    assert (second.call.arguments, second.result_path) == ({"port": "Lind"}, "/length_m")
    assert second.output == {"port": "Lind", "length_m": 222}
    assert third.output == {"difference_m": 118}
    assert {
        "name": first.verdicts[-1].check,
        "of": first.verdicts[-1].evidence["members"],
    } == {"name": "merge", "of": ["q1", "q2"]}


def test_a_member_whose_call_fits_keeps_it(runner: ToolRunner) -> None:
    lind = {"second": {"port": "Brae"}, "second_answer": 130, "unknown": {"port": "X"}}
    alike = [
        *ferries.PIER_REPLIES[:10],
        Said("document", ferries.PIER_DOCUMENT, ferries.PIER_OF_LIND),
        Said("scaling", ferries.PIER_DOCUMENT, ferries.PIER_OF_LIND),
        Said("call", {"arguments": {"port": "Lind"}, "result_path": "/length_m"}, ferries.PIER_OF_LIND),
        Said(
            "implementation",
            {"source": ferries.PIER_SOURCE, "data": {"PIERS": {"Lind": 222, "Brae": 130}}},
            ferries.PIER_OF_LIND,
        ),
        Said("probe", lind, ferries.PIER_OF_LIND),
        *ferries.PIER_REPLIES[10:],
    ]
    own = asyncio.run(all_made(ferries.PIERS, ScriptedSession(alike), runner))
    session = ScriptedSession([Said("cluster", ferries.CLUSTERS), Said("merge", ferries.MERGED)])
    merged = asyncio.run(merge_tools(ferries.PIERS, own, session, runner))
    assert merged[0].tool is merged[1].tool
    assert (session.count("call"), session.count("probe")) == (0, 0)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"data": {"PIERS": {**ferries.MORA_TABLE, "Lind": 221, "Brae": 130}}}, "gives 221"),
        ({"data": {"PIERS": {"Lind": 222, "Brae": 130, "Mora": 340}}}, "has lost ['Aster', 'Quill']"),
        ({"data": {"PIERS": {**ferries.MORA_TABLE, "Lind": 222, "Brae": 130, "Aster": 411}}}, "a hidden check failed"),
        ({"data": {"PIERS": ferries.MORA_TABLE, "MORE": {}}}, "the program reads the tables ['PIERS']"),
        ({"document": {**ferries.PIER_DOCUMENT, "name": "pier_length"}}, "the name must stay"),
        ({"document": ferries.OTHER_PIER_DOCUMENT}, "gone are ['port']"),
    ],
)
def test_a_cluster_that_will_not_merge_falls_back_to_its_own_tools(
    made: list[MadeTool], runner: ToolRunner, changes: dict[str, Any], told: str
) -> None:
    kept, session = merge(made, runner, Said("merge", {**ferries.MERGED, **changes}))
    assert told in session.told("merge")
    assert session.count("merge") == 3
    assert [one.output for one in kept] == [one.output for one in made]
    assert [one.tool.name for one in kept] == ["get_pier_length", "get_pier_length_2", "subtract_lengths"]
    assert kept[0].verdicts[-1].check == "merge"
    assert kept[0].verdicts[-1].status == "fail"
    assert told in kept[0].verdicts[-1].evidence["reason"]


def test_a_merge_that_is_mended_after_the_objection_counts(made: list[MadeTool], runner: ToolRunner) -> None:
    wrong = {**ferries.MERGED, "data": {"PIERS": {**ferries.MORA_TABLE, "Lind": 221}}}
    merged, session = merge(made, runner, Said("merge", wrong, attempt=0))
    assert merged[0].tool is merged[1].tool
    assert session.count("merge") == 2


@pytest.mark.parametrize("reply", ["no JSON", {"clusters": [{"intent": "all", "ids": ["q1", "q9"], "reason": ""}]}])
def test_without_clusters_every_tool_is_kept(made: list[MadeTool], runner: ToolRunner, reply: Any) -> None:
    kept, session = merge(made, runner, Said("cluster", reply))
    assert len({one.tool.name for one in kept}) == 3
    assert [one.verdicts[-1].check for one in kept] == ["cluster"] * 3
    assert session.count("merge") == 0


def test_an_exhausted_budget_ends_the_item(made: list[MadeTool], runner: ToolRunner) -> None:
    with pytest.raises(BudgetError):
        merge(made, runner, Said("merge", BudgetError("spent")))


def partition(*clusters: list[str]) -> ClusterReply:
    return ClusterReply.model_validate({"clusters": [{"intent": "x", "ids": ids, "reason": "y"} for ids in clusters]})


@pytest.mark.parametrize(
    ("clusters", "told"),
    [
        ([["q1"], ["q2"]], "['q3'] are in no cluster"),
        ([["q1", "q2"], ["q2", "q3"]], "['q2'] are in more than one place"),
        ([["q1", "q1"], ["q2", "q3"]], "['q1'] are in more than one place"),
        ([["q1", "q2", "q3", "q4"]], "there is no ['q4']"),
    ],
)
def test_clusters_must_be_a_partition(clusters: list[list[str]], told: str) -> None:
    with pytest.raises(Unfit) as caught:
        check_partition(partition(*clusters), ["q1", "q2", "q3"])
    assert told in str(caught.value)


def test_the_rules_part_what_the_writer_puts_together(made: list[MadeTool]) -> None:
    keys = {one.sub_id: tool_key(one, ferries.PIERS.decomposition.by_id[one.sub_id].answer) for one in made}
    groups = refined(partition(["q1", "q2", "q3"]), made, keys)
    assert [[one.sub_id for one in group] for group in groups] == [["q1", "q2"]]


@pytest.mark.parametrize(
    ("left", "right", "same"),
    [
        ("return a - b", "return b - a", True),
        ("return a - b", "return a + b", False),
        ("return a * b", "return a / b", False),
        ("return max(a, b)", "return min(a, b)", False),
        ("return sum([a, b])", "return sum([a, b, 0])", True),
    ],
)
def test_other_arithmetic_is_another_intent(made: list[MadeTool], left: str, right: str, same: bool) -> None:
    answer = ferries.PIERS.decomposition.answer

    def key(body: str) -> object:
        tool = made[2].tool.model_copy(update={"source": f"def subtract_lengths(a, b):\n    {body}\n"})
        return tool_key(replace(made[2], tool=tool), answer)

    assert (key(left) == key(right)) is same


def test_nobody_is_asked_where_no_two_tools_could_be_one(runner: ToolRunner) -> None:
    own = asyncio.run(all_made(ferries.CHAIN, ScriptedSession(ferries.CHAIN_REPLIES), runner))
    session = ScriptedSession([])
    kept = asyncio.run(merge_tools(ferries.CHAIN, own, session, runner))
    assert session.asked == []
    assert [one.sub_id for one in kept] == ["q1", "q2", "q3"]


def test_namesakes_get_names_and_tables_of_their_own_and_still_work(made: list[MadeTool], runner: ToolRunner) -> None:
    first, second, third = with_unique_names(made)
    assert (first.tool, third.tool) == (made[0].tool, made[2].tool)
    assert second.tool.name == second.call.tool == second.document.name == "get_pier_length_2"
    assert set(second.data) == {"GET_PIER_LENGTH_2_PIERS"}
    data = {**first.data, **second.data}
    tools = [one.tool for one in (first, second, third)]
    results = asyncio.run(runner.run(tools, data, [first.tool_call, second.tool_call, third.tool_call]))
    assert [result.output for result in results] == [one.output for one in made]


def test_a_name_is_changed_in_the_program_and_not_in_its_texts() -> None:
    source = (
        'def f(x):\n    """f reads T."""\n    return f(x - 1) + T[x] if x else g("T")\ndef g(f_x):\n    return f_x\n'
    )
    changed = 'def h(x):\n    """f reads T."""\n    return h(x - 1) + U[x] if x else g(\'T\')\n'
    assert renamed_source(source, {"f": "h", "T": "U"}) == changed + "\ndef g(f_x):\n    return f_x\n"


def test_a_name_that_is_two_things_is_not_changed() -> None:
    with pytest.raises(ValueError, match="both global and local"):
        renamed_source("def f(T):\n    return T\n", {"T": "U"})
