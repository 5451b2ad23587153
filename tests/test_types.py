"""The nouns check themselves: the graph of a decomposition, the tools of an env, and their form in files."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from itertools import permutations

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from astra_gym.answers import Answer
from astra_gym.records import canonical_json, content_hash
from astra_gym.types import (
    Certificate,
    Decomposition,
    GoldCall,
    Provenance,
    RewardBreakdown,
    SubQuestion,
    ToolEnvSpec,
    ToolFunction,
    ToolSpec,
    Trajectory,
    Verdict,
)

ANY = settings(deadline=None, database=None)
HERE = Provenance(door="hand", dataset="tests", license="CC0-1.0")


def sub(id: str, *after: str, call: GoldCall | None = None) -> SubQuestion:
    return SubQuestion(id=id, question=f"{id}?", answer=Answer.parse("x"), depends_on=after, call=call)


def graph(*subs: SubQuestion) -> Decomposition:
    return Decomposition(id="d", question="?", answer=Answer.parse("x"), sub_questions=subs)


def tool(name: str = "look_up") -> ToolFunction:
    schema = {"type": "object", "properties": {"key": {"type": "string"}}, "required": ["key"]}
    source = f"def {name}(key):\n    return {{'value': TABLE[key]}}\n"
    return ToolFunction(name=name, description="Looks a key up.", parameters=schema, source=source)


def env(**fields: object) -> ToolEnvSpec:
    made = {
        "id": "look-up-v0",
        "question": "?",
        "answer": Answer.parse("x"),
        "sub_questions": (sub("q1", call=GoldCall(tool="look_up", arguments={"key": "a"})),),
        "tools": (tool(),),
        "data": {"TABLE": {"b": 1, "a": "x"}},
        "provenance": HERE,
    }
    return ToolEnvSpec(**(made | fields))


@st.composite
def acyclic(draw: st.DrawFn) -> dict[str, tuple[str, ...]]:
    """Upstream ids of each node of a random graph whose nodes are listed in random order."""
    names = [f"q{i}" for i in range(draw(st.integers(1, 7)))]
    above = {name: draw(st.sets(st.sampled_from(names[:i]))) if i else set() for i, name in enumerate(names)}
    return {name: tuple(sorted(above[name])) for name in draw(st.permutations(names))}


@ANY
@given(acyclic())
def test_the_hop_level_is_the_longest_path(above):
    def longest(name: str) -> int:
        return 1 + max((longest(up) for up in above[name]), default=0)

    made = graph(*(sub(name, *ups) for name, ups in above.items()))
    assert dict(made.hop_levels) == {name: longest(name) for name in above}
    assert made.hops == max(map(longest, above))
    assert set(made.edges) == {(up, name) for name, ups in above.items() for up in ups}
    seen: set[str] = set()
    for each in made.topological:
        assert set(each.depends_on) <= seen
        seen.add(each.id)
    assert seen == set(above)


@ANY
@given(acyclic())
def test_the_scenario_type_follows_from_the_graph(above):
    made = graph(*(sub(name, *ups) for name, ups in above.items()))
    count, edges = len(above), sum(map(len, above.values()))
    chain = any(all(order[i] in above[order[i + 1]] for i in range(count - 1)) for order in permutations(above))
    expected = (
        "Single-Hop"
        if count == 1
        else "Parallel Single-Hop"
        if edges == 0
        else "Multi-Hop"
        if chain
        else "Parallel Multi-Hop"
    )
    assert made.scenario_type == expected


@pytest.mark.parametrize(
    "subs",
    [
        [sub("a", "a")],
        [sub("a", "b"), sub("b", "a")],
        [sub("x"), sub("a", "x", "c"), sub("b", "a"), sub("c", "b")],
    ],
)
def test_a_cycle_is_refused(subs):
    with pytest.raises(ValueError, match="form a cycle"):
        graph(*subs)


def test_ids_have_to_be_unique_and_references_to_resolve():
    with pytest.raises(ValueError, match=r"\['a'\] more than once"):
        graph(sub("a"), sub("b"), sub("a"))
    with pytest.raises(ValueError, match=r"depends on \['z'\], but the ids are \['a', 'b'\]"):
        graph(sub("a"), sub("b", "z"))
    with pytest.raises(ValueError, match="at least 1"):
        graph()


@pytest.mark.parametrize("arguments", [{"k": {"$ref": "a"}}, {"k": [{"x": {"$ref": "a", "path": "/id"}}]}])
def test_a_reference_has_to_be_declared_as_a_dependency(arguments):
    with pytest.raises(ValueError, match=r"refers to \['a'\]"):
        graph(sub("a"), sub("b", call=GoldCall(tool="t", arguments=arguments)))
    declared = graph(sub("a", call=GoldCall(tool="t")), sub("b", "a", call=GoldCall(tool="t", arguments=arguments)))
    assert declared.by_id["b"].call.refs == ("a",)


def test_only_an_object_of_ref_and_path_is_a_reference():
    call = GoldCall(
        tool="t", arguments={"k": {"$ref": "a", "other": 1}, "l": "$ref", "m": {"$ref": "b"}, "n": [{"$ref": "b"}]}
    )
    assert call.refs == ("b",)


def test_those_with_a_gold_call_are_needed():
    made = graph(sub("a", call=GoldCall(tool="t")), sub("b", "a"))
    assert [each.id for each in made.needed] == ["a"]


@pytest.mark.parametrize("name", ["", "1st", "with space", "a" * 65, "é", "x-y", "a\n"])
def test_a_tool_name_has_to_be_an_identifier(name):
    with pytest.raises(ValueError, match="tool name"):
        ToolSpec(name=name, description="", parameters={"type": "object"})


def test_a_tools_parameters_have_to_be_an_object_schema():
    with pytest.raises(ValueError, match="type 'object', found 'string'"):
        ToolSpec(name="t", description="", parameters={"type": "string"})


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"id": "look-up"}, "expected <name>-v<N>"),
        ({"id": "look up-v0"}, "expected <name>-v<N>"),
        ({"id": "a/b-v0"}, "expected <name>-v<N>"),
        ({"tools": (tool(), tool())}, "tool names must be unique"),
        ({"tools": (tool("other"),)}, "calls 'look_up', but the tools are"),
        ({"tools": ()}, "at least 1"),
        ({"sub_questions": (sub("q1"),)}, "nothing to play"),
        ({"max_turns": 0}, "greater than or equal to 1"),
        ({"colour": "red"}, "Extra inputs"),
    ],
)
def test_an_env_that_contradicts_itself_is_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        env(**fields)


def test_records_are_frozen():
    with pytest.raises(ValueError, match="frozen"):
        env().question = "another"


FULL = env(
    sub_questions=(
        SubQuestion(
            id="q1",
            question="?",
            answer=Answer(kind="number", value=1.5, unit="km", abs_tol=0.1, aliases=("one and a half",)),
            call=GoldCall(tool="look_up", arguments={"key": "a"}),
            result_path="/value",
        ),
        sub("q2", "q1", call=GoldCall(tool="look_up", arguments={"key": {"$ref": "q1", "path": "/id"}})),
    ),
    library="STATE = {}\n",
    language="zh",
    certificate=Certificate(content_hash="sha256:0", checks=(Verdict(check="replay", status="pass", evidence=[1]),)),
)


def test_an_env_survives_its_form_in_a_file():
    written = canonical_json(FULL.to_json())
    assert ToolEnvSpec.model_validate(json.loads(written)) == FULL
    assert canonical_json(ToolEnvSpec.model_validate(json.loads(written)).to_json()) == written
    assert "language" not in env().to_json()


def test_the_content_hash_is_of_everything_but_the_certificate():
    bare = FULL.model_copy(update={"certificate": None})
    assert bare.content_hash() == FULL.content_hash()
    for change in ({"question": "other?"}, {"data": {}}, {"library": ""}, {"max_turns": 5}, {"domain": "film"}):
        assert FULL.model_copy(update=change).content_hash() != FULL.content_hash()


def test_the_content_hash_sees_the_order_of_a_table():
    assert env(data={"TABLE": {"a": "x", "b": 1}}).content_hash() != env().content_hash()
    assert len({content_hash(v) for v in ({"a": 1, "b": [1, 2]}, {"b": [1, 2], "a": 1}, {"a": 1, "b": [2, 1]})}) == 3


def test_the_content_hash_is_the_same_in_every_process():
    code = "import sys; from astra_gym.types import ToolEnvSpec; "
    code += "print(ToolEnvSpec.model_validate_json(sys.stdin.read()).content_hash())"
    for seed in ("0", "1", "4242"):
        found = subprocess.run(
            [sys.executable, "-c", code],
            input=orjson.dumps(FULL.to_json()),
            env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
        )
        assert found.stdout.decode().strip() == FULL.content_hash()


def test_tool_schemas_have_the_openai_form_and_no_source():
    (schema,) = env().tool_schemas
    assert schema["type"] == "function"
    assert set(schema["function"]) == {"name", "description", "parameters"}


@ANY
@given(st.integers(1, 50), st.integers(-5, 60), st.integers(-5, 60))
def test_a_breakdown_holds_possible_counts_only(needed, solved, calls):
    if 0 <= solved <= min(needed, calls):
        made = RewardBreakdown(needed, solved, calls)
        assert 0.0 <= made.f1 <= 1.0
        assert (made.f1 == 1.0) == (needed == solved == calls)
        return
    with pytest.raises(ValueError, match="0 <= solved"):
        RewardBreakdown(needed, solved, calls)


def test_a_trajectory_adds_up():
    made = Trajectory(
        env_id="x-v0",
        seed=1,
        actions=("a", "b"),
        rewards=(0.5, 0.25),
        messages=(),
        tools=(),
        needed=4,
        solved=3,
        calls=4,
        stop_reason="final_answer",
        edges={"a->b": "satisfied"},
    )
    assert made.total_reward == 0.75
    assert made.breakdown.f1 == 0.75
    assert Trajectory.model_validate(json.loads(canonical_json(made.to_json()))) == made
