"""What a source must look like before it runs: its signature, its tables, and no answer written into it."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import pytest

from astra_gym.answers import Answer
from astra_gym.env_synthesis.llm.feedback import Unfit
from astra_gym.env_synthesis.llm.source_rules import check_constants, check_signature
from astra_gym.types import ToolSpec

TOOL = ToolSpec(
    name="price",
    description="d",
    parameters={
        "type": "object",
        "properties": {"item": {"type": "string"}, "count": {"type": "integer", "default": 1}},
        "required": ["item"],
    },
)


@pytest.mark.parametrize("header", ["def price(item, count=1):", "def price(item: str, *, count: int = 1) -> dict:"])
def test_a_function_may_write_its_parameters_in_any_order_and_style(header: str) -> None:
    check_signature(f"{header}\n    return item\n", TOOL)


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("def price(item):\n    return item\n", "has the parameters"),
        ("def price(item, count):\n    return item\n", "'count' is optional in the document"),
        ("def price(item, count=2):\n    return item\n", "the default of 'count' is 1 in the document, 2 in"),
        ("def price(item, *rest, count=1):\n    return item\n", "without \\*args"),
        ("def price(**given):\n    return given\n", "without \\*args"),
        ("def price(item, count=1):\n    price = 2\n    return price\n", "names something besides"),
        ("import functools\n@functools.cache\ndef price(item, count=1):\n    return item\n", "must not be decorated"),
    ],
)
def test_a_function_with_other_parameters_is_unfit(source: str, told: str) -> None:
    with pytest.raises(Unfit, match=told):
        check_signature(source, TOOL)


@pytest.mark.parametrize(
    ("source", "data", "answer", "held"),
    [
        ("def f(x):\n    return {'Oslo': 'Norway'}[x]\n", {}, "Norway", True),
        ("def f(x):\n    return T[x] or 'Norway'\n", {"T": {}}, "Norway", False),
        ("def f(x):\n    return 'calm' if x < 5 else 'breezy'\n", {}, "calm", False),
        ("def f(x):\n    return {'a': 1234}[x]\n", {}, 1234, True),
        ("def f(x):\n    return x * 100\n", {}, 100, False),
        ("def f(x):\n    return x * 10000\n", {}, 10000, False),
        ("def f(x):\n    return {'a': 12.5}[x]\n", {}, "12.5 EUR", True),
        ("def f(x):\n    return x == 'yes'\n", {}, True, False),
    ],
)
def test_an_answer_may_not_stand_in_a_source_without_tables(
    source: str, data: dict[str, Any], answer: Any, held: bool
) -> None:
    expected = pytest.raises(Unfit, match="as a constant") if held else nullcontext()
    with expected:
        check_constants(source, data, Answer.parse(answer))
