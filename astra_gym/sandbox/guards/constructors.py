"""The functions that stand for the builtin types in tools: `str`, `list`, `dict`, `tuple`, `set`, `frozenset`, `bytes`.

`isinstance` and `type` know which type each stands for, so that tool code cannot tell the difference.
"""

from __future__ import annotations

import types
from typing import Any

from astra_gym.sandbox.guards import compare, operators, text
from astra_gym.sandbox.guards.iteration import collect
from astra_gym.sandbox.limits import MAX_BITS, MAX_LENGTH, MAX_RANGE
from astra_gym.sandbox.meter import charge, out

ENCODINGS = frozenset({"utf-8", "utf8", "ascii", "us-ascii", "latin-1", "latin1", "iso-8859-1", "utf-16", "utf-32"})
MISSING: Any = object()


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


def make_dict(value: Any = MISSING, /, **extra: Any) -> dict[Any, Any]:
    charge(len(extra))
    if value is MISSING:
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


def make_int(value: Any = 0, base: Any = MISSING) -> int:
    if base is MISSING:
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
