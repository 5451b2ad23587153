"""`heapq` and `bisect`, written out: their C versions compare elements with nobody watching."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from astra_gym.sandbox.guards import builtins as guarded
from astra_gym.sandbox.guards import compare
from astra_gym.sandbox.guards.iteration import collect
from astra_gym.sandbox.meter import charge
from astra_gym.sandbox.modules.frozen import frozen


def _sift_down(heap: list[Any], start: int, position: int) -> None:
    item = heap[position]
    while position > start:
        parent = (position - 1) >> 1
        if not compare.lt(item, heap[parent]):
            break
        heap[position] = heap[parent]
        position = parent
    heap[position] = item


def _sift_up(heap: list[Any], position: int) -> None:
    end, start, item = len(heap), position, heap[position]
    child = 2 * position + 1
    while child < end:
        right = child + 1
        if right < end and not compare.lt(heap[child], heap[right]):
            child = right
        heap[position] = heap[child]
        position = child
        child = 2 * position + 1
    heap[position] = item
    _sift_down(heap, start, position)


def _heap(value: Any) -> list[Any]:
    if type(value) is not list:
        raise TypeError(f"heap argument must be a list, not {type(value).__name__}")
    return value


def heappush(heap: Any, item: Any) -> None:
    _heap(heap).append(item)
    _sift_down(heap, 0, len(heap) - 1)


def heappop(heap: Any) -> Any:
    last = _heap(heap).pop()
    if not heap:
        return last
    first, heap[0] = heap[0], last
    _sift_up(heap, 0)
    return first


def heapreplace(heap: Any, item: Any) -> Any:
    first, heap[0] = _heap(heap)[0], item
    _sift_up(heap, 0)
    return first


def heappushpop(heap: Any, item: Any) -> Any:
    if _heap(heap) and compare.lt(heap[0], item):
        return heapreplace(heap, item)
    return item


def heapify(heap: Any) -> None:
    charge(64 * len(_heap(heap)))
    for position in reversed(range(len(heap) // 2)):
        _sift_up(heap, position)


def _merge(*inputs: Any, key: Any = None, reverse: bool = False) -> Iterator[Any]:
    return iter(guarded.sort([item for values in inputs for item in collect(values)], key=key, reverse=reverse))


HEAPQ = frozen(
    "heapq",
    {
        "heappush": heappush,
        "heappop": heappop,
        "heapify": heapify,
        "heapreplace": heapreplace,
        "heappushpop": heappushpop,
        "nsmallest": lambda n, values, key=None: guarded.sort(values, key=key)[: max(0, n)],
        "nlargest": lambda n, values, key=None: guarded.sort(values, key=key, reverse=True)[: max(0, n)],
        "merge": _merge,
    },
)

# bisect


def _bisect(values: Any, x: Any, lo: int = 0, hi: Any = None, *, key: Any = None, right: bool = True) -> int:
    if lo < 0:
        raise ValueError("lo must be non-negative")
    hi = len(values) if hi is None else hi
    while lo < hi:
        middle = (lo + hi) // 2
        item = values[middle] if key is None else key(values[middle])
        if compare.lt(x, item) if right else not compare.lt(item, x):
            hi = middle
        else:
            lo = middle + 1
    return lo


def bisect_right(a: Any, x: Any, lo: int = 0, hi: Any = None, *, key: Any = None) -> int:
    return _bisect(a, x, lo, hi, key=key, right=True)


def bisect_left(a: Any, x: Any, lo: int = 0, hi: Any = None, *, key: Any = None) -> int:
    return _bisect(a, x, lo, hi, key=key, right=False)


def _insort(right: bool) -> Callable[..., None]:
    def insort(a: Any, x: Any, lo: int = 0, hi: Any = None, *, key: Any = None) -> None:
        wanted = x if key is None else key(x)
        position = _bisect(a, wanted, lo, hi, key=key, right=right)
        charge(len(a))
        a.insert(position, x)

    return insort


BISECT = frozen(
    "bisect",
    {
        "bisect": bisect_right,
        "bisect_right": bisect_right,
        "bisect_left": bisect_left,
        "insort": _insort(True),
        "insort_right": _insort(True),
        "insort_left": _insort(False),
    },
)
