"""Comparison, hashing and membership that cannot run away.

CPython compares and hashes nested containers in C without ever asking whether to go on: forty lists, each holding the
one before it twice, keep `==` busy for days, and a long chain of tuples overflows the C stack in `hash`. So whatever is
not a plain scalar is first measured, shared parts counted each time, and refused when it is too large.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Iterable
from typing import Any

from astra_gym.sandbox.limits import FREE_SIZE, MAX_LENGTH, LimitExceeded
from astra_gym.sandbox.meter import SHIFT, charge, out, spend

ATOMS = frozenset({int, float, str, bool, type(None), bytes})
"""Exact types that compare and hash in bounded time."""
VIEWS: tuple[type, ...] = (type({}.keys()), type({}.values()), type({}.items()))
CONTAINERS: Any = (list, tuple, dict, set, frozenset, deque, *VIEWS)
MAX_DEPTH = 100
MAX_COMPARED = 100_000
"""Nodes of a container that may be compared or hashed."""


def tree_size(value: object, cap: int = MAX_COMPARED) -> int:
    """Nodes of `value` as a tree (64 characters of text count as one), or `cap + 1` when larger or too deep."""
    size = 0
    level: list[Any] = [value]
    depth = 0
    while level:
        depth += 1
        size += len(level)
        if size > cap or depth > MAX_DEPTH:
            return cap + 1
        below: list[Any] = []
        for item in level:
            kind = type(item)
            if kind is str or kind is bytes:
                size += len(item) >> 6
            elif kind not in ATOMS:
                children = _children(item)
                if children is not None:
                    if len(children) + len(below) > cap:
                        return cap + 1
                    below.extend(children)
        level = below
    return size


def _children(item: Any) -> list[Any] | None:
    """What `==` or `hash` of `item` goes into, or None when it looks at nothing else."""
    if isinstance(item, dict):
        return [*item.keys(), *item.values()]
    if isinstance(item, CONTAINERS):
        return list(item)
    fields: Any = getattr(type(item), "__dataclass_fields__", None)
    if fields is not None:
        return [getattr(item, name, None) for name in fields]
    return None


def bounded(value: Any) -> Any:
    """`value` itself, measured: what a chained comparison, `match` or a hash may look at."""
    if type(value) in ATOMS:
        return value
    size = tree_size(value)
    if size > MAX_COMPARED:
        out()
    if size > FREE_SIZE:
        spend(size >> SHIFT)
    return value


def key(value: Any) -> Any:
    """`value` itself, safe to be hashed."""
    if type(value) in ATOMS:
        return value
    return bounded(value)


def _measure_pair(left: object, right: object) -> None:
    """Comparing costs at most the smaller of the two: refuse when both are too large."""
    size = tree_size(left)
    if size > MAX_COMPARED:
        size = tree_size(right)
        if size > MAX_COMPARED:
            out()
    if size > FREE_SIZE:
        spend(size >> SHIFT)


def eq(left: Any, right: Any) -> Any:
    """`left == right`."""
    if type(left) in ATOMS or type(right) in ATOMS:
        return left == right
    _measure_pair(left, right)
    return left == right


def ne(left: Any, right: Any) -> Any:
    """`left != right`."""
    if type(left) in ATOMS or type(right) in ATOMS:
        return left != right
    _measure_pair(left, right)
    return left != right


def lt(left: Any, right: Any) -> Any:
    """`left < right`."""
    if type(left) in ATOMS or type(right) in ATOMS:
        return left < right
    _measure_pair(left, right)
    return left < right


def gt(left: Any, right: Any) -> Any:
    """`left > right`."""
    if type(left) in ATOMS or type(right) in ATOMS:
        return left > right
    _measure_pair(left, right)
    return left > right


def le(left: Any, right: Any) -> Any:
    """`left <= right`."""
    if type(left) in ATOMS or type(right) in ATOMS:
        return left <= right
    _measure_pair(left, right)
    return left <= right


def ge(left: Any, right: Any) -> Any:
    """`left >= right`."""
    if type(left) in ATOMS or type(right) in ATOMS:
        return left >= right
    _measure_pair(left, right)
    return left >= right


def contains(value: Any, container: Any) -> bool:
    """`value in container`."""
    kind = type(container)
    if kind is dict or kind is set or kind is frozenset:
        return (value if type(value) in ATOMS else bounded(value)) in container
    if kind is str or kind is bytes:
        if len(container) > FREE_SIZE:
            charge(len(container))
        return value in container
    if kind is range and type(value) is int:
        return value in container
    charge_scan(value, container)
    return value in container


def charge_scan(value: Any, container: Any) -> None:
    """Pay for comparing `value` with each element of `container`."""
    size = 1 if type(value) in ATOMS else tree_size(value)
    if size > MAX_COMPARED:
        out()
    if type(value) is str or type(value) is bytes:
        size += len(value) >> 6
    length = len(container) if hasattr(container, "__len__") else 0
    if size * length > FREE_SIZE:
        spend(size * length >> SHIFT)


def charge_order(values: list[Any]) -> None:
    """Pay for sorting `values` (or finding an extreme), which compares them in C.

    Raises: LimitExceeded when they are too large to be compared.
    """
    count = len(values)
    if count < 2:
        return
    kinds = set(map(type, values))
    if kinds <= ATOMS:
        weight = 4
        if str in kinds or bytes in kinds:
            weight += max(len(value) for value in values if type(value) in (str, bytes)) >> 6
    else:
        size = tree_size(values, MAX_LENGTH)
        if size > MAX_LENGTH:
            out()
        weight = 4 + 4 * size // count
    if count * weight > 4 * FREE_SIZE:
        spend(count * weight >> SHIFT)


def unlimited() -> None:
    """First statement of every `except` of a tool: a limit that Python itself enforces must not be caught.

    The exception forgets what it came after, since Python walks that chain, however long, at every raise.
    """
    error = sys.exc_info()[1]
    if error is not None:
        error.__context__ = None
    if isinstance(error, RecursionError):
        raise LimitExceeded("recursion") from None
    if isinstance(error, MemoryError):
        raise LimitExceeded("memory") from None


def total(sizes: Iterable[int]) -> int:
    """Sum of sizes, stopping the tool as soon as it passes the limit of one value."""
    result = 0
    for size in sizes:
        result += size
        if result > MAX_LENGTH:
            out()
    return result
