"""Written arithmetic such as `16 - 3 - 4` or `80,000 x 1.5`: parsed into a tree, evaluated exactly, printed.

Only numbers, + - * /, parentheses and percentages are read; nothing is ever passed to `eval`. Which numbers become
parameters of a tool is decided by the door that asks.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import Literal, TypeAlias

MAX_CHARS = 400
MAX_NUMBERS = 24
MAX_DEPTH = 12

Operator = Literal["+", "-", "*", "/"]
NUMBER = r"(?:\d{1,3}(?:,\d{3}){1,12}|\d{1,40})(?:\.\d{0,40})?|\.\d{1,40}"
"""A decimal number without sign; commas may group thousands."""

_TOKEN = re.compile(rf"\s*(?:({NUMBER})(\s*%)?|([-+*/()]))")
_SPELLINGS = {
    "×": "*",
    "·": "*",
    "∗": "*",
    "÷": "/",
    "∕": "/",
    "−": "-",
    "–": "-",
    "—": "-",
    "x": "*",
    "X": "*",
    "$": " ",
}
_UNUSUAL = re.compile("|".join(re.escape(sign) for sign in _SPELLINGS))
_PRECEDENCE = {"+": 1, "-": 1, "*": 2, "/": 2}


class ArithmeticSyntaxError(ValueError):
    """The text is not arithmetic of the kind read here; the message says what was found."""


@dataclass(frozen=True, slots=True)
class Number:
    """A number as written; `index` counts the numbers of the expression from the left, from 0."""

    index: int
    value: Fraction


@dataclass(frozen=True, slots=True)
class Percent:
    """A number followed by a percent sign: a hundredth of it."""

    number: Number


@dataclass(frozen=True, slots=True)
class Negation:
    operand: Tree


@dataclass(frozen=True, slots=True)
class Operation:
    operator: Operator
    left: Tree
    right: Tree


Tree: TypeAlias = Number | Percent | Negation | Operation


def parse(text: str) -> Tree:
    """The tree of written arithmetic.

    Raises: ArithmeticSyntaxError when it is not arithmetic, or longer or deeper than the limits of this module.
    """
    if len(text) > MAX_CHARS:
        raise ArithmeticSyntaxError(f"expected at most {MAX_CHARS} characters, found {len(text)}")
    reader = _Reader(_tokens(_UNUSUAL.sub(lambda sign: _SPELLINGS[sign[0]], text)), text)
    tree = reader.sum(0)
    reader.expect_end()
    return tree


def literals(tree: Tree) -> list[Number]:
    """The numbers of the tree, from the left."""
    return list(_leaves(tree))


def evaluate(tree: Tree, values: Callable[[Number], Fraction] = lambda leaf: leaf.value) -> Fraction:
    """The exact value, with each number replaced by `values` of it. Raises: ZeroDivisionError."""
    if isinstance(tree, Number):
        return values(tree)
    if isinstance(tree, Percent):
        return values(tree.number) / 100
    if isinstance(tree, Negation):
        return -evaluate(tree.operand, values)
    left, right = evaluate(tree.left, values), evaluate(tree.right, values)
    if tree.operator == "+":
        return left + right
    if tree.operator == "-":
        return left - right
    return left * right if tree.operator == "*" else left / right


def formula(tree: Tree, names: Callable[[Number], str]) -> str:
    """The tree as a Python expression with the fewest parentheses; `names` prints each number."""
    return _print(tree, names)[0]


@lru_cache(maxsize=4096)
def written_value(text: str) -> Fraction:
    """The value of one written number ("1,200", ".5")."""
    return Fraction(text.replace(",", "").rstrip(".") or "0")


def decimal_text(value: Fraction) -> str:
    """A terminating decimal in plain notation; other fractions as `n / d`."""
    if value.denominator == 1:
        return str(value.numerator)
    denominator = value.denominator
    for factor in (2, 5):
        while denominator % factor == 0:
            denominator //= factor
    if denominator != 1:
        return f"{value.numerator} / {value.denominator}"
    digits = 0
    while (value * 10**digits).denominator != 1:
        digits += 1
    return f"{float(value):.{digits}f}"


def _print(tree: Tree, names: Callable[[Number], str]) -> tuple[str, int]:
    """The text of `tree` and how tightly its outermost operator binds."""
    if isinstance(tree, Number):
        return names(tree), 3
    if isinstance(tree, Percent):
        return f"{names(tree.number)} / 100", 2
    if isinstance(tree, Negation):
        text, binding = _print(tree.operand, names)
        return f"-{text if binding == 3 else f'({text})'}", 3
    level = _PRECEDENCE[tree.operator]
    left, left_binding = _print(tree.left, names)
    right, right_binding = _print(tree.right, names)
    if left_binding < level:
        left = f"({left})"
    if right_binding < level or (right_binding == level and tree.operator in "-/") or right.startswith("-"):
        right = f"({right})"
    return f"{left} {tree.operator} {right}", level


def _leaves(tree: Tree) -> Iterator[Number]:
    if isinstance(tree, Number):
        yield tree
    elif isinstance(tree, Percent):
        yield tree.number
    elif isinstance(tree, Negation):
        yield from _leaves(tree.operand)
    else:
        yield from _leaves(tree.left)
        yield from _leaves(tree.right)


def _tokens(text: str) -> list[tuple[str, bool]]:
    """(number or sign, followed by a percent sign) in order."""
    tokens: list[tuple[str, bool]] = []
    at = 0
    text = text.rstrip()
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise ArithmeticSyntaxError(
                f"expected a number or one of + - * / ( ), found {text[at : at + 12].strip()!r}"
            )
        tokens.append((match[1] or match[3], match[2] is not None))
        at = match.end()
    return tokens


class _Reader:
    """Recursive descent over tokens: sum of products of signed numbers and parentheses."""

    def __init__(self, tokens: list[tuple[str, bool]], text: str) -> None:
        self._tokens = tokens
        self._text = text
        self._at = 0
        self._numbers = 0

    def sum(self, depth: int) -> Tree:
        tree = self._product(depth)
        while self._peek() in ("+", "-"):
            operator = self._next()
            tree = Operation("+" if operator == "+" else "-", tree, self._product(depth))
        return tree

    def expect_end(self) -> None:
        if self._at < len(self._tokens):
            raise ArithmeticSyntaxError(f"expected an operator in {self._text!r}, found {self._peek()!r}")

    def _product(self, depth: int) -> Tree:
        tree = self._factor(depth)
        while self._peek() in ("*", "/"):
            operator = self._next()
            tree = Operation("*" if operator == "*" else "/", tree, self._factor(depth))
        return tree

    def _factor(self, depth: int) -> Tree:
        if depth > MAX_DEPTH:
            raise ArithmeticSyntaxError(f"expected at most {MAX_DEPTH} nested signs and parentheses")
        token = self._peek()
        if token == "+":
            self._next()
            return self._factor(depth + 1)
        if token == "-":
            self._next()
            return Negation(self._factor(depth + 1))
        if token == "(":
            self._next()
            tree = self.sum(depth + 1)
            if self._peek() != ")":
                raise ArithmeticSyntaxError(f"expected ')' in {self._text!r}")
            self._next()
            return tree
        return self._number()

    def _number(self) -> Tree:
        token = self._peek()
        if token is None or not (token[0].isdigit() or token[0] == "."):
            raise ArithmeticSyntaxError(f"expected a number in {self._text!r}, found {token or 'the end'!r}")
        if self._numbers == MAX_NUMBERS:
            raise ArithmeticSyntaxError(f"expected at most {MAX_NUMBERS} numbers")
        percent = self._tokens[self._at][1]
        leaf = Number(self._numbers, written_value(self._next()))
        self._numbers += 1
        return Percent(leaf) if percent else leaf

    def _peek(self) -> str | None:
        return self._tokens[self._at][0] if self._at < len(self._tokens) else None

    def _next(self) -> str:
        token = self._tokens[self._at][0]
        self._at += 1
        return token
