"""The builtin functions that tools see, each bounded."""

from __future__ import annotations

import builtins
import operator
from collections.abc import Callable, Iterator
from types import FunctionType
from typing import Any

from astra_gym.sandbox.guards import compare, constructors, operators, text
from astra_gym.sandbox.guards.constructors import MISSING
from astra_gym.sandbox.guards.iteration import FLAT, Shell, collect, iterable, metered, shell, simple
from astra_gym.sandbox.limits import MAX_ITERATORS
from astra_gym.sandbox.meter import SHIFT, charge, out, spend
from astra_gym.sandbox.words import words


def sort(values: Any, *, key: Any = None, reverse: Any = False) -> list[Any]:
    """`sorted`: every key is computed before the first comparison, so that no tool code runs in between."""
    items = collect(values)
    if key is None:
        compare.charge_order(items)
        items.sort(reverse=bool(reverse))
        return items
    keys = [key(item) for item in items]
    compare.charge_order(keys)
    order = sorted(range(len(items)), key=keys.__getitem__, reverse=bool(reverse))
    return [items[index] for index in order]


def _extreme(pick: Callable[..., Any], name: str) -> Callable[..., Any]:
    def extreme(*values: Any, key: Any = None, default: Any = MISSING) -> Any:
        if len(values) == 2 and key is None and type(values[0]) in _NUMBERS and type(values[1]) in _NUMBERS:
            return pick(values[0], values[1])
        if not values:
            raise TypeError(f"{name} expected at least 1 argument, got 0")
        items = collect(values[0]) if len(values) == 1 else list(values)
        if not items:
            if default is not MISSING:
                return default
            raise ValueError(f"{name}() arg is an empty sequence")
        keys = items if key is None else [key(item) for item in items]
        compare.charge_order(keys)
        if key is None:
            return pick(items)
        return items[pick(range(len(items)), key=keys.__getitem__)]

    extreme.__name__ = name
    return extreme


_NUMBERS = frozenset({int, float})
minimum = _extreme(min, "min")
maximum = _extreme(max, "max")


def summed(values: Any, start: Any = 0) -> Any:
    kind = type(values)
    if type(start) is str or type(start) is bytes:
        raise TypeError("sum() can't sum strings [use ''.join(seq) instead]")
    items = values if kind is list or kind is tuple or kind is range else collect(values)
    charge(len(items))
    if kind is range and type(start) is int:
        return operators.check_int(sum(items, start))
    if type(start) in _NUMBERS and _NUMBERS.issuperset(map(type, items)):
        return operators.check_int(result) if type(result := sum(items, start)) is int else result
    result = start
    for item in items:
        result = operators.add(result, item)
    return result


def mapped(function: Any, *inputs: Any) -> Any:
    if simple(inputs) and type(function) is FunctionType:
        return map(function, *map(iterable, inputs))
    return shell(lambda *sources: map(function, *sources), *inputs)


def filtered(function: Any, values: Any) -> Any:
    if type(values) in FLAT and (function is None or type(function) is FunctionType):
        return filter(function, iterable(values))
    return shell(lambda source: filter(function, source), metered(values))


def zipped(*inputs: Any, strict: bool = False) -> Any:
    if simple(inputs):
        return zip(*map(iterable, inputs), strict=bool(strict))
    if len(inputs) > MAX_ITERATORS:
        return _zip_many([collect(values) for values in inputs], strict=bool(strict))
    return shell(lambda *sources: zip(*sources, strict=bool(strict)), *inputs)


def _zip_many(columns: list[list[Any]], *, strict: bool) -> Iterator[tuple[Any, ...]]:
    """`zip` of many sequences (a transposed table), paid for row by row."""
    if len({len(column) for column in columns}) > 1 and strict:
        raise ValueError("zip() arguments have different lengths")
    rows: list[tuple[Any, ...]] = []
    for index in range(min(map(len, columns))):
        spend(1 + (len(columns) >> SHIFT))
        rows.append(tuple([column[index] for column in columns]))
    return iter(rows)


def enumerated(values: Any, start: int = 0) -> Any:
    operators.check_int(start)
    if type(values) in FLAT:
        return enumerate(iterable(values), start)
    return shell(lambda source: enumerate(source, start), values)


def backwards(values: Any) -> Any:
    if type(values) in (list, tuple, str, bytes, range, dict):
        return reversed(values)
    if type(values) in FLAT or isinstance(values, dict) or hasattr(values, "appendleft"):
        return reversed(collect(values))
    raise TypeError(f"{type(values).__name__!r} object is not reversible")


def iterator(values: Any, sentinel: Any = MISSING) -> Any:
    if sentinel is not MISSING:
        return Shell(_until(values, sentinel))
    return iter(iterable(values))


def _until(function: Callable[[], Any], sentinel: Any) -> Iterator[Any]:
    while not compare.eq(value := function(), sentinel):
        yield value


def following(values: Any, *default: Any) -> Any:
    return next(values, *default)


def quantified(test: Callable[[Any], bool]) -> Callable[[Any], bool]:
    """`any` or `all`."""

    def check(values: Any) -> bool:
        if type(values) in FLAT:
            charge(len(values))
        return test(values)

    return check


def rounded(number: Any, digits: Any = None) -> Any:
    if digits is None:
        return round(number)
    digits = operator.index(digits)
    if not -400 < digits < 400:
        out("number_too_large")
    return round(number, digits)


def _radix(write: Callable[[Any], str]) -> Callable[[Any], str]:
    def radix(number: Any) -> str:
        result = write(number)
        charge(len(result))
        return result

    return radix


def kind_of(value: Any) -> Any:
    """`type(value)`, for the types that tools may know."""
    kind = type(value)
    if kind in constructors.VISIBLE_TYPES:
        return kind
    if kind in constructors.TYPE_ALIASES:
        return constructors.TYPE_ALIASES[kind]
    if is_tool_class(kind) or issubclass(kind, Exception):
        return kind
    raise TypeError("type() is not available for this object; use isinstance()")


def _no_tool_class(_kind: type) -> bool:
    return False


is_tool_class: Callable[[type], bool] = _no_tool_class
"""Whether a type was defined by tool code; `classes.py` puts its own here."""


def silent_print(*_values: Any, **_options: Any) -> None:
    """`print`: what a tool prints goes nowhere."""


def ascii_of(value: Any) -> str:
    return text.repr_of(value).encode("ascii", "backslashreplace").decode("ascii")


SIMPLE_BUILTINS = {
    name: getattr(builtins, name)
    for name in words("abs bool callable chr divmod float int len ord None True False")
    if hasattr(builtins, name)
}
EXCEPTIONS = {
    name: getattr(builtins, name)
    for name in words(
        "ArithmeticError AssertionError AttributeError EOFError Exception FloatingPointError IndexError "
        "KeyError LookupError NameError NotImplementedError OSError OverflowError PermissionError "
        "RuntimeError StopIteration TimeoutError TypeError UnicodeDecodeError UnicodeEncodeError UnicodeError "
        "ValueError ZeroDivisionError FileNotFoundError ConnectionError ImportError RecursionError "
        "MemoryError Warning UserWarning"
    )
}
FUNCTIONS: dict[str, Any] = {
    **SIMPLE_BUILTINS,
    **EXCEPTIONS,
    "str": constructors.make_str,
    "list": constructors.make_list,
    "tuple": constructors.make_tuple,
    "set": constructors.make_set,
    "frozenset": constructors.make_frozenset,
    "dict": constructors.make_dict,
    "bytes": constructors.make_bytes,
    "isinstance": constructors.is_instance,
    "issubclass": constructors.is_subclass,
    "sorted": sort,
    "min": minimum,
    "max": maximum,
    "sum": summed,
    "range": constructors.span,
    "map": mapped,
    "filter": filtered,
    "zip": zipped,
    "enumerate": enumerated,
    "reversed": backwards,
    "iter": iterator,
    "next": following,
    "any": quantified(any),
    "all": quantified(all),
    "round": rounded,
    "pow": operators.power,
    "bin": _radix(bin),
    "oct": _radix(oct),
    "hex": _radix(hex),
    "repr": text.repr_of,
    "ascii": ascii_of,
    "format": text.format_value,
    "type": kind_of,
    "print": silent_print,
}
"""The builtin names that tools may use (classes and attribute functions are added in `namespace.py`)."""
