"""`str`, `repr`, `format` and f-strings with bounded, address-free, ordered output.

CPython's own `repr` follows shared references again and again, prints memory addresses and lists sets in hash order;
this one writes the same text for plain values and none of those.
"""

from __future__ import annotations

import enum
import re
import types
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable
from datetime import date, time
from functools import lru_cache
from typing import Any

from astra_gym.sandbox.guards.compare import VIEWS
from astra_gym.sandbox.limits import FREE_SIZE, MAX_DIGITS, MAX_FORMAT_WIDTH, MAX_LENGTH
from astra_gym.sandbox.meter import charge, out

MAX_RENDER_DEPTH = 100
MAX_TEXT_BITS = int(MAX_DIGITS / 0.30103)
_FUNCTIONS = (types.FunctionType, types.BuiltinFunctionType, types.MethodType)
_NUMBERS = frozenset({int, float, bool})
_DIGITS = re.compile(r"\d+")
TYPE_NAMES: dict[Any, str] = {}
"""Guarded constructors that stand for a builtin type, to its name (filled in by `builtins.py`)."""
ORDERED: Callable[[Any], list[Any]] = sorted
"""The elements of a set in order; `iteration.py` puts its own here."""


class _Renderer:
    """One rendering: the room that is left, and how deep it is."""

    __slots__ = ("depth", "room")

    def __init__(self) -> None:
        self.room = MAX_LENGTH
        self.depth = 0

    def take(self, text: str) -> str:
        self.room -= len(text)
        if self.room < 0:
            out()
        return text

    def repr(self, value: Any) -> str:
        kind = type(value)
        if kind in _ATOMIC_REPR:
            return self.take(_atom_repr(value, kind))
        self.depth += 1
        if self.depth > MAX_RENDER_DEPTH:
            out()
        try:
            return self._compound(value, kind)
        finally:
            self.depth -= 1

    def items(self, values: Any, open_: str, close: str) -> str:
        return self.take(open_) + ", ".join([self.take(self.repr(value)) for value in values]) + close

    def pairs(self, value: dict[Any, Any]) -> str:
        self.take("{}")
        return "{" + ", ".join([f"{self.take(self.repr(k))}: {self.repr(v)}" for k, v in value.items()]) + "}"

    def _compound(self, value: Any, kind: type) -> str:
        if kind is list:
            return self.items(value, "[", "]")
        if kind is dict:
            return self.pairs(value)
        if kind is tuple:
            return self.items(value, "(", ",)" if len(value) == 1 else ")")
        if kind is set:
            return self.items(ORDERED(value), "{", "}") if value else "set()"
        if kind is frozenset:
            return "frozenset(" + (self.items(ORDERED(value), "{", "}") if value else "") + ")"
        if isinstance(value, type) or (kind is types.FunctionType and value in TYPE_NAMES):
            return f"<class '{TYPE_NAMES.get(value) or value.__name__}'>"
        return self._object(value, kind)

    def _object(self, value: Any, kind: type) -> str:
        custom = tool_method(kind, "__repr__")
        if custom is not None:
            return self.take(_exact_text(custom(value)))
        if isinstance(value, enum.Enum):
            return f"<{kind.__name__}.{value._name_}: {self.repr(value._value_)}>"
        fields = getattr(kind, "__dataclass_fields__", None)
        if fields is not None:
            shown = [f"{name}={self.repr(getattr(value, name))}" for name, field in fields.items() if field.repr]
            return f"{kind.__name__}({', '.join(shown)})"
        if isinstance(value, tuple):
            names = getattr(kind, "_fields", ())
            shown = [f"{name}={self.repr(item)}" for name, item in zip(names, tuple.__iter__(value), strict=False)]
            return f"{kind.__name__}({', '.join(shown)})"
        if isinstance(value, Exception):
            return kind.__name__ + self.items(value.args, "(", ")")
        return self._library_object(value, kind)

    def _library_object(self, value: Any, kind: type) -> str:
        if isinstance(value, Counter):
            counts = dict(value.most_common() if all(type(count) is int for count in value.values()) else value)
            return f"Counter({self.pairs(counts)})" if value else "Counter()"
        if isinstance(value, defaultdict):
            return f"defaultdict({self.repr(value.default_factory)}, {self.pairs(dict(value))})"
        if isinstance(value, OrderedDict):
            return f"OrderedDict({self.pairs(dict(value))})"
        if isinstance(value, deque):
            return "deque(" + self.items(value, "[", "]") + ")"
        if isinstance(value, VIEWS):
            return kind.__name__ + "(" + self.items(value, "[", "]") + ")"
        if isinstance(value, _FUNCTIONS):
            return f"<function {getattr(value, '__name__', '?')}>"
        if isinstance(value, (date, time)):
            return "datetime." + repr(value)
        if kind in SAFE_REPR:
            return self.take(repr(value))
        return f"<{kind.__name__} object>"


_ATOMIC_REPR = frozenset({int, float, bool, str, type(None), bytes})
SAFE_REPR: set[type] = {range}
"""Library types whose own `repr` is short and without addresses."""


def _atom_repr(value: Any, kind: type) -> str:
    if kind is int:
        return int_text(value)
    if (kind is str or kind is bytes) and len(value) > FREE_SIZE:
        charge(len(value))
        if len(value) > MAX_LENGTH:
            out()
    return repr(value)


def int_text(value: int) -> str:
    """Decimal digits of `value`, with one limit whatever the interpreter was told."""
    bits = value.bit_length()
    if bits > FREE_SIZE:
        charge(bits)
    if bits > MAX_TEXT_BITS:
        raise ValueError(f"Exceeds the limit ({MAX_DIGITS} digits) for integer string conversion")
    return str(value)


def tool_method(kind: type, name: str) -> Any:
    """The method `name` that a tool's class (or a base of it) defines itself, or None."""
    for base in kind.__mro__:
        method = base.__dict__.get(name)
        if method is not None:
            is_tools = isinstance(method, types.FunctionType) and "_fuel_" in method.__globals__
            return method if is_tools else None
    return None


def _exact_text(value: Any) -> str:
    if type(value) is not str:
        raise TypeError("__str__ and __repr__ must return a string")
    return value


def repr_of(value: Any) -> str:
    """`repr(value)`."""
    text = _Renderer().repr(value)
    charge(len(text))
    return text


def str_of(value: Any) -> str:
    """`str(value)`."""
    kind = type(value)
    if kind is str:
        if len(value) > FREE_SIZE:
            charge(len(value))
        return value  # type: ignore[no-any-return]
    if kind is int:
        return int_text(value)
    if kind is float or kind is bool or value is None:
        return str(value)
    return _object_text(value, kind)


def _object_text(value: Any, kind: type) -> str:
    custom = tool_method(kind, "__str__")
    if custom is not None:
        return _exact_text(custom(value))
    if isinstance(value, enum.Enum):
        if isinstance(value, (enum.IntEnum, enum.StrEnum)):
            return str_of(value._value_)
        return f"{kind.__name__}.{value._name_}"
    if isinstance(value, Exception):
        return exception_text(value)
    if isinstance(value, (date, time)) or kind in SAFE_STR:
        text = str(value)
        charge(len(text))
        return text
    return repr_of(value)


SAFE_STR: set[type] = set()
"""Library types whose own `str` is bounded and deterministic."""


def exception_text(error: BaseException) -> str:
    """`str(error)`."""
    custom = tool_method(type(error), "__str__")
    if custom is not None:
        return _exact_text(custom(error))
    if not error.args:
        return ""
    if len(error.args) > 1:
        return repr_of(error.args)
    return repr_of(error.args[0]) if isinstance(error, KeyError) else str_of(error.args[0])


def field(value: Any) -> Any:
    """What stands for `value` in an f-string field without a format: itself, or its text."""
    kind = type(value)
    if kind is str:
        if len(value) > FREE_SIZE:
            charge(len(value))
        return value
    if kind is float or kind is bool:
        return value
    return str_of(value)


@lru_cache(maxsize=4096)
def check_spec(spec: str) -> bool:
    """Whether a format specification is free of huge widths. Raises LimitExceeded when not."""
    for digits in _DIGITS.findall(spec):
        if len(digits) > 4 or int(digits) > MAX_FORMAT_WIDTH:
            out("format_width")
    return True


def format_value(value: Any, spec: str = "") -> str:
    """`format(value, spec)`."""
    if type(spec) is not str:
        raise TypeError("format spec must be a string")
    kind = type(value)
    if kind not in (date, time) and not isinstance(value, (date, time)):
        check_spec(spec)
    if kind in _NUMBERS:
        if kind is int and value.bit_length() > MAX_TEXT_BITS:
            int_text(value)
        text = format(value, spec)
    elif kind is str or kind in SAFE_STR:
        text = format(value, spec)
    elif isinstance(value, (date, time)):
        text = FORMAT_DATE(value, spec)
    elif isinstance(value, enum.Enum) and isinstance(value._value_, (int, float, str)) and spec:
        text = format(value._value_ if not isinstance(value._value_, str) else str_of(value), spec)
    elif spec:
        if isinstance(value, (list, dict, tuple, set, type(None))):
            raise TypeError(f"unsupported format string passed to {kind.__name__}.__format__")
        text = format(str_of(value), spec)
    else:
        text = str_of(value)
    if len(text) > FREE_SIZE:
        charge(len(text))
    return text


FORMAT_DATE: Callable[[Any, str], str] = format
"""How dates are formatted; `modules/strftime.py` puts its own here."""


def format_converted(value: Any, conversion: int, spec: str) -> str:
    """An f-string field with `!r`, `!s` or `!a` (`conversion` is the code of the letter, -1 for none)."""
    if conversion == ord("s"):
        value = str_of(value)
    elif conversion == ord("r"):
        value = repr_of(value)
    elif conversion == ord("a"):
        value = repr_of(value).encode("ascii", "backslashreplace").decode("ascii")
    return format_value(value, spec)
