"""`math`, `statistics`, `fractions` and `decimal` with bounded numbers."""

from __future__ import annotations

import decimal
import fractions
import math
import operator
import statistics
from collections.abc import Callable
from typing import Any

from astra_gym.sandbox.guards import classes, compare, constructors, operators, text
from astra_gym.sandbox.guards.iteration import collect
from astra_gym.sandbox.limits import MAX_BITS, MAX_DECIMAL_DIGITS, MAX_DECIMAL_PRECISION
from astra_gym.sandbox.meter import charge, out
from astra_gym.sandbox.modules.frozen import frozen, pick
from astra_gym.sandbox.words import words

# math


def _factorial(number: Any) -> int:
    if operator.index(number) > 1500:
        out("number_too_large")
    return math.factorial(number)


def _choose(compute: Callable[..., int]) -> Callable[..., int]:
    def choose(n: Any, k: Any = None) -> int:
        n = operator.index(n)
        chosen = n if k is None else operator.index(k)
        if compute is math.comb and chosen <= n:
            chosen = min(chosen, n - chosen)
        if n.bit_length() * max(chosen, 0) > 2 * MAX_BITS:
            out("number_too_large")
        return operators.check_int(compute(n, chosen) if k is not None or compute is math.perm else compute(n))

    return choose


def _product(values: Any, *, start: Any = 1) -> Any:
    result = start
    for value in collect(values):
        result = operators.mul(result, value)
    return result


def _integer_root(number: Any) -> int:
    charge(operator.index(number).bit_length())
    return math.isqrt(number)


def _common_divisor(*numbers: Any) -> int:
    charge(8 * sum(operator.index(number).bit_length() for number in numbers))
    return math.gcd(*numbers)


def _least_multiple(*numbers: Any) -> int:
    result = 1
    for number in numbers:
        result = operators.check_int(math.lcm(result, number))
    return result


def _float_sum(values: Any) -> float:
    return math.fsum(collect(values))


def _distance(first: Any, second: Any) -> float:
    return math.dist(collect(first), collect(second))


MATH = frozen(
    "math",
    {
        **pick(
            math,
            "pi e tau inf nan sqrt cbrt exp exp2 expm1 log log2 log10 log1p sin cos tan asin acos atan atan2 sinh cosh "
            "tanh asinh acosh atanh hypot degrees radians floor ceil trunc fabs fmod remainder modf frexp ldexp "
            "copysign isnan isinf isfinite isclose pow erf erfc gamma lgamma ulp",
        ),
        "factorial": _factorial,
        "comb": _choose(math.comb),
        "perm": _choose(math.perm),
        "prod": _product,
        "lcm": _least_multiple,
        "gcd": _common_divisor,
        "isqrt": _integer_root,
        "fsum": _float_sum,
        "dist": _distance,
    },
)

# fractions


class Fraction(fractions.Fraction):
    """`fractions.Fraction` whose terms stay bounded; arithmetic with it gives the same class."""

    __slots__ = ()

    def __new__(cls, numerator: Any = 0, denominator: Any = None) -> Fraction:
        if isinstance(numerator, str):
            _check_number_text(numerator)
        return _bounded_fraction(cls, fractions.Fraction(numerator, denominator))

    @classmethod
    def from_float(cls, value: Any) -> Fraction:
        return _bounded_fraction(cls, fractions.Fraction.from_float(value))

    @classmethod
    def from_decimal(cls, value: Any) -> Fraction:
        return _bounded_fraction(cls, fractions.Fraction.from_decimal(value))

    def limit_denominator(self, max_denominator: int = 1_000_000) -> Fraction:
        return _bounded_fraction(Fraction, fractions.Fraction(self).limit_denominator(max_denominator))

    def __repr__(self) -> str:
        return f"Fraction({text.int_text(self.numerator)}, {text.int_text(self.denominator)})"


def _bounded_fraction(cls: type[Fraction], value: fractions.Fraction) -> Fraction:
    if value.numerator.bit_length() + value.denominator.bit_length() > MAX_BITS:
        out("number_too_large")
    return fractions.Fraction.__new__(cls, value.numerator, value.denominator)


def _check_number_text(number: str) -> None:
    """Refuse number text whose value would be huge: long, or with a large exponent."""
    _, marker, exponent = number.lower().partition("e")
    if len(number) > MAX_DECIMAL_DIGITS or (marker and len(exponent.strip().lstrip("+-0")) > 4):
        out("number_too_large")


def _wrap_arithmetic(name: str) -> None:
    native = getattr(fractions.Fraction, name)

    def method(self: Fraction, *others: Any) -> Any:
        if name in ("__pow__", "__rpow__") and others:
            exponent = others[0] if name == "__pow__" else self
            base = self if name == "__pow__" else others[0]
            if isinstance(exponent, int) and isinstance(base, fractions.Fraction):
                bits = base.numerator.bit_length() + base.denominator.bit_length()
                if bits * abs(exponent) > MAX_BITS:
                    out("number_too_large")
        result = native(self, *others)
        if isinstance(result, tuple):
            return tuple(_own(part) for part in result)
        return _own(result)

    method.__name__ = name
    setattr(Fraction, name, method)


def _own(value: Any) -> Any:
    if isinstance(value, complex):
        raise ValueError("the power of a negative number with a fractional exponent is not a real number")
    return _bounded_fraction(Fraction, value) if type(value) is fractions.Fraction else value


for _operation in words("add sub mul truediv floordiv mod divmod pow"):
    _wrap_arithmetic(f"__{_operation}__")
    _wrap_arithmetic(f"__r{_operation}__")
for _operation in ["neg", "pos", "abs", "round"]:
    _wrap_arithmetic(f"__{_operation}__")
FRACTIONS = frozen("fractions", {"Fraction": Fraction})

# decimal

CONTEXT = decimal.Context(prec=28, rounding=decimal.ROUND_HALF_EVEN, Emax=5000, Emin=-5000)
"""The decimal context that every call starts with."""
_ROUNDINGS = "ROUND_HALF_UP ROUND_HALF_EVEN ROUND_DOWN ROUND_UP ROUND_FLOOR ROUND_CEILING ROUND_HALF_DOWN ROUND_05UP"


class _DecimalMeta(type):
    def __instancecheck__(cls, value: Any) -> bool:
        return isinstance(value, decimal.Decimal)


class Decimal(metaclass=_DecimalMeta):
    """Makes `decimal.Decimal` values of bounded size; stands for their type in tools."""

    def __new__(cls, value: Any = "0", _context: Any = None) -> Any:
        if isinstance(value, int):
            operators.check_int(int(value))
        if isinstance(value, (tuple, list)):
            if len(value) != 3 or len(value[1]) > MAX_DECIMAL_DIGITS:
                out("number_too_large")
        elif isinstance(value, str) and len(value) > MAX_DECIMAL_DIGITS:
            out("number_too_large")
        number = decimal.Decimal(value)
        if number.is_finite() and abs(number.adjusted()) > MAX_DECIMAL_DIGITS:
            out("number_too_large")
        return number

    @staticmethod
    def from_float(value: Any) -> decimal.Decimal:
        return decimal.Decimal.from_float(value)


class _ContextWriter:
    """Lets a tool set precision and rounding of its decimal context, within bounds."""

    __slots__ = ("_context",)
    _context: decimal.Context

    def __init__(self, context: decimal.Context) -> None:
        object.__setattr__(self, "_context", context)

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "prec" and type(value) is int and 1 <= value <= MAX_DECIMAL_PRECISION:
            self._context.prec = value
        elif name == "rounding":
            self._context.rounding = value
        else:
            raise TypeError(f"of a decimal context only prec (1 to {MAX_DECIMAL_PRECISION}) and rounding can be set")


classes.WRITERS[decimal.Context] = _ContextWriter


def _local_context(context: Any = None, *, prec: Any = None, rounding: Any = None) -> Any:
    made = (context if isinstance(context, decimal.Context) else decimal.getcontext()).copy()
    writer = _ContextWriter(made)
    if prec is not None:
        writer.prec = prec
    if rounding is not None:
        writer.rounding = rounding
    return decimal.localcontext(made)


def _make_context(prec: Any = None, rounding: Any = None) -> decimal.Context:
    made = CONTEXT.copy()
    writer = _ContextWriter(made)
    if prec is not None:
        writer.prec = prec
    if rounding is not None:
        writer.rounding = rounding
    return made


DECIMAL = frozen(
    "decimal",
    {
        "Decimal": Decimal,
        "getcontext": decimal.getcontext,
        "localcontext": _local_context,
        "Context": _make_context,
        **pick(decimal, _ROUNDINGS),
        **pick(decimal, "DecimalException InvalidOperation DivisionByZero Overflow Underflow Inexact Rounded"),
    },
)

# statistics


def _statistic(name: str) -> Callable[..., Any]:
    compute = getattr(statistics, name)

    def statistic(*series: Any, **options: Any) -> Any:
        values = [collect(one) if hasattr(one, "__iter__") else one for one in series]
        for one in values:
            if isinstance(one, list):
                compare.bounded(one)
                compare.charge_order(one)
                charge(32 * len(one))
                if name != "mode" and name != "multimode" and not all(isinstance(x, _REAL) for x in one):
                    raise TypeError(f"statistics.{name} takes numbers")
        if isinstance(options.get("n"), int) and options["n"] > 10_000:
            out()
        return _own(compute(*values, **options))

    statistic.__name__ = name
    return statistic


_REAL = (int, float, decimal.Decimal, fractions.Fraction)
_STATISTICS = (
    "mean fmean median median_low median_high mode multimode stdev pstdev variance pvariance quantiles harmonic_mean "
    "geometric_mean correlation covariance linear_regression"
)
STATISTICS = frozen(
    "statistics",
    {
        **{name: _statistic(name) for name in words(_STATISTICS)},
        "StatisticsError": statistics.StatisticsError,
    },
)
constructors.TYPE_ALIASES[decimal.Decimal] = Decimal
constructors.VISIBLE_TYPES.add(Fraction)
text.SAFE_REPR.update({decimal.Decimal, Fraction})
text.SAFE_STR.update({decimal.Decimal, Fraction})
