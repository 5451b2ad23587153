"""Expressions over sub-answers, such as "q1 - q2", "max(q1, q2)", "[q1, q3]" and "round(q1 / q2, 2) > 3".

A tiny evaluator of a fixed grammar (names, numbers, + - * /, comparisons, lists, seven functions): nothing else of
Python is in it, so that a writer's text can be run. Amounts keep their unit through sums and are refused where units
differ.
"""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import TypeAlias

from astra_gym.errors import AstraError
from astra_gym.values.texts import fold

MOST_CHARS = 500
MOST_NODES = 200


class ExpressionError(AstraError, ValueError):
    """An expression is none, or has no value; the message says which part and why."""


@dataclass(frozen=True, slots=True)
class Amount:
    """A number, in a unit where it has one."""

    value: float | int
    unit: str | None = None


Value: TypeAlias = "Amount | bool | str | list[Value]"

_SUMS: dict[type[ast.operator], Callable[[Fraction, Fraction], Fraction]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
}
_COMPARISONS: dict[type[ast.cmpop], Callable[[Fraction, Fraction], bool]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}
_GRAMMAR = "names of sub-questions, numbers, + - * /, comparisons, lists, and max min abs round sum len sorted"


def names_in(expression: str) -> frozenset[str]:
    """The names that an expression reads. Raises: ExpressionError when it is not in the grammar."""
    tree = _parse(expression)
    _check(tree.body)
    functions = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    return frozenset(node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and id(node) not in functions)


def numbers_written(expression: str) -> list[float]:
    """The numbers that stand in an expression themselves. Raises: ExpressionError when it is not in the grammar."""
    tree = _parse(expression)
    _check(tree.body)
    constants = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)]
    return [value for value in constants if isinstance(value, int | float)]


def evaluate(expression: str, values: Mapping[str, Value]) -> Value:
    """What an expression comes to. Raises: ExpressionError (unknown name, types or units that do not fit, 1 / 0)."""
    tree = _parse(expression)
    _check(tree.body)
    return _value(tree.body, values)


def _parse(expression: str) -> ast.Expression:
    if len(expression) > MOST_CHARS:
        raise ExpressionError(f"an expression of {len(expression)} characters; {MOST_CHARS} at most")
    try:
        tree = ast.parse(expression.strip(), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise ExpressionError(f"{expression!r} is no expression of {_GRAMMAR}") from None
    if sum(1 for _ in ast.walk(tree)) > MOST_NODES:
        raise ExpressionError(f"{expression[:60]!r}… has more than {MOST_NODES} parts")
    return tree


def _check(node: ast.expr) -> None:
    """Raises ExpressionError for the first part that is not in the grammar."""
    match node:
        case ast.Name() | ast.Constant(value=int() | float()) if not _is_bool(node):
            return
        case ast.UnaryOp(op=ast.USub() | ast.UAdd(), operand=operand):
            parts = [operand]
        case ast.BinOp(op=ast.Add() | ast.Sub() | ast.Mult() | ast.Div(), left=left, right=right):
            parts = [left, right]
        case ast.Compare(left=left, ops=[op], comparators=[right]) if type(op) in _COMPARISONS:
            parts = [left, right]
        case ast.List(elts=parts) | ast.Tuple(elts=parts):
            pass
        case ast.Call(func=ast.Name(id=name), args=parts, keywords=[]) if name in _FUNCTIONS:
            pass
        case _:
            raise ExpressionError(f"{ast.unparse(node)[:60]!r} is none of {_GRAMMAR}")
    for part in parts:
        _check(part)


def _is_bool(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, bool)


def _value(node: ast.expr, values: Mapping[str, Value]) -> Value:
    match node:
        case ast.Name(id=name):
            if name not in values:
                raise ExpressionError(f"no sub-question {name!r}; there are {sorted(values)}")
            return values[name]
        case ast.Constant(value=int() | float() as number):
            return Amount(number)
        case ast.UnaryOp(op=op, operand=operand):
            amount = _amount(_value(operand, values), ast.unparse(operand))
            return Amount(-amount.value, amount.unit) if isinstance(op, ast.USub) else amount
        case ast.BinOp(left=left, op=op, right=right):
            a, b = (_amount(_value(part, values), ast.unparse(part)) for part in (left, right))
            return _arithmetic(op, a, b, ast.unparse(node))
        case ast.Compare(left=left, ops=[op], comparators=[right]):
            return _compared(op, _value(left, values), _value(right, values), ast.unparse(node))
        case ast.List(elts=elts) | ast.Tuple(elts=elts):
            return [_value(elt, values) for elt in elts]
        case ast.Call(func=ast.Name(id=name), args=args):
            return _FUNCTIONS[name]([_value(arg, values) for arg in args], ast.unparse(node))
        case _:
            raise ExpressionError(f"{ast.unparse(node)[:60]!r} is none of {_GRAMMAR}")


def _amount(value: Value, where: str) -> Amount:
    if isinstance(value, Amount):
        return value
    raise ExpressionError(f"{where} is {_kind(value)}; arithmetic needs numbers")


def _number(value: Fraction, unit: str | None) -> Amount:
    """Exact arithmetic inside, a plain number outside."""
    try:
        return Amount(int(value) if value.denominator == 1 else float(value), unit)
    except OverflowError:
        raise ExpressionError("the result is too large for a number") from None


def _arithmetic(op: ast.operator, a: Amount, b: Amount, where: str) -> Amount:
    left, right = _exact(a), _exact(b)
    if type(op) in _SUMS:
        return _number(_SUMS[type(op)](left, right), _common_unit([a, b], where))
    if isinstance(op, ast.Mult):
        units = [unit for unit in (a.unit, b.unit) if unit is not None]
        return _number(left * right, units[0] if len(units) == 1 else None)
    if right == 0:
        raise ExpressionError(f"{where} divides by 0")
    return _number(left / right, a.unit if b.unit is None else None)


def _exact(amount: Amount) -> Fraction:
    if isinstance(amount.value, float) and not math.isfinite(amount.value):
        raise ExpressionError(f"{amount.value} is no number")
    return Fraction(str(amount.value))


def _common_unit(amounts: list[Amount], where: str) -> str | None:
    """The unit of a sum; a bare number takes the other's."""
    units = {amount.unit for amount in amounts if amount.unit is not None}
    if len(units) > 1:
        raise ExpressionError(f"{where} mixes the units {sorted(units)}")
    return next(iter(units), None)


def _compared(op: ast.cmpop, a: Value, b: Value, where: str) -> bool:
    if isinstance(a, Amount) and isinstance(b, Amount):
        _common_unit([a, b], where)
        return _COMPARISONS[type(op)](_exact(a), _exact(b))
    if type(a) is not type(b):
        raise ExpressionError(f"{where} compares {_kind(a)} with {_kind(b)}")
    if isinstance(op, ast.Eq | ast.NotEq):
        same = fold(a) == fold(b) if isinstance(a, str) and isinstance(b, str) else a == b
        return same if isinstance(op, ast.Eq) else not same
    raise ExpressionError(f"{where}: only numbers have an order, found {_kind(a)}")


def _kind(value: Value) -> str:
    if isinstance(value, Amount):
        return "a number"
    return "yes or no" if isinstance(value, bool) else "a text" if isinstance(value, str) else "a list"


def _amounts(args: list[Value], where: str) -> list[Amount]:
    """The numbers that a function is given: its arguments, or the one list that is its argument."""
    items = args[0] if len(args) == 1 and isinstance(args[0], list) else args
    if not items:
        raise ExpressionError(f"{where} has nothing to work on")
    return [_amount(item, where) for item in items]


def _extreme(choose: Callable[..., Amount]) -> Callable[[list[Value], str], Value]:
    def of(args: list[Value], where: str) -> Value:
        amounts = _amounts(args, where)
        return Amount(choose(amounts, key=_exact).value, _common_unit(amounts, where))

    return of


def _sum(args: list[Value], where: str) -> Value:
    amounts = _amounts(args, where)
    return _number(sum(map(_exact, amounts), Fraction(0)), _common_unit(amounts, where))


def _abs(args: list[Value], where: str) -> Value:
    amount = _amounts(args, where)[0]
    return Amount(abs(amount.value), amount.unit)


def _round(args: list[Value], where: str) -> Value:
    """To the nearest, halves away from zero: what a reader expects of "rounded"."""
    amount, places = _amounts(args[:1], where)[0], 0
    if len(args) > 1:
        digits = _amount(args[1], where).value
        if not isinstance(digits, int) or not 0 <= digits <= 15:
            raise ExpressionError(f"{where}: a number of decimals is 0 to 15, found {digits}")
        places = digits
    scaled = _exact(amount) * 10**places
    whole = math.floor(abs(scaled) + Fraction(1, 2)) * (1 if scaled >= 0 else -1)
    return _number(Fraction(whole, 10**places), amount.unit)


def _len(args: list[Value], where: str) -> Value:
    if len(args) != 1 or not isinstance(args[0], list):
        raise ExpressionError(f"{where}: len needs one list")
    return Amount(len(args[0]))


def _sorted(args: list[Value], where: str) -> Value:
    amounts = _amounts(args, where)
    _common_unit(amounts, where)
    return [*sorted(amounts, key=_exact)]


_FUNCTIONS: dict[str, Callable[[list[Value], str], Value]] = {
    "max": _extreme(max),
    "min": _extreme(min),
    "abs": _abs,
    "round": _round,
    "sum": _sum,
    "len": _len,
    "sorted": _sorted,
}
