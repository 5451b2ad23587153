"""The action space samples calls that fit the tools' schemas; both spaces behave as Gymnasium expects of a space."""

from __future__ import annotations

import copy
import multiprocessing
import pickle

import jsonschema
import numpy as np
import pytest
from gymnasium.vector.utils import batch_space, create_shared_memory, read_from_shared_memory, write_to_shared_memory
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis_jsonschema import from_schema

from astra_gym.errors import SpecError
from astra_gym.pattern_samples import sample_matching
from astra_gym.schema_samples import sample_schema
from astra_gym.spaces import ToolCallSpace, UnicodeText
from astra_gym.tool_calls import parse_turn
from astra_gym.types import ToolCall, ToolSpec
from tests.specs import ALL, CHAIN, JOIN

PICKY = ToolSpec(
    name="picky",
    description="Many keywords.",
    parameters={
        "type": "object",
        "properties": {
            "code": {"type": "string", "pattern": "^[A-Z]{3}-\\d{2,}$"},
            "day": {"type": "string", "format": "date"},
            "share": {"type": "number", "exclusiveMinimum": 0, "maximum": 1},
            "count": {"type": ["integer", "null"], "minimum": 3, "multipleOf": 3, "maximum": 9},
            "tags": {"type": "array", "items": {"enum": ["a", "b", "c"]}, "minItems": 1, "uniqueItems": True},
            "where": {"anyOf": [{"$ref": "#/$defs/city"}, {"type": "boolean"}]},
        },
        "required": ["code", "day", "share", "count", "tags", "where"],
        "additionalProperties": False,
        "$defs": {
            "city": {
                "type": "object",
                "properties": {"name": {"type": "string", "minLength": 1}, "twin": {"$ref": "#/$defs/city"}},
                "required": ["name"],
            }
        },
    },
)


def sampled_call(space: ToolCallSpace) -> ToolCall:
    (call,) = parse_turn(space.sample()).calls
    assert isinstance(call, ToolCall)
    return call


@pytest.mark.parametrize("tools", [*(spec.tools for spec in ALL), (PICKY,)], ids=lambda tools: tools[0].name)
def test_samples_are_calls_that_fit_the_schema(tools):
    space = ToolCallSpace(tools, seed=1)
    schemas = {tool.name: tool.parameters for tool in tools}
    names = set()
    for _ in range(60):
        call = sampled_call(space)
        jsonschema.validate(call.arguments, schemas[call.name], format_checker=jsonschema.FormatChecker())
        names.add(call.name)
    assert names == set(schemas)


def test_equal_seeds_give_equal_samples():
    one, two = ToolCallSpace((PICKY, *CHAIN.tools), seed=7), ToolCallSpace((PICKY, *CHAIN.tools), seed=7)
    first = [one.sample() for _ in range(20)]
    assert first == [two.sample() for _ in range(20)]
    one.seed(7)
    assert first == [one.sample() for _ in range(20)]
    assert len(set(first)) > 10


def test_a_mask_or_probabilities_choose_the_tool():
    space = ToolCallSpace(CHAIN.tools, seed=0)
    masked = {parse_turn(space.sample(mask=np.array([0, 1, 0], dtype=np.int8))).calls[0].name for _ in range(20)}
    weighted = {parse_turn(space.sample(probability=np.array([0, 0, 1.0]))).calls[0].name for _ in range(20)}
    assert (masked, weighted) == ({"get_person"}, {"get_country"})
    with pytest.raises(ValueError, match="not both"):
        space.sample(mask=np.ones(3, dtype=np.int8), probability=np.ones(3) / 3)


@pytest.mark.parametrize(
    "schema", [{"type": "integer", "minimum": 5, "maximum": 4}, {"type": "string", "pattern": "(?=x)"}]
)
def test_a_schema_that_cannot_be_sampled_is_an_error_with_the_schema(schema):
    with pytest.raises(SpecError, match="no value found for the schema"):
        sample_schema(schema, np.random.default_rng(0))


def test_a_schema_that_is_none_is_an_error():
    with pytest.raises(SpecError, match="not a JSON Schema"):
        sample_schema({"type": "nonsense"}, np.random.default_rng(0))


def test_what_a_schema_offers_is_the_last_resort():
    schema = {
        "type": "object",
        "properties": {"x": {"type": "string", "pattern": "(?<!a)b", "examples": ["b"]}},
        "required": ["x"],
    }
    assert sample_schema(schema, np.random.default_rng(0)) == {"x": "b"}


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.fixed_dictionaries(
        {"type": st.just("object")},
        optional={
            "properties": st.dictionaries(
                st.sampled_from("abc"),
                st.sampled_from(
                    [
                        {"type": "string", "maxLength": 2},
                        {"type": "integer", "minimum": -3},
                        {"type": "number", "maximum": 0.5},
                        {"type": "array", "items": {"type": "boolean"}, "maxItems": 1},
                        {"const": 4},
                        {},
                    ]
                ),
            ),
            "required": st.lists(st.sampled_from("abc"), unique=True),
            "minProperties": st.integers(0, 2),
        },
    ).filter(
        lambda schema: (
            len({*schema.get("properties", {}), *schema.get("required", [])}) >= schema.get("minProperties", 0)
        )
    ),
    st.integers(0, 1000),
)
def test_samples_of_generated_schemas_validate(schema, seed):
    jsonschema.validate(sample_schema(schema, np.random.default_rng(seed)), schema)


@given(from_schema({"type": "string", "pattern": "^[a-c]*x?$"}))
def test_the_reference_generator_and_ours_agree_on_a_pattern(text):
    assert {*text} <= {*"abcx"}
    assert {*sample_matching("^[a-c]*x?$", np.random.default_rng(len(text)))} <= {*"abcx"}


@pytest.mark.parametrize("pattern", [r"^[^a-z\s]+$", r"\d{3}-\D\w\W", r"(?:ab|[cd])+?e*", r"[\d.]+", r"a.c", r"[^\d]"])
def test_strings_of_a_pattern_match_it(pattern):
    import re

    rng = np.random.default_rng(3)
    for _ in range(50):
        assert re.search(pattern, sample_matching(pattern, rng))


@pytest.mark.parametrize("space", [ToolCallSpace(CHAIN.tools, seed=1), UnicodeText(40, seed=1)], ids=["calls", "text"])
def test_spaces_compare_copy_and_pickle(space):
    for twin in (copy.deepcopy(space), pickle.loads(pickle.dumps(space))):
        assert twin == space
        assert twin.sample() == copy.deepcopy(space).sample()
    assert space != "something else"
    assert repr(space)
    assert not space.is_np_flattenable
    batched = batch_space(space, 3)
    assert batched.sample() in batched


def test_spaces_of_different_envs_differ():
    assert ToolCallSpace(CHAIN.tools) != ToolCallSpace(JOIN.tools)
    assert UnicodeText(3) != UnicodeText(4)


def test_any_text_is_an_action_and_text_has_a_length():
    assert "no call at all \ud800\x00" in ToolCallSpace(CHAIN.tools)
    assert 3 not in ToolCallSpace(CHAIN.tools)
    assert "日本" in UnicodeText(2)
    assert "日本語" not in UnicodeText(2)
    assert all(text in UnicodeText(6, seed=i) for i in range(30) for text in [UnicodeText(6, seed=i).sample()])
    with pytest.raises(ValueError, match="no mask"):
        UnicodeText(6).sample(mask=np.ones(1))


def test_texts_are_shared_between_processes_as_they_are():
    space = UnicodeText(10)
    memory = create_shared_memory(space, n=3, ctx=multiprocessing.get_context("spawn"))
    shared = read_from_shared_memory(space, memory, n=3)
    write_to_shared_memory(space, 0, "", memory)
    write_to_shared_memory(space, 1, "日本語 x\x00", memory)
    write_to_shared_memory(space, 2, "😀" * 10, memory)
    before = copy.deepcopy(shared)
    assert before == ("", "日本語 x\x00", "😀" * 10)
    write_to_shared_memory(space, 2, "short", memory)
    assert (shared[2], shared[-2:], len(shared)) == ("short", ("日本語 x\x00", "short"), 3)
    assert before[2] == "😀" * 10
