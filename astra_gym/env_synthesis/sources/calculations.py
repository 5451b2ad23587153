"""Worked solutions in words, read as steps: each calculation with its sub-question, its text and its stated result.

Calculations are marked `<<16-3-4=9>>`; an unmarked "25 - 2 = 23" is read too where a line has no marked one and the
equation holds. Whether the numbers of a step come from the question or from another step is decided in `value_flow.py`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

from astra_gym.env_synthesis.sources.arithmetic import (
    NUMBER,
    ArithmeticSyntaxError,
    Number,
    Tree,
    evaluate,
    literals,
    parse,
)
from astra_gym.env_synthesis.sources.quantities import find_quantities

_MARKED = re.compile(r"<<([^<>]*)>>")
_FINAL = re.compile(r"^####\s*(.*)$")
_MONEY = r"(?:[$€£]\s?)?"
_WORDS = r"(?:\s+(?!x\b)[A-Za-z][A-Za-z.'’]*(?:/[A-Za-z]+)?){0,4}"
_PLAIN = re.compile(
    rf"(?<![\w.,%/)])(?P<left>{_MONEY}(?:{NUMBER}){_WORDS}(?:\s*[-+*/x×÷–−]\s*{_MONEY}(?:{NUMBER}){_WORDS})+)"
    rf"\s*=\s*{_MONEY}(?P<right>{NUMBER})(?!\s*[-+*/x×÷%]?\s*[\d(]|\s*%|[A-Za-z])"
)
_SIGNS = frozenset("+-*/×÷–−=()$€£%.,0123456789 ")
MAX_CHARS = 10_000
"""Longest solution, and longest question to it, that is read."""
MAX_LINE_CHARS = 2_000
MAX_STEPS = 40
MAX_MAGNITUDE = 10**15
"""Largest number that is read: beyond it a float no longer holds every whole number."""


class SolutionError(ValueError):
    """A worked solution that cannot be read; the message says which line and what was found."""


@dataclass(frozen=True, slots=True)
class Step:
    """One calculation, or one line that only states a value (then `tree` is None)."""

    line: int
    """Which line of the solution, from 1."""
    order: int
    """Which calculation of its line, from 0."""
    question: str
    """The sub-question, as given or made from the line's own words."""
    text: str
    """The line's words around the calculation, without the marks."""
    value: Fraction
    """The result as stated."""
    digits: int
    """Decimal places of the stated result."""
    tree: Tree | None
    money: bool
    """Whether the result stands after a currency sign."""
    given: bool
    """Whether the sub-question is the data set's own."""


@dataclass(frozen=True, slots=True)
class Solution:
    steps: tuple[Step, ...]
    final: Fraction
    passed_over: tuple[int, ...]
    """Lines that state neither a calculation nor exactly one value (naming a variable, say)."""


def read_solution(text: str) -> Solution:
    """The steps of a worked solution whose last line is `#### final`.

    Lines are `SUB-QUESTION ** text`, or `text` alone: then the sub-question is the text with its result left blank.

    Raises: SolutionError for a missing or unreadable final answer, a mark that is not `expr=value`, or one whose
        value is not what its expression gives (a rounded value is taken as such).
    """
    if len(text) > MAX_CHARS:
        raise SolutionError(f"expected at most {MAX_CHARS} characters, found {len(text)}")
    lines = [line.strip() for line in text.strip().splitlines() if line.strip()]
    if not lines or not (final := _FINAL.match(lines[-1])):
        raise SolutionError(f"expected a last line '#### answer', found {(lines or [''])[-1][:80]!r}")
    if too_long := [i for i, line in enumerate(lines, start=1) if len(line) > MAX_LINE_CHARS]:
        raise SolutionError(f"line {too_long[0]}: expected at most {MAX_LINE_CHARS} characters")
    if (marks := text.count("<<")) > MAX_STEPS:
        raise SolutionError(f"expected at most {MAX_STEPS} calculations, found {marks}")
    steps: list[Step] = []
    passed_over: list[int] = []
    for number, line in enumerate(lines[:-1], start=1):
        own = list(_read_line(number, line))
        steps += own
        if not own:
            passed_over.append(number)
    return Solution(tuple(steps), _value(final[1].strip(" .$%€£"), "the final answer")[0], tuple(passed_over))


def exact_value(step: Step) -> Fraction:
    """What the step's expression gives before rounding; the stated value when it has none."""
    return step.value if step.tree is None else evaluate(step.tree)


def _read_line(number: int, line: str) -> Iterator[Step]:
    given, _, said = line.rpartition("**")
    given = given.rstrip("* ").strip()
    marks = list(_MARKED.finditer(said))
    if marks:
        spans = [(_without_marks(said[: mark.start()]), *_read_mark(number, mark[1]), mark.end()) for mark in marks]
    else:
        spans = [
            (said[: found.start()], tree, stated, found.end())
            for found in _PLAIN.finditer(said)
            if (tree := _plain_tree(number, found["left"]))
            and (stated := _value(found["right"], f"line {number}"))[0] == evaluate(tree)
        ]
    if not spans:
        yield from _statement(number, given, said)
        return
    for i, (before, tree, (value, digits), end) in enumerate(spans):
        blank = _blank(before, said[end:], marked=bool(marks))
        own = bool(given) and i == len(spans) - 1
        yield Step(
            line=number,
            order=i,
            question=given if own else f"Fill in the blank: {blank}",
            text=_without_marks(said),
            value=value,
            digits=digits,
            tree=tree if len(literals(tree)) > 1 else None,
            money=before.rstrip().endswith("$") if marks else "$" in said[:end].rpartition("=")[2],
            given=own,
        )


def _read_mark(number: int, content: str) -> tuple[Tree, tuple[Fraction, int]]:
    expression, equals, result = content.rpartition("=")
    where = f"line {number}: <<{content}>>"
    if not equals:
        raise SolutionError(f"{where}: expected expression=value")
    try:
        tree = parse(expression.partition("=")[0])
        exact = _moderate(evaluate(tree), where)
        for literal in literals(tree):
            _moderate(literal.value, where)
    except ArithmeticSyntaxError as error:
        raise SolutionError(f"{where}: {error}") from error
    except ZeroDivisionError as error:
        raise SolutionError(f"{where}: divides by zero") from error
    value, digits = _value(result, where)
    if not is_rounding(exact, value, digits):
        raise SolutionError(f"{where}: the expression gives {float(exact):g}, not {float(value):g}")
    return tree, (value, digits)


def is_rounding(exact: Fraction, value: Fraction, digits: int) -> bool:
    """Whether `value` is `exact`, or `exact` rounded to the nearest with at least one and `digits` decimals."""
    return exact == value or (digits > 0 and abs(exact - value) * 10**digits <= Fraction(1, 2))


def _value(text: str, where: str) -> tuple[Fraction, int]:
    """A stated result and its decimal places."""
    plain = text.replace(" ", "").strip("$€£%")
    try:
        tree = parse(plain)
        value = evaluate(tree)
    except (ArithmeticSyntaxError, ZeroDivisionError) as error:
        raise SolutionError(f"{where}: expected a number, found {text[:60]!r}") from error
    _moderate(value, where)
    return value, len(plain.partition(".")[2]) if len(literals(tree)) == 1 else 0


def _moderate(value: Fraction, where: str) -> Fraction:
    if abs(value) > MAX_MAGNITUDE or abs(value.denominator) > MAX_MAGNITUDE:
        raise SolutionError(f"{where}: expected numbers of at most {MAX_MAGNITUDE:.0e}")
    return value


def _plain_tree(line: int, left: str) -> Tree | None:
    """The tree of an equation in words ("12 miles / 4 mph"), or None when it is not arithmetic."""
    bare = re.sub(r"/(?=[A-Za-z])", " ", left)
    bare = re.sub(r"(?<![A-Za-z])x(?![A-Za-z])", "*", bare)
    bare = re.sub(r"[A-Za-z][A-Za-z.'’]*", " ", bare)
    try:
        tree = parse(bare)
        evaluate(tree)
    except (ArithmeticSyntaxError, ZeroDivisionError):
        return None
    for literal in literals(tree):
        _moderate(literal.value, f"line {line}")
    return tree


def _statement(number: int, given: str, said: str) -> Iterator[Step]:
    """A line without calculation that states exactly one value answers its sub-question by saying it."""
    stated = find_quantities(said)
    if given.endswith("?") and len({quantity.value for quantity in stated}) == 1 and "=" not in said:
        value = stated[0].value
        money = stated[0].form == "money"
        yield Step(number, 0, given, said.strip(), value, 0, tree=None, money=money, given=True)


def _without_marks(text: str) -> str:
    return " ".join(_MARKED.sub("", text).split())


def _blank(before: str, after: str, *, marked: bool) -> str:
    """The clause with the written-out calculation and its result replaced by a blank."""
    if marked:
        after = re.sub(rf"^\s*{_MONEY}(?:{NUMBER})", "", _MARKED.sub("", after))
    before = _without_written_out(_MARKED.sub("", before))
    before = re.split(r"(?<=[.!?;])\s", before)[-1]
    after = re.split(r"(?<=[.!?;])\s", after.strip())[0]
    return " ".join(f"{before} ____ {after}".split())


def _without_written_out(text: str) -> str:
    """`text` without the numbers and signs that it ends in ("She sells 36 - 8 =" -> "She sells")."""
    end = len(text)
    while end and (text[end - 1] in _SIGNS or (text[end - 1] == "x" and not text[max(end - 2, 0)].isalpha())):
        end -= 1
    return text[:end].rstrip()


def numbers_of(step: Step) -> list[Number]:
    """The numbers in the step's expression, from the left."""
    return [] if step.tree is None else literals(step.tree)
