"""Iteration in a fixed order, metered: what `for`, unpacking and the iterator builtins go through.

Sets are walked in sorted order, since their own order changes with the hash seed. Iterators over iterators become small
Python objects, because deep chains of C iterators overflow the C stack.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import date
from itertools import islice, pairwise
from types import GeneratorType
from typing import Any

from astra_gym.sandbox.guards import text
from astra_gym.sandbox.limits import FREE_SIZE, MAX_ITERATORS, MAX_LENGTH, LimitExceeded
from astra_gym.sandbox.meter import charge, current_meter, out, spend

GENERATOR_COST = 8
"""Fuel of beginning to walk a generator: what keeps chains of them short."""
SETS = frozenset({set, frozenset})
FLAT = frozenset(
    {list, tuple, dict, str, bytes, range, type({}.items()), type({}.values()), type({}.keys()), set, frozenset}
)
"""Exact types whose iteration runs no other iterator."""
_SORTABLE = ({str}, {int}, {bytes}, {bool}, {int, bool})


class Shell:
    """An iterator handed to tools in place of a C one: metered, and not nested without end."""

    __slots__ = ("_depth", "_step")

    def __init__(self, source: Iterator[Any], inputs: Iterable[Any] = ()) -> None:
        self._depth: int
        depth = 1
        for item in inputs:
            if type(item) is Shell and item._depth >= depth:
                depth = item._depth + 1
        if depth > MAX_ITERATORS:
            out()
        self._depth = depth
        self._step = source.__next__

    def __iter__(self) -> Shell:
        return self

    def __next__(self) -> Any:
        for _ in current_meter().fuel:
            return self._step()
        raise LimitExceeded("fuel")


def ordered(values: Any) -> list[Any]:
    """The elements of a set in an order that does not depend on the hash seed.

    Raises: TypeError when two elements cannot be told apart by their text.
    """
    items = list(values)
    if len(items) < 2:
        return items
    charge(len(items) * 4)
    kinds = set(map(type, items))
    if kinds in _SORTABLE or (len(kinds) == 1 and issubclass(next(iter(kinds)), date)):
        items.sort()
        return items
    labelled = sorted(((type(item).__name__, text.repr_of(item), index) for index, item in enumerate(items)))
    for (kind, label, _), (next_kind, next_label, _) in pairwise(labelled):
        if kind == next_kind and label == next_label:
            raise TypeError(f"a set of {kind} objects has no reproducible order; use a list or dict")
    return [items[index] for _, _, index in labelled]


text.ORDERED = ordered


def iterable(value: Any) -> Any:
    """`value`, or its elements in order when it is a set: what a loop walks."""
    kind = type(value)
    if kind is list or kind is dict or kind is tuple or kind is str:
        return value
    if kind is set or kind is frozenset:
        return ordered(value)
    if kind is GeneratorType:
        spend(GENERATOR_COST)
    return value


def sequence(value: Any) -> Any:
    """What unpacking takes apart, charged when large."""
    kind = type(value)
    if kind is tuple or kind is list:
        if len(value) > FREE_SIZE:
            charge(len(value))
        return value
    if kind is set or kind is frozenset:
        return ordered(value)
    if hasattr(value, "__len__"):
        charge(len(value))
    return value


def metered(values: Any) -> Shell:
    """An iterator that draws fuel for each element, whoever walks it: a loop in C never ends by itself."""
    return Shell(iter(iterable(values)), (values,))


def unpackable(value: Any) -> Any:
    """An iterable whose elements a loop target unpacks: sets among them are put in order."""
    value = iterable(value)
    if type(value) in (list, tuple):
        if SETS.isdisjoint(map(type, value)):
            return value
        return [sequence(item) for item in value]
    return Shell(map(sequence, value), (value,))


def collect(value: Any) -> list[Any]:
    """All elements of an iterable as a new list, in order, charged and bounded."""
    kind = type(value)
    if kind in SETS:
        return ordered(value)
    if kind in FLAT:
        if len(value) > FREE_SIZE:
            if len(value) > MAX_LENGTH:
                out()
            charge(4 * len(value) if kind is range else len(value))  # a range makes its numbers
        return list(value)
    items = list(islice(value, MAX_LENGTH + 1))
    if len(items) > MAX_LENGTH:
        out()
    charge(len(items))
    return items


def star(value: Any) -> Any:
    """What `*value` spreads into a call or a display."""
    kind = type(value)
    if kind is list or kind is tuple:
        if len(value) > FREE_SIZE:
            charge(len(value))
        return value
    return collect(value)


def double_star(value: Any) -> Any:
    """What `**value` spreads."""
    if isinstance(value, dict):
        charge(len(value))
        return value
    raise TypeError(f"argument after ** must be a dict, not {type(value).__name__}")


def yield_from(value: Any) -> Any:
    """What `yield from` delegates to: a generator as it is, anything else metered."""
    if hasattr(value, "send"):
        return value
    value = iterable(value)
    return Shell(iter(value), (value,))


def simple(inputs: tuple[Any, ...]) -> bool:
    """Whether C iterators may run over these inputs: few, and each a plain container."""
    return len(inputs) <= 4 and all(type(value) in FLAT for value in inputs)


def shell(make: Callable[..., Iterator[Any]], *inputs: Any) -> Any:
    """`make(*inputs)` as a metered iterator."""
    if len(inputs) > MAX_ITERATORS:
        out()
    return Shell(make(*map(iterable, inputs)), inputs)
