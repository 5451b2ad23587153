"""The pool holds each tool once, and a tool that moved does what it did, whatever its new env holds."""

from __future__ import annotations

import pytest

from astra_gym.distractors import DistractorError, ToolPool
from astra_gym.distractors.pool import library_names, tool_key
from astra_gym.sandbox import InProcessExecutor, Program
from astra_gym.types import ToolCall
from tests.distractors.specs import GALLERY, POOL_SPECS, SUMS, env, lookup
from tests.specs import CHAIN, JOIN, STATEFUL, tool


def found(pool: ToolPool, name: str):
    return [one for one in pool.tools if one.tool.name == name]


def test_every_tool_is_there_once_in_order():
    pool = ToolPool.of((*POOL_SPECS, *POOL_SPECS[:1]))
    assert [tool.tool.name for tool in pool.tools] == [tool.name for spec in POOL_SPECS for tool in spec.tools]
    assert pool.envs == len(POOL_SPECS) + 1


def test_namesakes_are_different_tools():
    assert len(found(ToolPool.of(POOL_SPECS), "get_person")) == 2


def test_the_same_tool_of_two_envs_has_both_domains_and_the_smaller_tables():
    large = {"FILMS": {**GALLERY.data["FILMS"], **{f"Sketch {n}": {"painter": "Oda Holt"} for n in range(50)}}}
    other = env("attic", "antiques", GALLERY.tools[0], data=large)
    for specs in ((GALLERY, other), (other, GALLERY)):
        (one,) = found(ToolPool.of(specs), "get_painting")
        assert one.domains == {"painting", "antiques"}
        assert one.origin == GALLERY.id
        assert list(one.data.values()) == [GALLERY.data["FILMS"]]


def test_the_content_says_which_suites_it_was_made_of():
    assert ToolPool.of(POOL_SPECS).content == ToolPool.of(POOL_SPECS).content
    assert ToolPool.of(POOL_SPECS).content != ToolPool.of(POOL_SPECS[1:]).content


def test_a_pool_of_nothing_is_refused():
    with pytest.raises(DistractorError, match="no env"):
        ToolPool.of(())


def test_an_env_of_another_suite_is_not_known():
    with pytest.raises(DistractorError, match=r"does not know \['add'\]"):
        ToolPool.of((CHAIN,)).numbers(SUMS)


def test_two_tools_with_tables_of_the_same_name_read_their_own():
    pool = ToolPool.of(POOL_SPECS)
    film, painting = found(pool, "get_film")[0], found(pool, "get_painting")[0]
    data = {**film.data, **painting.data, "FILMS": {"Winter Ferry": {"director": "nobody"}}}
    program = Program((film.tool, painting.tool), "", data)
    run = InProcessExecutor(program)
    assert run(ToolCall("get_film", {"title": "Winter Ferry"})).output["director"] == "Ingrid Dahl"
    assert run(ToolCall("get_painting", {"title": "Low Sun"})).output["painter"] == "Oda Holt"
    assert not run(ToolCall("get_painting", {"title": "Winter Ferry"})).ok
    assert program.stateless


def test_tables_of_the_same_content_are_shared():
    twin = env(
        "twin", "prints", lookup("get_print", "FILMS", "Look up a print."), data={"FILMS": GALLERY.data["FILMS"]}
    )
    pool = ToolPool.of((GALLERY, twin))
    assert found(pool, "get_print")[0].tables == found(pool, "get_painting")[0].tables


def test_a_tool_brings_its_library_and_keeps_state_of_its_own():
    pool = ToolPool.of((STATEFUL, SUMS))
    transfer, balance = found(pool, "transfer")[0], found(pool, "get_balance")[0]
    program = Program((transfer.tool, balance.tool), "BALANCES = {'Ada': 1}\n", {**transfer.data, **balance.data})
    run = InProcessExecutor(program)
    moved = run(ToolCall("transfer", {"source": "Ada", "target": "Bo", "amount": 250}))
    assert moved.output == {"moved": 250, "source_balance": 750}
    assert run(ToolCall("get_balance", {"account": "Bo"})).output["balance"] == 900


def test_a_tool_without_tables_and_library_is_as_it_was():
    (add,) = found(ToolPool.of((SUMS,)), "add")
    assert add.tool == SUMS.tools[0]
    assert add.written == SUMS.tools[0].source
    assert not add.tables


def test_free_names_are_what_a_library_could_change():
    own = tool(
        "Round.",
        {"x": {"type": "number"}},
        "import math\n\ndef half(x):\n    y = round(x)\n    return math.floor(y / 2)\n",
    )
    (half,) = ToolPool.of((env("halves", "numbers", own, data=None, max_turns=3),)).tools
    assert "round" in half.free_names
    assert not {"math", "half"} & half.free_names
    assert library_names(STATEFUL) == {"BALANCES", "balance_of"}


def test_a_tool_whose_helper_stands_in_its_library_place_is_left_out():
    source = (
        "def balance_of(account):\n    return 0\n\n"
        "def get_nothing(account):\n    return [balance_of(account), BALANCES]\n"
    )
    odd = STATEFUL.model_copy(
        update={"tools": (*STATEFUL.tools, tool("Nothing.", {"account": {"type": "string"}}, source))}
    )
    names = [one.tool.name for one in ToolPool.of((odd,)).tools]
    assert names == ["transfer", "get_balance"]


def test_a_key_is_of_the_whole_tool():
    one = JOIN.tools[0]
    others = [one.model_copy(update={field: "x" + getattr(one, field)}) for field in ("name", "description", "source")]
    others.append(one.model_copy(update={"parameters": {**one.parameters, "title": "x"}}))
    assert len({tool_key(tool) for tool in [one, *others]}) == 5
