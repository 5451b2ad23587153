"""Arguments are checked against the schema: the message says where, what was found, what would do. Nothing raises."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from astra_gym.errors import SpecError
from astra_gym.sandbox import ArgumentValidator
from astra_gym.types import ToolSpec

SCHEMA = {
    "type": "object",
    "properties": {
        "city": {"type": "string", "pattern": "^[A-Z][a-z]+$", "maxLength": 20},
        "count": {"type": "integer", "minimum": 1, "maximum": 10},
        "unit": {"enum": ["km", "mi"]},
        "where": {"type": "object", "properties": {"lat": {"type": "number"}}, "required": ["lat"]},
        "tags": {"type": "array", "items": {"type": "string"}, "uniqueItems": True},
    },
    "required": ["city"],
    "additionalProperties": False,
}


def validator(schema: dict[str, Any] | None = None) -> ArgumentValidator:
    return ArgumentValidator(ToolSpec(name="t", description="", parameters=schema or SCHEMA))


@pytest.mark.parametrize(
    "arguments",
    [
        {"city": "Oslo"},
        {"city": "Oslo", "count": 10, "unit": "km", "where": {"lat": 1.5, "more": [1]}, "tags": ["a", "b"]},
    ],
)
def test_fitting_arguments_pass(arguments: dict[str, Any]) -> None:
    assert validator().check(arguments) is None


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({}, "missing 'city'; given: nothing"),
        ({"count": 1}, "missing 'city'; given: 'count'"),
        ({"city": 3}, "at /city: expected string, found integer 3"),
        ({"city": None}, "at /city: expected string, found null null"),
        ({"city": "oslo"}, "at /city: expected text that matches '^[A-Z][a-z]+$', found \"oslo\""),
        ({"city": "Oslo", "count": "3"}, 'at /count: expected integer, found string "3"'),
        ({"city": "Oslo", "count": True}, "at /count: expected integer, found boolean true"),
        ({"city": "Oslo", "count": 11}, "at /count: found 11, which breaks maximum: 10"),
        ({"city": "Oslo", "unit": "yd"}, 'at /unit: expected one of "km", "mi", found "yd"'),
        ({"city": "Oslo", "where": {}}, "at /where: missing 'lat'"),
        ({"city": "Oslo", "where": {"lat": "x"}}, "at /where/lat: expected number"),
        ({"city": "Oslo", "tags": ["a", 1]}, "at /tags/1: expected string, found integer 1"),
        ({"city": "Oslo", "town": "x"}, "unknown 'town'; expected only"),
    ],
)
def test_the_message_says_where_what_and_what_would_do(arguments: dict[str, Any], said: str) -> None:
    error = validator().check(arguments)
    assert error is not None
    assert error.code == "invalid_arguments"
    assert said in error.message


def test_several_problems_are_named_together() -> None:
    error = validator().check({"city": 1, "count": "x", "unit": 3, "tags": 4})
    assert error is not None
    assert error.message.count("expected") == 3
    assert "and 1 more" in error.message


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    "value",
    [
        float("nan"),
        float("inf"),
        "\ud800",
        {"\udfff": 1},
        nested(100),
        nested(5000),
        {"a": {"b": "\ud800"}},
        b"bytes",
        {1, 2},
        object(),
        {1: 2},
        (1, 2),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_json_does_not_have_is_refused_and_never_raises(value: Any) -> None:
    error = validator({"type": "object"}).check({"x": value})
    assert error is not None
    assert error.code == "invalid_arguments"
    orjson.dumps(error.message)


@pytest.mark.parametrize("value", [10**30, -(10**400), "x" * 1_000_000, "é\0\n", 0.1, [], {}, None, True, [[1]]])
def test_unusual_json_values_pass_an_open_schema(value: Any) -> None:
    assert validator({"type": "object"}).check({"x": value}) is None


def test_a_huge_wrong_value_gives_a_short_message() -> None:
    error = validator().check({"city": ["x" * 100_000] * 100})
    assert error is not None
    assert len(error.message) < 1000


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(exclude_categories=[])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(exclude_categories=[])), inner),
)


@given(st.dictionaries(st.sampled_from(["city", "count", "unit", "where", "tags", "x"]), JSON))
def test_no_arguments_make_it_raise(arguments: dict[str, Any]) -> None:
    error = validator().check(arguments)
    assert error is None or orjson.dumps(error.message)


@pytest.mark.parametrize(
    ("properties", "said"),
    [
        ({"a": {"type": "text"}}, "schema at /properties/a/type"),
        ({"a": {"$ref": "https://example.org/x.json"}}, "only references inside the schema"),
        ({"a": {"$ref": "file:///etc/passwd"}}, "only references inside the schema"),
        ({"a": {"type": "string", "pattern": "^(a+)+$"}}, "refused: a repeat inside a repeat"),
        ({"a": {"type": "string", "pattern": "("}}, "not a 'regex'"),
        ({"a": {"$id": "urn:x"}}, "'$id' is not allowed"),
        ({"a": {"patternProperties": {"(x*)*y": {}}}}, "refused"),
    ],
)
def test_a_schema_that_cannot_be_trusted_is_an_error_that_names_the_place(properties: Any, said: str) -> None:
    with pytest.raises(SpecError) as caught:
        validator({"type": "object", "properties": properties})
    assert said in str(caught.value)


def test_a_property_called_ref_or_pattern_is_only_a_property() -> None:
    schema = {"type": "object", "properties": {"$ref": {"type": "string"}, "pattern": {"enum": ["(a+)+"]}, "$id": {}}}
    assert validator(schema).check({"$ref": "x", "pattern": "(a+)+"}) is None


def test_references_inside_the_schema_work() -> None:
    schema = {"type": "object", "properties": {"a": {"$ref": "#/$defs/n"}}, "$defs": {"n": {"type": "integer"}}}
    assert validator(schema).check({"a": 1}) is None
    assert validator(schema).check({"a": "x"}) is not None
