"""Methods of the builtin types that can amplify, hash or compare: `value.name(...)` in a tool goes through here.

Three kinds, by name: REPLACED methods are called here in place of the native one; of SCANNED ones the receiver is
charged by its size; of KEYED ones the first argument (of ALL_KEYED, every argument) is measured before it is hashed.
"""

from __future__ import annotations

import types
from collections import Counter
from collections.abc import Callable
from typing import Any

from astra_gym.sandbox.guards import builtins as guarded
from astra_gym.sandbox.guards import compare, constructors, operators
from astra_gym.sandbox.guards.containers import Deque
from astra_gym.sandbox.guards.iteration import collect, ordered
from astra_gym.sandbox.guards.method_names import ALL_KEYED, KEYED, SCANNED
from astra_gym.sandbox.guards.template import format_template
from astra_gym.sandbox.limits import FREE_SIZE, MAX_BITS, MAX_LENGTH
from astra_gym.sandbox.meter import charge, out

_SIZED = frozenset({str, bytes, list, tuple, dict, set, frozenset, Deque, Counter})
Method = Callable[..., Any]
REPLACED: dict[str, Method] = {}


def big(value: Any) -> Any:
    """`value` itself, charged by its size: the receiver of a SCANNED method."""
    kind = type(value)
    if kind in _SIZED:
        if len(value) > FREE_SIZE:
            charge(len(value))
    elif kind is type:
        raise TypeError(f"call the method on a value, not on the type {value.__name__}")
    elif isinstance(value, (str, tuple)):  # a member of a str enum, a named tuple
        charge(len(value))
    return value


def _exact(value: Any) -> Any:
    """A member of a str enum as exact text."""
    return str.__getitem__(value, slice(None)) if isinstance(value, str) else value


def otherwise(value: Any, name: str, args: tuple[Any, ...], options: dict[str, Any]) -> Any:
    """A method call on something that the guard of that name is not about: an object of a subclass, or a type."""
    found = getattr(value, name)
    if type(found) in _WRITTEN:
        return found(*args, **options)
    if isinstance(value, type):
        if args and isinstance(args[0], value) and not isinstance(args[0], type):
            return call_method(args[0], name, *args[1:], **options)
        raise TypeError(f"{value.__name__}.{name} must be called on a value")
    if type(value) is super:
        raise TypeError(f"super().{name} is not available; call the method on self")
    if isinstance(value, str) and type(value) is not str:
        return call_method(_exact(value), name, *args, **options)
    if isinstance(value, int) and type(value) is not int and hasattr(int, name):
        return call_method(int(value), name, *args, **options)
    if isinstance(value, tuple) and type(value) is not tuple and hasattr(tuple, name):
        return call_method(tuple(value), name, *args, **options)
    return found(*args, **options)


_WRITTEN = frozenset({types.MethodType, types.FunctionType})
"""Types of methods that are written in Python: a tool's own, or a guarded one."""


def call_method(value: Any, name: str, /, *args: Any, **options: Any) -> Any:
    """`value.name(*args, **options)` for a name that is guarded, whatever kind of guard it has."""
    replaced = REPLACED.get(name)
    if replaced is not None:
        return replaced(value, *args, **options)
    if type(value) is type:
        return otherwise(value, name, args, options)
    if name in SCANNED:
        big(value)
    if name in ALL_KEYED:
        args = tuple([compare.bounded(collect(item) if not hasattr(item, "__len__") else item) for item in args])
    elif args:
        args = (compare.key(args[0]), *args[1:])
    return getattr(value, name)(*args, **options)


def bound(value: Any, name: str) -> Any:
    """The method `name` of `value` as a function, for tools that pass it on."""
    if not hasattr(value, name):
        raise AttributeError(f"{type(value).__name__!r} object has no attribute {name!r}")
    if isinstance(value, types.ModuleType) or not callable(getattr(value, name)):
        return getattr(value, name)

    def method(*args: Any, **options: Any) -> Any:
        return call_method(value, name, *args, **options)

    method.__name__ = name
    return method


def _replaces(name: str, *kinds: type) -> Callable[[Method], Method]:
    """Register the guarded method `name` for receivers of exactly these kinds (or subclasses of dict)."""
    exact = frozenset(kinds)
    dicts = dict in exact

    def register(function: Method) -> Method:
        def guard(value: Any, /, *args: Any, **options: Any) -> Any:
            if type(value) in exact or (dicts and isinstance(value, dict)):
                return function(value, *args, **options)
            return otherwise(value, name, args, options)

        REPLACED[name] = guard
        return function

    return register


@_replaces("format", str)
def _format(template: str, /, *args: Any, **options: Any) -> str:
    return format_template(template, args, options)


@_replaces("join", str, bytes)
def _join(separator: Any, parts: Any) -> Any:
    items = parts if type(parts) in (list, tuple) else collect(parts)
    length = len(separator) * len(items) + compare.total(
        len(part) if type(part) in (str, bytes) else len(_exact(part)) if isinstance(part, str) else 0 for part in items
    )
    if length > FREE_SIZE:
        if length > MAX_LENGTH:
            out()
        charge(length)
    return separator.join(items)


@_replaces("replace", str, bytes)
def _replace(text: Any, old: Any, new: Any, count: int = -1) -> Any:
    charge(len(text))
    if len(new) > len(old):
        times = text.count(old) if old else len(text) + 1
        if count >= 0:
            times = min(times, count)
        length = len(text) + times * (len(new) - len(old))
        if length > MAX_LENGTH:
            out()
        charge(length)
    return text.replace(old, new, count)


def _padded(name: str) -> None:
    @_replaces(name, str, bytes)
    def pad(text: Any, width: Any, *fill: Any) -> Any:
        if width > MAX_LENGTH:
            out()
        return operators.check_size(getattr(text, name)(width, *fill))


for _name in ("ljust", "rjust", "center", "zfill"):
    _padded(_name)


@_replaces("expandtabs", str, bytes)
def _expandtabs(text: Any, tabsize: int = 8) -> Any:
    if len(text) + text.count("\t" if type(text) is str else b"\t") * tabsize > MAX_LENGTH:
        out()
    return operators.check_size(text.expandtabs(tabsize))


@_replaces("translate", str)
def _translate(text: str, table: Any) -> str:
    if not isinstance(table, dict):
        raise TypeError("translate() takes a dict; make one with str.maketrans")
    table = dict(table)
    longest = max((len(new) for new in table.values() if isinstance(new, str)), default=1)
    charge(len(table))
    if longest > 1 and len(text) * longest > 4 * MAX_LENGTH:
        out()
    return operators.check_size(text.translate(table))  # type: ignore[no-any-return]


@_replaces("encode", str)
def _encode(text: str, encoding: str = "utf-8", errors: str = "strict") -> bytes:
    return constructors.make_bytes(text, encoding, errors)


@_replaces("decode", bytes)
def _decode(data: bytes, encoding: str = "utf-8", errors: str = "strict") -> str:
    return constructors.decode(data, encoding, errors)


@_replaces("hex", bytes)
def _hex(data: bytes, *separator: Any) -> str:
    return operators.check_size(data.hex(*separator))  # type: ignore[no-any-return]


@_replaces("to_bytes", int)
def _to_bytes(number: int, length: int = 1, byteorder: Any = "big", *, signed: bool = False) -> bytes:
    if length > MAX_BITS // 8:
        out()
    return number.to_bytes(length, byteorder, signed=signed)


@_replaces("extend", list, Deque)
def _extend(values: Any, more: Any) -> None:
    items = collect(more)
    if len(values) + len(items) > MAX_LENGTH:
        out()
    values.extend(items)


@_replaces("extendleft", Deque)
def _extendleft(values: Deque, more: Any) -> None:
    items = collect(more)
    if len(values) + len(items) > MAX_LENGTH:
        out()
    values.extendleft(items)


@_replaces("sort", list)
def _sort(values: list[Any], *, key: Any = None, reverse: Any = False) -> None:
    values[:] = guarded.sort(values, key=key, reverse=reverse)


@_replaces("pop", list, set, Deque, dict)
def _pop(values: Any, *args: Any) -> Any:
    if type(values) is set:
        if not values:
            raise KeyError("pop from an empty set")
        first = ordered(values)[0]
        values.discard(first)
        return first
    if type(values) is list and args:
        charge(len(values))
        return values.pop(*args)
    return values.pop(compare.key(args[0]), *args[1:]) if args else values.pop()


@_replaces("update", dict, set)
def _update(values: Any, /, *others: Any, **extra: Any) -> None:
    for other in others:
        if type(values) is set:
            items: Any = other if type(other) in (set, frozenset) else constructors.make_set(other)
        elif isinstance(values, Counter):
            operators.check_counts(values, other)
            items = other if isinstance(other, dict) else counted(other)
        else:
            items = other if isinstance(other, dict) else constructors.make_dict(other)
        charge(len(items))
        values.update(items)
        operators.check_size(values)
    if extra:
        operators.check_counts(values, Counter(extra) if isinstance(values, Counter) else None)
        values.update(**extra)


def counted(values: Any) -> dict[Any, int]:
    """How often each element occurs, in order of first appearance."""
    counts: dict[Any, int] = {}
    for item in collect(values):
        name = compare.key(item)
        counts[name] = counts.get(name, 0) + 1
    return counts


@_replaces("copy", list, set, frozenset, Deque, dict)
def _copy(values: Any) -> Any:
    charge(len(values))
    return values.copy()


def _scanned_for(name: str) -> None:
    @_replaces(name, list, tuple, Deque, str, bytes, range)
    def scan(values: Any, value: Any, *args: Any) -> Any:
        if type(values) in (str, bytes):
            charge(len(values))
        else:
            compare.charge_scan(value, values)
        return getattr(values, name)(value, *args)


_scanned_for("index")
_scanned_for("count")


@_replaces("remove", list, set, Deque)
def _remove(values: Any, value: Any) -> None:
    if type(values) is set:
        values.remove(compare.key(value))
    else:
        compare.charge_scan(value, values)
        values.remove(value)


def _fromkeys(kind: Any, keys: Any, value: Any = None) -> dict[Any, Any]:
    if kind is not dict:
        raise TypeError("fromkeys() is available on dict alone")
    return {compare.key(name): value for name in collect(keys)}


REPLACED["fromkeys"] = _fromkeys


def _from_bytes(kind: Any, data: Any, byteorder: Any = "big", *, signed: bool = False) -> int:
    if kind is not int:
        raise TypeError("from_bytes() is available on int alone")
    if len(data) > MAX_BITS // 8:
        out("number_too_large")
    return int.from_bytes(data, byteorder, signed=signed)


REPLACED["from_bytes"] = _from_bytes


def _counting(name: str) -> None:
    @_replaces(name, dict)
    def count(counter: Any, *args: Any, **options: Any) -> Any:
        operators.check_counts(counter, *args)
        charge(4 * len(counter))
        return getattr(counter, name)(*map(compare.bounded, args), **options)


for _name in ("most_common", "total", "subtract"):
    _counting(_name)


def _elements(counter: Any) -> list[Any]:
    if not isinstance(counter, Counter):
        return otherwise(counter, "elements", (), {})  # type: ignore[no-any-return]
    compare.total(max(0, count) for count in counter.values())
    return [item for item, count in counter.items() for _ in range(count)]


REPLACED["elements"] = _elements
GUARDED_METHODS = frozenset(REPLACED) | KEYED | SCANNED
"""Every method name that the policy rewrites."""
