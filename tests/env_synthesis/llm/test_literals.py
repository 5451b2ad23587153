"""Which values somebody who reads the question can have: spellings of texts, dates and numbers; a schema's offers."""

from __future__ import annotations

from typing import Any

import pytest

from astra_gym.env_synthesis.llm.literals import Stated, literals, named_by_schema

QUESTION = "On September 4, 2025, do 3 adults and twelve children pay more than $1,200 (with 15% off) in Port Mora, NM?"
CHINESE = "2025年9月4日从上海到杭州的三张票一共多少钱，十二岁以下打八五折？"


@pytest.mark.parametrize(
    "value",
    ["Port Mora", "port mora, nm", "Mora (NM)", "2025-09-04", "2025-09", 3, 12, 1200, 15, 0.15, "3", 2025, True, None],
)
def test_what_the_question_states_in_any_spelling_is_stated(value: Any) -> None:
    assert Stated(QUESTION).holds(value)


@pytest.mark.parametrize("value", ["Lind", "Port Lind", "2025-09-05", "2025-10", 5, 16, 1201, "Mora Bay", "Moran"])
def test_anything_else_is_not(value: Any) -> None:
    assert not Stated(QUESTION).holds(value)


@pytest.mark.parametrize(
    ("value", "stated"),
    [("上海", True), ("杭州", True), ("2025-09-04", True), (3, True), (12, True), ("南京", False), (7, False)],
)
def test_chinese_is_read_too(value: Any, stated: bool) -> None:
    assert Stated(CHINESE).holds(value) is stated


def test_references_are_no_literals() -> None:
    given = {"a": {"$ref": "q1"}, "b": ["x", {"$ref": "q2", "path": "/y"}], "c": {"d": 1, "e": None}}
    assert list(literals(given)) == ["x", 1, None]


def test_a_schema_offers_its_enums_constants_and_defaults() -> None:
    schema = {
        "type": ["string"],
        "enum": ["day", "week"],
        "anyOf": [{"const": 7}],
        "default": "day",
        "examples": ["no"],
    }
    assert named_by_schema(schema) == ["day", "week", 7, "day"]
