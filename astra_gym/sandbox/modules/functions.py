"""`functools` and `copy`, written out so that caches, partials and copies stay bounded and reproducible."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from astra_gym.sandbox.guards import compare
from astra_gym.sandbox.guards.classes import ToolMeta
from astra_gym.sandbox.guards.iteration import Shell, collect
from astra_gym.sandbox.limits import MAX_LENGTH
from astra_gym.sandbox.meter import charge, out
from astra_gym.sandbox.modules.frozen import frozen

MAX_CACHE = 10_000
_MISSING: Any = object()


class Partial:
    """`functools.partial`."""

    __slots__ = ("args", "func", "keywords")

    def __init__(self, func: Any, /, *args: Any, **keywords: Any) -> None:
        if not callable(func):
            raise TypeError("the first argument must be callable")
        self.func: Any
        self.args: tuple[Any, ...]
        self.keywords: dict[str, Any]
        if isinstance(func, Partial):
            args, keywords, func = (*func.args, *args), {**func.keywords, **keywords}, func.func
        charge(len(args) + len(keywords) + 64)
        self.func, self.args, self.keywords = func, args, keywords

    def __call__(self, /, *args: Any, **keywords: Any) -> Any:
        charge(len(self.args))
        return self.func(*self.args, *args, **{**self.keywords, **keywords})


class Cached:
    """A function with a bounded cache: `functools.cache` and `lru_cache`."""

    __slots__ = ("_cache", "_function", "_hits", "_maximum", "_misses")

    def __init__(self, function: Any, maximum: int) -> None:
        self._function = function
        self._maximum = maximum
        self._cache: dict[Any, Any] = {}
        self._hits = self._misses = 0

    def __call__(self, *args: Any, **keywords: Any) -> Any:
        name = compare.key((args, tuple(sorted(keywords.items()))) if keywords else args)
        found = self._cache.get(name, _MISSING)
        if found is not _MISSING:
            self._hits += 1
            return found
        self._misses += 1
        value = self._function(*args, **keywords)
        if self._maximum:
            if len(self._cache) >= self._maximum:
                del self._cache[next(iter(self._cache))]
            self._cache[name] = value
        return value

    def __get__(self, instance: Any, owner: Any) -> Any:
        return self if instance is None else Partial(self, instance)

    def cache_clear(self) -> None:
        self._cache.clear()

    def cache_info(self) -> tuple[int, int, int, int]:
        return (self._hits, self._misses, self._maximum, len(self._cache))


def _lru_cache(maxsize: Any = 128, typed: bool = False) -> Any:
    del typed
    if callable(maxsize):
        return Cached(maxsize, 128)
    maximum = MAX_CACHE if maxsize is None else max(0, min(int(maxsize), MAX_CACHE))
    return lambda function: Cached(function, maximum)


class CachedProperty:
    """`functools.cached_property`, kept in the instance."""

    __slots__ = ("_function", "_name")

    def __init__(self, function: Any) -> None:
        self._function = function
        self._name = ""

    def __set_name__(self, _owner: Any, name: str) -> None:
        self._name = name

    def __get__(self, instance: Any, _owner: Any) -> Any:
        if instance is None:
            return self
        value = self._function(instance)
        instance.__dict__[self._name] = value
        return value


def _reduce(function: Any, values: Any, initial: Any = _MISSING) -> Any:
    items = collect(values)
    if initial is _MISSING:
        if not items:
            raise TypeError("reduce() of empty iterable with no initial value")
        initial = items.pop(0)
    for item in items:
        initial = function(initial, item)
    return initial


class _Compared:
    """What `cmp_to_key` makes of one value; it runs the tool's function when two of them are compared."""

    __slots__ = ("function", "value")

    def __init__(self, function: Any, value: Any) -> None:
        self.function = function
        self.value = value

    def __lt__(self, other: Any) -> bool:
        return bool(self.function(self.value, other.value) < 0)


def _cmp_to_key(function: Any) -> Callable[[Any], _Compared]:
    return lambda value: _Compared(function, value)


def _wraps(_wrapped: Any, *_names: Any, **_options: Any) -> Callable[[Any], Any]:
    return lambda function: function


FUNCTOOLS = frozen(
    "functools",
    {
        "partial": Partial,
        "reduce": _reduce,
        "lru_cache": _lru_cache,
        "cache": lambda function: Cached(function, MAX_CACHE),
        "cached_property": CachedProperty,
        "cmp_to_key": _cmp_to_key,
        "wraps": _wraps,
    },
)

# copy

_SHARED = compare.ATOMS
_BUILT = (list, tuple, dict, set, frozenset, deque)


def _copy(value: Any) -> Any:
    if isinstance(value, (dict, list, set, deque)):
        charge(len(value))
        return value.copy()
    if isinstance(type(value), ToolMeta):
        return _instance(value, lambda item: item)
    if isinstance(value, Shell) or hasattr(value, "gi_frame"):
        raise TypeError(f"cannot copy {type(value).__name__!r} object")
    return value


def _instance(value: Any, copy_item: Callable[[Any], Any]) -> Any:
    """A new instance of a tool's class with copied attributes."""
    made = object.__new__(type(value))
    for name, item in getattr(value, "__dict__", {}).items():
        made.__dict__[name] = copy_item(item)
    for name in getattr(type(value), "__dataclass_fields__", ()):
        if not hasattr(made, name) and hasattr(value, name):
            object.__setattr__(made, name, copy_item(getattr(value, name)))
    return made


class _DeepCopy:
    """One deep copy: shared parts stay shared."""

    def __init__(self) -> None:
        self.done: dict[int, Any] = {}
        self.room = MAX_LENGTH

    def copy(self, value: Any, depth: int = 0) -> Any:
        kind = type(value)
        if kind in _SHARED:
            return value
        if id(value) in self.done:
            return self.done[id(value)]
        if depth > compare.MAX_DEPTH:
            out()
        if isinstance(value, _BUILT):
            self.room -= 1 + len(value)
            if self.room < 0:
                out()
            charge(32 + 16 * len(value))
        made = self.built(value, depth + 1)
        self.done[id(value)] = made
        return made

    def built(self, value: Any, depth: int) -> Any:
        if isinstance(value, dict):
            made = value.copy()
            made.clear()
            self.done[id(value)] = made
            for name, item in value.items():
                dict.__setitem__(made, self.copy(name, depth), self.copy(item, depth))
            return made
        if type(value) is list or isinstance(value, deque):
            row: Any = type(value)()
            self.done[id(value)] = row
            row.extend([self.copy(item, depth) for item in value])
            return row
        if isinstance(value, tuple):
            items = [self.copy(item, depth) for item in tuple.__iter__(value)]
            return tuple.__new__(type(value), items)
        if isinstance(value, (set, frozenset)):
            return type(value)([self.copy(item, depth) for item in value])
        if isinstance(type(value), ToolMeta):
            return _instance(value, lambda item: self.copy(item, depth))
        return _copy(value)


COPY = frozen("copy", {"copy": _copy, "deepcopy": lambda value: _DeepCopy().copy(value)})
