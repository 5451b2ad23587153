"""A tool's return value as plain JSON data: bounded, deterministic, and copied without running any tool code."""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import enum
import fractions
from collections import deque
from typing import Any

from astra_gym.sandbox.guards.classes import ToolMeta
from astra_gym.sandbox.guards.iteration import ordered
from astra_gym.sandbox.guards.text import int_text
from astra_gym.sandbox.limits import MAX_RESULT_BYTES, MAX_RESULT_DEPTH, MAX_RESULT_NODES, LimitExceeded

LEAST, MOST = -(1 << 63), (1 << 64) - 1
"""Integers beyond these are given as text: JSON readers do not agree on them."""
INFINITY = float("inf")
_SIMPLE = frozenset({bool, type(None)})
_FEW, _SHORT = 32, 512
"""A dict of so many items, with keys and texts so long, is within every limit."""


class NotJSONError(TypeError):
    """The tool returned something that has no JSON form."""


def plain(value: Any) -> Any:
    """`value` as JSON data.

    Exact plain values are copied; tuples become lists, sets sorted lists, dates ISO text, Decimal and Fraction text,
    enum members their value, dataclasses and named tuples dicts and lists; NaN becomes None, infinities "Infinity" and
    "-Infinity", integers beyond 64 bits text.

    Raises: LimitExceeded("output_too_large"); NotJSONError.
    """
    if type(value) is dict and len(value) <= _FEW:
        copied = _small(value)
        if copied is not None:
            return copied
    return _Copy().copy(value, 0)


def _small(value: dict[Any, Any]) -> dict[str, Any] | None:
    """A copy of a flat dict of short plain values, as most results are; None when it is not one."""
    copied: dict[str, Any] = {}
    for key, item in value.items():
        if type(key) is not str or len(key) > _SHORT or not key.isascii():
            return None
        kind = type(item)
        if kind is str:
            if len(item) > _SHORT or not item.isascii():
                return None
        elif kind is int:
            if not LEAST <= item <= MOST:
                return None
        elif kind is float:
            if not -INFINITY < item < INFINITY:
                return None
        elif kind not in _SIMPLE:
            return None
        copied[key] = item
    return copied


class _Copy:
    """One copy: the room that is left."""

    __slots__ = ("nodes", "room")

    def __init__(self) -> None:
        self.nodes = MAX_RESULT_NODES
        self.room = MAX_RESULT_BYTES

    def take(self, size: int) -> None:
        self.room -= size
        if self.room < 0:
            raise LimitExceeded("output_too_large")

    def enter(self, size: int, depth: int) -> None:
        self.nodes -= size
        if self.nodes < 0 or depth > MAX_RESULT_DEPTH:
            raise LimitExceeded("output_too_large")

    def copy(self, value: Any, depth: int) -> Any:
        kind = type(value)
        if kind is str:
            return self.text(value)
        if kind is dict:
            return self.mapping(value, depth)
        if kind is list or kind is tuple:
            return self.sequence(value, depth)
        if kind is int:
            return self.integer(value)
        if kind is float:
            return real(value)
        if kind in _SIMPLE:
            return value
        return self.other(value, depth)

    def text(self, value: str) -> str:
        self.take(len(value))
        if value.isascii():
            return value
        self.take(len(value))
        try:
            value.encode()
        except UnicodeEncodeError:
            return value.encode("utf-8", "replace").decode()
        return value

    def integer(self, value: int) -> int | str:
        if LEAST <= value <= MOST:
            return value
        return self.text(int_text(value))

    def mapping(self, value: dict[Any, Any], depth: int) -> dict[str, Any]:
        self.enter(len(value), depth)
        copied: dict[str, Any] = {}
        take, copy = self.take, self.copy
        for key, item in value.items():
            if type(key) is not str:
                key = self.key(key)
            elif not key.isascii():
                key = self.text(key)
            take(len(key))
            kind = type(item)
            if kind is int and LEAST <= item <= MOST:
                copied[key] = item
            else:
                copied[key] = copy(item, depth + 1)
        return copied

    def key(self, key: Any) -> str:
        """A JSON object key for what was used as one."""
        if isinstance(key, enum.Enum):
            key = key._value_
        if key is None or type(key) is bool:
            return {None: "null", True: "true", False: "false"}[key]
        if isinstance(key, (str, int, float, decimal.Decimal, fractions.Fraction, datetime.date, datetime.time)):
            written = self.copy(key, 0)
            return written if type(written) is str else str(written)
        if type(key) is tuple:
            return ", ".join([self.key(part) for part in key])
        raise NotJSONError(f"the tool returned a dict with a key of type {type(key).__name__}; use text keys")

    def sequence(self, value: Any, depth: int) -> list[Any]:
        self.enter(len(value), depth)
        copy = self.copy
        return [copy(item, depth + 1) for item in value]

    def other(self, value: Any, depth: int) -> Any:
        if isinstance(value, dict):
            return self.mapping(dict(dict.items(value)), depth)
        if isinstance(value, enum.Enum):
            return self.copy(value._value_, depth + 1)
        if isinstance(value, tuple):
            return self.sequence(tuple(tuple.__iter__(value)), depth)
        if isinstance(value, deque) or isinstance(value, _VIEWS):  # noqa: SIM101 - _VIEWS has no known type
            return self.sequence(list(value), depth)
        if type(value) is set or type(value) is frozenset:
            return self.sequence(ordered(value), depth)
        if isinstance(value, (decimal.Decimal, fractions.Fraction)):
            return self.text(str(value))
        if isinstance(value, (datetime.datetime, datetime.date, datetime.time)):
            return value.isoformat()
        if isinstance(value, datetime.timedelta):
            return value.total_seconds()
        if type(type(value)) is ToolMeta and dataclasses.is_dataclass(value):
            fields = value.__dataclass_fields__
            return self.mapping({name: value.__dict__[name] for name in fields if name in value.__dict__}, depth)
        raise NotJSONError(f"the tool returned a value of type {type(value).__name__}, which is not JSON")


_VIEWS: Any = (type({}.keys()), type({}.values()))


def real(value: float) -> float | str | None:
    """A finite float, or what stands for the others in JSON."""
    if value != value:
        return None
    if value in (INFINITY, -INFINITY):
        return "Infinity" if value > 0 else "-Infinity"
    return value
