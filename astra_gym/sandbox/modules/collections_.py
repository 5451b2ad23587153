"""`collections` with bounded Counters and deques, and no string classes that format attributes."""

from __future__ import annotations

import collections
import heapq  # noqa: F401 - Counter.most_common imports it when it runs, which a locked worker cannot
from typing import Any

from astra_gym.sandbox.guards import constructors, text
from astra_gym.sandbox.guards.classes import make_named_tuple
from astra_gym.sandbox.guards.containers import DefaultDict, Deque
from astra_gym.sandbox.guards.iteration import collect
from astra_gym.sandbox.guards.methods import counted
from astra_gym.sandbox.meter import charge, spend
from astra_gym.sandbox.modules.frozen import frozen

CONTAINER_COST = 8
"""Fuel of an empty container of these kinds, which take more memory than a list."""


def _counter(values: Any = (), /, **counts: int) -> collections.Counter[Any]:
    spend(CONTAINER_COST)
    made: collections.Counter[Any] = collections.Counter()
    made.update(values if isinstance(values, dict) else counted(values))
    made.update(counts)
    charge(2 * len(made))
    return made


def _default_dict(factory: Any = None, /, *values: Any, **extra: Any) -> collections.defaultdict[Any, Any]:
    spend(CONTAINER_COST)
    if factory is not None and not callable(factory):
        raise TypeError("first argument must be callable or None")
    return DefaultDict(factory, constructors.make_dict(*values, **extra))


def _ordered_dict(*values: Any, **extra: Any) -> collections.OrderedDict[Any, Any]:
    spend(CONTAINER_COST)
    return collections.OrderedDict(constructors.make_dict(*values, **extra))


def _deque(values: Any = (), maxlen: Any = None) -> collections.deque[Any]:
    spend(CONTAINER_COST)
    return Deque(collect(values), maxlen)


_STANDS_FOR: dict[Any, type] = {
    _counter: collections.Counter,
    _default_dict: DefaultDict,
    _ordered_dict: collections.OrderedDict,
    _deque: Deque,
}
for _function, _kind in _STANDS_FOR.items():
    constructors.REAL_TYPES[_function] = _kind
    constructors.TYPE_ALIASES[_kind] = _function
    text.TYPE_NAMES[_function] = f"collections.{_kind.__name__}"
COLLECTIONS = frozen(
    "collections",
    {
        "Counter": _counter,
        "defaultdict": _default_dict,
        "OrderedDict": _ordered_dict,
        "deque": _deque,
        "namedtuple": make_named_tuple,
    },
)
