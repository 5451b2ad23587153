"""The builtin functions that tools see, each bounded; and the constructors that stand for the builtin types.

`str`, `list`, `dict`, `tuple`, `set`, `frozenset` and `bytes` are functions here. `isinstance` and `type` know which
type each stands for, so that tool code cannot tell the difference.
"""

from __future__ import annotations

import builtins
import types
from collections.abc import Callable, Iterator
from typing import Any

from astra_gym.sandbox.guards import compare, operators, text
from astra_gym.sandbox.guards.iteration import FLAT, Shell, collect, iterable, shell, simple
from astra_gym.sandbox.limits import MAX_BITS, MAX_ITERATORS, MAX_LENGTH, MAX_RANGE
from astra_gym.sandbox.meter import SHIFT, charge, out, spend

ENCODINGS = frozenset({"utf-8", "utf8", "ascii", "us-ascii", "latin-1", "latin1", "iso-8859-1", "utf-16", "utf-32"})
_MISSING: Any = object()


def make_str(value: Any = "", encoding: str = "", errors: str = "strict") -> str:
    if encoding:
        return decode(value, encoding, errors)
    return text.str_of(value)


def decode(value: bytes, encoding: str = "utf-8", errors: str = "strict") -> str:
    """`bytes.decode` for the encodings that are loaded before the locks close."""
    if str(encoding).lower().replace("_", "-") not in ENCODINGS or errors not in {"strict", "ignore", "replace"}:
        raise LookupError(f"encoding {encoding!r} with errors={errors!r} is not available; use 'utf-8'")
    charge(len(value))
    return bytes.decode(value, encoding, errors)


def make_list(value: Any = ()) -> list[Any]:
    return collect(value)


def make_tuple(value: Any = ()) -> tuple[Any, ...]:
    return value if type(value) is tuple else tuple(collect(value))


def fill_set(values: list[Any]) -> set[Any]:
    """A set of `values`, built in steps between which the watchdog can act (colliding keys take quadratic time)."""
    result: set[Any] = set()
    charge(4 * len(values))
    for start in range(0, len(values), 1024):
        part = values[start : start + 1024]
        if not compare.ATOMS.issuperset(map(type, part)):
            for item in part:
                compare.key(item)
        result.update(part)
    return result


def make_set(value: Any = ()) -> set[Any]:
    if type(value) is set or type(value) is frozenset:
        charge(len(value))
        return set(value)
    return fill_set(collect(value))


def make_frozenset(value: Any = ()) -> frozenset[Any]:
    return value if type(value) is frozenset else frozenset(make_set(value))


def make_dict(value: Any = _MISSING, /, **extra: Any) -> dict[Any, Any]:
    charge(len(extra))
    if value is _MISSING:
        return extra
    if isinstance(value, dict):
        charge(len(value))
        return {**value, **extra} if not extra else dict(value, **extra)
    result: dict[Any, Any] = {}
    for pair in collect(value):
        name, item = collect(pair) if type(pair) not in (tuple, list) else pair
        result[compare.key(name)] = item
    result.update(extra)
    return result


def make_bytes(value: Any = b"", encoding: str = "utf-8", errors: str = "strict") -> bytes:
    if type(value) is str:
        if str(encoding).lower().replace("_", "-") not in ENCODINGS:
            raise LookupError(f"encoding {encoding!r} is not available; use 'utf-8'")
        charge(len(value))
        return value.encode(encoding, errors)
    if isinstance(value, int):
        if value > MAX_LENGTH:
            out()
        return bytes(value)
    return bytes(value if type(value) is bytes else collect(value))


def make_int(value: Any = 0, base: Any = _MISSING) -> int:
    if base is _MISSING:
        return operators.check_int(int(value))
    if type(value) is str and len(value) > MAX_BITS:
        out("number_too_large")
    return operators.check_int(int(value, base))


def span(*bounds: Any) -> range:
    result = range(*bounds)
    try:
        if len(result) > MAX_RANGE:
            out("range_too_large")
    except OverflowError:
        out("range_too_large")
    return result


STANDS_FOR: dict[Any, type] = {
    make_str: str,
    make_list: list,
    make_tuple: tuple,
    make_set: set,
    make_frozenset: frozenset,
    make_dict: dict,
    make_bytes: bytes,
    span: range,
}
"""Guarded constructor to the builtin type that it stands for."""
GUARDED = {kind: function for function, kind in STANDS_FOR.items()}
text.TYPE_NAMES.update({function: kind.__name__ for function, kind in STANDS_FOR.items()})
TYPE_ALIASES: dict[type, Any] = dict(GUARDED)
"""What `type(x)` returns for types that tools know under another object (modules add theirs)."""
REAL_TYPES: dict[Any, type] = dict(STANDS_FOR)
"""The other way round."""
VISIBLE_TYPES: set[type] = {int, float, bool, type(None)}
"""Types that `type(x)` may return as they are."""


def real_type(value: Any) -> Any:
    """The type, or tuple of types, that an `isinstance` argument means."""
    if type(value) is tuple:
        if len(value) > 64:
            out()
        return tuple(real_type(item) for item in value)
    if isinstance(value, types.UnionType):
        return value
    if isinstance(value, types.FunctionType) and value in REAL_TYPES:
        return REAL_TYPES[value]
    if value is None:
        return type(None)
    return value


def is_instance(value: Any, kinds: Any) -> bool:
    if type(kinds) is type:
        return isinstance(value, kinds)
    compare.bounded(kinds) if type(kinds) is tuple else None
    return isinstance(value, real_type(kinds))


def is_subclass(kind: Any, kinds: Any) -> bool:
    compare.bounded(kinds) if type(kinds) is tuple else None
    return issubclass(real_type(kind), real_type(kinds))


def union_types(left: Any, right: Any) -> tuple[Any, ...]:
    """`int | str | None` as the tuple that `isinstance` takes."""
    parts: list[Any] = []
    for side in (left, right):
        parts.extend(side if type(side) is tuple else (side,))
    for part in parts:
        if not (part is None or isinstance(part, type) or part in REAL_TYPES):
            raise TypeError(f"unsupported operand type for |: {type(part).__name__}")
    return tuple(parts)


operators.UNION_TYPES = union_types


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
    def extreme(*values: Any, key: Any = None, default: Any = _MISSING) -> Any:
        if len(values) == 2 and key is None and type(values[0]) in _NUMBERS and type(values[1]) in _NUMBERS:
            return pick(values[0], values[1])
        if not values:
            raise TypeError(f"{name} expected at least 1 argument, got 0")
        items = collect(values[0]) if len(values) == 1 else list(values)
        if not items:
            if default is not _MISSING:
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
    if simple(inputs):
        return map(function, *map(iterable, inputs))
    return shell(lambda *sources: map(function, *sources), *inputs)


def filtered(function: Any, values: Any) -> Any:
    if type(values) in FLAT:
        return filter(function, iterable(values))
    return shell(lambda source: filter(function, source), values)


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
    if type(values) in FLAT or hasattr(values, "appendleft"):
        return reversed(collect(values))
    raise TypeError(f"{type(values).__name__!r} object is not reversible")


def iterator(values: Any, sentinel: Any = _MISSING) -> Any:
    if sentinel is not _MISSING:
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
    if digits is not None and type(digits) is int and not -400 < digits < 400:
        out("number_too_large")
    return round(number) if digits is None else round(number, digits)


def _radix(write: Callable[[Any], str]) -> Callable[[Any], str]:
    def radix(number: Any) -> str:
        result = write(number)
        charge(len(result))
        return result

    return radix


def kind_of(value: Any) -> Any:
    """`type(value)`, for the types that tools may know."""
    kind = type(value)
    if kind in VISIBLE_TYPES:
        return kind
    if kind in TYPE_ALIASES:
        return TYPE_ALIASES[kind]
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
    for name in ["abs", "bool", "callable", "chr", "divmod", "float", "int", "len", "ord", "None", "True", "False"]
    if hasattr(builtins, name)
}
EXCEPTIONS = {
    name: getattr(builtins, name)
    for name in [
        "ArithmeticError",
        "AssertionError",
        "AttributeError",
        "EOFError",
        "Exception",
        "FloatingPointError",
        "IndexError",
        "KeyError",
        "LookupError",
        "NameError",
        "NotImplementedError",
        "OSError",
        "OverflowError",
        "PermissionError",
        "RuntimeError",
        "StopIteration",
        "TimeoutError",
        "TypeError",
        "UnicodeDecodeError",
        "UnicodeEncodeError",
        "UnicodeError",
        "ValueError",
        "ZeroDivisionError",
        "FileNotFoundError",
        "ConnectionError",
        "ImportError",
        "RecursionError",
        "MemoryError",
        "Warning",
        "UserWarning",
    ]
}
FUNCTIONS: dict[str, Any] = {
    **SIMPLE_BUILTINS,
    **EXCEPTIONS,
    "str": make_str,
    "list": make_list,
    "tuple": make_tuple,
    "set": make_set,
    "frozenset": make_frozenset,
    "dict": make_dict,
    "bytes": make_bytes,
    "isinstance": is_instance,
    "issubclass": is_subclass,
    "sorted": sort,
    "min": minimum,
    "max": maximum,
    "sum": summed,
    "range": span,
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
