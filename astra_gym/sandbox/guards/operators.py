"""Arithmetic whose result may be much larger than its operands: checked before or right after.

`/`, `//` and `>>` stay native: they do not amplify. Everything else here either stops the tool or returns what the
native operator returns.
"""

from __future__ import annotations

import operator
from collections import Counter
from collections.abc import Callable
from enum import Enum
from numbers import Number
from typing import Any

from astra_gym.sandbox.guards.compare import bounded
from astra_gym.sandbox.guards.containers import Deque
from astra_gym.sandbox.guards.iteration import iterable
from astra_gym.sandbox.guards.percent import percent_format
from astra_gym.sandbox.limits import FREE_SIZE, MAX_BITS, MAX_LENGTH, LimitExceeded
from astra_gym.sandbox.meter import charge, out

BIG = 1 << MAX_BITS
SMALL = -BIG
_SEQUENCES = (str, list, tuple, bytes)
_SETS = (set, frozenset)
UNION_TYPES: Callable[[Any, Any], Any] = operator.or_
"""`int | str` between types; `builtins.py` puts its own here."""


def check_size(value: Any) -> Any:
    """Charge for a new value that has a length; stop the tool when it is too long."""
    length = len(value)
    if length > FREE_SIZE:
        if length > MAX_LENGTH:
            out()
        charge(length)
    return value


def check_int(value: int) -> int:
    """Stop the tool when an integer is too large."""
    if SMALL < value < BIG:
        return value
    raise LimitExceeded("number_too_large")


def member_value(value: Any) -> Any:
    """The value of a member of an int or str enum, anything else as it is."""
    if isinstance(value, Enum):
        inner = value._value_
        return inner if isinstance(inner, (int, str, float)) else None
    return value


def check_counts(*values: Any) -> None:
    """Refuse Counters whose counts are not numbers: adding or comparing those could go on without end."""
    for value in values:
        if not isinstance(value, Counter):
            continue
        charge(16 * len(value))
        if not all(isinstance(count, Number) for count in value.values()):
            raise TypeError("the counts of a Counter must be numbers")


def add(left: Any, right: Any) -> Any:
    kind = type(left)
    if kind is int or kind is float:
        return left + right
    if kind in _SEQUENCES:
        if len(left) > MAX_LENGTH:
            out()
        return check_size(left + right)
    if isinstance(left, Counter):
        check_counts(left, right)
        return check_size(left + right)
    if isinstance(left, (Deque, tuple)):
        return check_size(left + right)
    if isinstance(left, Enum) or isinstance(right, Enum):
        return add(member_value(left), member_value(right))
    return left + right


def sub(left: Any, right: Any) -> Any:
    kind = type(left)
    if kind is int or kind is float:
        return left - right
    check_counts(left, right)
    return _set_or_number(left, right, left - right)


def negative(value: Any) -> Any:
    kind = type(value)
    if kind is not int and kind is not float and hasattr(value, "__len__"):
        charge(4 * len(value))  # a Counter
    return -value


def positive(value: Any) -> Any:
    if hasattr(value, "__len__"):
        charge(4 * len(value))
    return +value


def bit_and(left: Any, right: Any) -> Any:
    check_counts(left, right)
    return _set_or_number(left, right, left & right)


def bit_xor(left: Any, right: Any) -> Any:
    check_counts(left, right)
    return _set_or_number(left, right, left ^ right)


def bit_or(left: Any, right: Any) -> Any:
    if type(left) is int:
        return left | right
    if isinstance(left, type) or callable(left):
        return UNION_TYPES(left, right)
    check_counts(left, right)
    return _set_or_number(left, right, left | right)


def _set_or_number(left: Any, right: Any, result: Any) -> Any:
    """Charge set and dict algebra for both operands."""
    if isinstance(result, (set, frozenset, dict)):
        charge(len(left) + len(right))
    return result


def mul(left: Any, right: Any) -> Any:
    kind, other = type(left), type(right)
    if kind is float or other is float:
        return left * right
    if kind is int:
        if other is int or other is bool:
            result = left * right
            if SMALL < result < BIG:
                return result
            out("number_too_large")
        left, right = right, left
        kind, other = other, kind
    if (other is int or other is bool) and (kind in _SEQUENCES or isinstance(left, (Deque, tuple))):
        length = len(left) * right
        if length > FREE_SIZE:
            if length > MAX_LENGTH:
                out()
            charge(length)
        return left * right
    if isinstance(left, Enum) or isinstance(right, Enum):
        return mul(member_value(left), member_value(right))
    return left * right


def power(base: Any, exponent: Any, modulus: Any = None) -> Any:
    """`base ** exponent`, or `pow` with three arguments."""
    if modulus is not None:
        if all(isinstance(value, int) for value in (base, exponent, modulus)):
            bits = modulus.bit_length()
            if exponent.bit_length() * bits * bits > 20_000_000_000:
                out("number_too_large")
            check_int(base)
        return pow(base, exponent, modulus)
    if type(base) is float or type(exponent) is float:
        return base**exponent
    if isinstance(base, int) and isinstance(exponent, int) and abs(exponent) > 1:
        if base.bit_length() > 1 and base.bit_length() * abs(exponent) > MAX_BITS:
            out("number_too_large")
    elif isinstance(base, complex) or isinstance(exponent, complex):
        raise TypeError("complex numbers are not available")
    result = base**exponent
    if isinstance(result, complex):
        raise ValueError("the power of a negative number with a fractional exponent is not a real number")
    return result


def left_shift(left: Any, right: Any) -> Any:
    if isinstance(left, int) and isinstance(right, int) and left.bit_length() + right > MAX_BITS:
        out("number_too_large")
    return left << right


def modulo(left: Any, right: Any) -> Any:
    kind = type(left)
    if kind is int or kind is float:
        return left % right
    if kind is str:
        return percent_format(left, right)
    if isinstance(left, Enum):
        return modulo(member_value(left), right)
    if kind is bytes:
        raise TypeError("% on bytes is not available; format text and encode it")
    return left % right


def in_place(name: str, left: Any, right: Any) -> Any:
    """`left op= right` for the operators that can amplify; returns what the name is bound to."""
    kind = type(left)
    if name == "Add":
        if kind is int or kind is float:
            return left + right
        if kind is list or kind is Deque:
            items = check_size(list(iterable(right)))
            if len(left) + len(items) > MAX_LENGTH:
                out()
            left += items
            return left
        if isinstance(left, Counter):
            check_counts(left, right)
            left += right
            return check_size(left)
        return add(left, right)
    if name == "Mult":
        if kind is list or kind is Deque:
            items = mul(list(left), right)
            left.clear()
            left.extend(items)
            return left
        return mul(left, right)
    if kind is set or isinstance(left, dict):
        return _in_place_container(name, left, right)
    return BINARY[name](left, right)


def _in_place_container(name: str, left: Any, right: Any) -> Any:
    if type(left) is set and not isinstance(right, _SETS) and not hasattr(right, "isdisjoint"):
        raise TypeError(f"unsupported operand type(s) for set and {type(right).__name__}")
    charge(len(left) + len(right))
    check_counts(left, right)
    if name == "BitOr":
        left |= right if isinstance(right, (dict, *_SETS)) else bounded(list(iterable(right)))
    elif name == "BitAnd":
        left &= right
    elif name == "BitXor":
        left ^= right
    elif name == "Sub":
        left -= right
    else:
        return BINARY[name](left, right)
    return check_size(left)


BINARY: dict[str, Callable[[Any, Any], Any]] = {
    "Add": add,
    "Sub": sub,
    "Mult": mul,
    "Pow": power,
    "LShift": left_shift,
    "Mod": modulo,
    "BitOr": bit_or,
    "BitAnd": bit_and,
    "BitXor": bit_xor,
}
"""AST operator to the function that stands for it; an operator that is not listed stays native."""
