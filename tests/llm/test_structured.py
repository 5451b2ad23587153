"""One JSON object out of what models write, and words for what does not fit."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import Field

from astra_gym.llm.structured import UnfitReplyError, find_object, parse_reply, reply_schema
from astra_gym.records import JSON, Record


class Step(Record):
    title: str
    needs: tuple[str, ...] = ()


class Plan(Record):
    """A plan."""

    steps: tuple[Step, ...] = Field(min_length=1)
    value: JSON = None


@pytest.mark.parametrize(
    "content",
    [
        '{"a": 1}',
        ' \n {"a": 1}\n',
        '```json\n{"a": 1}\n```',
        'Here you are:\n\n```\n{"a": 1}\n```\nAnything else?',
        'The plan is {"a": 1}. Good luck!',
        '<think>First {"b": 2}? No.</think>\n{"a": 1}',
        '\n<think>\n```json\n{"b": 2}\n```\n</think>```JSON\n{"a": 1}\n```',
    ],
)
def test_the_one_object_is_found(content: str) -> None:
    assert find_object(content) == {"a": 1}


def test_fences_inside_a_text_are_left_alone() -> None:
    assert find_object('{"source": "```\\ncode\\n```"}') == {"source": "```\ncode\n```"}


def test_a_thought_inside_a_text_is_left_alone() -> None:
    assert find_object('{"text": "<think>hm</think> yes"}') == {"text": "<think>hm</think> yes"}


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("", "no JSON object"),
        ("forty-two", "no JSON object"),
        ("[1, 2]", "no JSON object"),
        ('[{"a": 1}]', "a JSON list"),
        ('{"a": 1} {"a": 2}', "more than one"),
        ('```json\n{"a": 1}\n```\n```json\n{"a": 2}\n```', "more than one"),
        ('{"a": 1', "not valid JSON: .* near"),
        ("{'a': 1}", "not valid JSON: .* near \"{'a': 1}\""),
        ('{"a": 1, "a": 2}', r"keys \['a'\] more than once"),
        ('{"b": {"a": 1, "a": 1}}', r"keys \['a'\] more than once"),
        ('{"a": NaN}', "NaN is no JSON value"),
        ('{"a": -Infinity}', "-Infinity is no JSON value"),
        ('<think>hm {"a": 1}', "no end"),
        ('{"a": ' * 100_000, "nested too deep"),
    ],
)
def test_anything_else_says_why(content: str, why: str) -> None:
    with pytest.raises(UnfitReplyError, match=why):
        find_object(content)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ('{"steps": []}', "at /steps: "),
        ("{}", "at /steps: Field required$"),
        ('{"steps": [{"title": 3}]}', r"at /steps/0/title: .*\(found 3\)"),
        ('{"steps": [{"title": "a"}], "more": 1}', "at /more: "),
        ('{"steps": [{"title": "a"}], "value": 1e999}', "a number must be finite"),
        ('{"steps": [{"title": "a"}], "value": 123456789012345678901}', "must fit 64 bits"),
        ('{"steps": [{"title": "\\ud800"}]}', "lone surrogates"),
        ('{"steps": [1, 2, 3, 4, 5, 6, 7]}', "; and 3 more$"),
    ],
)
def test_a_reply_that_does_not_fit_says_where(content: str, why: str) -> None:
    with pytest.raises(UnfitReplyError, match=why):
        parse_reply(content, Plan)


def test_the_callers_condition_is_part_of_fitting() -> None:
    def short(plan: Plan) -> None:
        if len(plan.steps) > 1:
            raise ValueError("one step at most")

    assert parse_reply('{"steps": [{"title": "a"}]}', Plan, short).steps[0].title == "a"
    with pytest.raises(UnfitReplyError, match="one step at most"):
        parse_reply('{"steps": [{"title": "a"}, {"title": "b"}]}', Plan, short)


def test_the_schema_keeps_a_field_called_title_and_no_made_up_titles() -> None:
    schema = reply_schema(Plan)
    step: dict[str, Any] = schema["$defs"]["Step"]
    assert step["properties"].keys() == {"title", "needs"}
    assert step["required"] == ["title"]
    assert "title" not in schema
    assert "title" not in step
    assert schema["description"] == "A plan."
