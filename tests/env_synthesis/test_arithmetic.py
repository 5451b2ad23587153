from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from astra_gym.env_synthesis.sources.arithmetic import (
    ArithmeticSyntaxError,
    Number,
    Operation,
    Tree,
    decimal_text,
    evaluate,
    formula,
    literals,
    parse,
)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("16-3-4", 9),
        ("2*(3+4)", 14),
        ("20-(5-2)", 17),
        ("100/8/2", Fraction(25, 4)),
        ("80,000 x 1.5", 120_000),
        ("12 × 3 ÷ 4", 9),
        ("$7 − $2", 5),
        (".5*30", 15),
        ("20%*50", 10),
        ("+30+46", 76),
        ("-(2+3)", -5),
        ("007+1.", 8),
        ("1,200", 1200),
    ],
)
def test_written_arithmetic_has_its_exact_value(text, value):
    assert evaluate(parse(text)) == value


@pytest.mark.parametrize(
    "text",
    [
        *("", "2+", "(2+3", "2+3)", "2 3", "x+1", "__import__('os')", "2**8", "7//2", "1e9", "1,2,3"),
        *("(" * 40 + "1" + ")" * 40, "-" * 40 + "1", "+".join("1" * 40), "1" * 500),
    ],
)
def test_what_is_not_plain_arithmetic_is_refused(text):
    with pytest.raises(ArithmeticSyntaxError):
        parse(text)


def test_division_by_zero_is_the_callers_to_handle():
    with pytest.raises(ZeroDivisionError):
        evaluate(parse("1/(2-2)"))


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        ("(a-b)-c", "n0 - n1 - n2"),
        ("a-(b-c)", "n0 - (n1 - n2)"),
        ("a/(b*c)", "n0 / (n1 * n2)"),
        ("(a+b)*c", "(n0 + n1) * n2"),
    ],
)
def test_a_formula_has_the_fewest_parentheses_that_keep_its_meaning(text, printed):
    tree = parse(text.translate(str.maketrans("abc", "123")))
    assert formula(tree, lambda leaf: f"n{leaf.index}") == printed


def trees(numbers: st.SearchStrategy[int]) -> st.SearchStrategy[Tree]:
    leaves = numbers.map(lambda n: Number(0, Fraction(n)))
    return st.recursive(
        leaves,
        lambda inner: st.builds(Operation, st.sampled_from("+-*/"), inner, inner),
        max_leaves=8,
    )


@given(trees(st.integers(min_value=1, max_value=50)))
def test_a_printed_formula_reads_back_to_the_same_value(tree):
    try:
        value = evaluate(tree)
    except ZeroDivisionError:
        return
    assert evaluate(parse(formula(tree, lambda leaf: str(leaf.value)))) == value


def test_literals_come_from_the_left_with_their_places():
    assert [(leaf.index, leaf.value) for leaf in literals(parse("3*(4+5%)"))] == [(0, 3), (1, 4), (2, 5)]


@pytest.mark.parametrize(("value", "text"), [(Fraction(5), "5"), (Fraction(1, 8), "0.125"), (Fraction(1, 3), "1 / 3")])
def test_numbers_are_printed_as_they_are_written(value, text):
    assert decimal_text(value) == text
