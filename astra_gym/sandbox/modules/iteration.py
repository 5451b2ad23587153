"""`itertools` and `operator`: metered iterators that do not nest without end, and the guarded operators."""

from __future__ import annotations

import itertools
import operator
from collections.abc import Callable, Iterator
from typing import Any

from astra_gym.sandbox.guards import compare, operators
from astra_gym.sandbox.guards.iteration import Shell, collect, iterable, metered
from astra_gym.sandbox.limits import MAX_BITS, MAX_ITERATORS
from astra_gym.sandbox.meter import charge, out
from astra_gym.sandbox.modules.frozen import frozen

# itertools


def _shelled(make: Callable[..., Iterator[Any]], *inputs: Any) -> Shell:
    if len(inputs) > MAX_ITERATORS:
        out()
    return Shell(make(*[iterable(value) for value in inputs]), inputs)


def _plain(name: str) -> Callable[..., Shell]:
    """An iterator function whose arguments are all iterables."""
    make = getattr(itertools, name)

    def function(*inputs: Any) -> Shell:
        return _shelled(make, *inputs)

    function.__name__ = name
    return function


def _applied(name: str) -> Callable[..., Shell]:
    """An iterator function of a function and an iterable."""
    make = getattr(itertools, name)

    def function(test: Any, values: Any) -> Shell:
        return _shelled(lambda source: make(test, source), metered(values))

    function.__name__ = name
    return function


def _arranged(name: str) -> Callable[..., Shell]:
    """`permutations` and `combinations`: every tuple is paid for by its length."""
    make = getattr(itertools, name)

    def function(values: Any, r: Any = None) -> Shell:
        pool = collect(values)
        length = len(pool) if r is None else operator.index(r)
        if length > MAX_BITS:
            out()
        return Shell(_paid(make(pool, length) if name != "permutations" or r is not None else make(pool), length))

    function.__name__ = name
    return function


def _paid(rows: Iterator[Any], length: int) -> Iterator[Any]:
    for row in rows:
        charge(length)
        yield row


def _product(*inputs: Any, repeat: Any = 1) -> Shell:
    if len(inputs) * operator.index(repeat) > MAX_ITERATORS:
        out()
    return Shell(itertools.product(*map(collect, inputs), repeat=repeat))


def _count(start: Any = 0, step: Any = 1) -> Shell:
    return Shell(itertools.count(start, step))


def _cycle(values: Any) -> Shell:
    return Shell(itertools.cycle(collect(values)))


def _repeat(value: Any, times: Any = None) -> Shell:
    return Shell(itertools.repeat(value) if times is None else itertools.repeat(value, times))


def _accumulate(values: Any, func: Any = None, *, initial: Any = None) -> Shell:
    return _shelled(lambda source: itertools.accumulate(source, func or operators.add, initial=initial), values)


def _islice(values: Any, *bounds: Any) -> Shell:
    source = Shell(iter(iterable(values)), (values,))
    return Shell(itertools.islice(source, *bounds), (source,))


def _groupby(values: Any, key: Any = None) -> Shell:
    return Shell(_groups(collect(values), key))


def _groups(items: list[Any], key: Any) -> Iterator[tuple[Any, Shell]]:
    start = 0
    keys = items if key is None else [key(item) for item in items]
    for index in range(1, len(items) + 1):
        if index == len(items) or not compare.eq(keys[start], keys[index]):
            yield keys[start], Shell(iter(items[start:index]))
            start = index


def _zip_longest(*inputs: Any, fillvalue: Any = None) -> Shell:
    return _shelled(lambda *sources: itertools.zip_longest(*sources, fillvalue=fillvalue), *inputs)


def _tee(values: Any, n: Any = 2) -> tuple[Shell, ...]:
    items = collect(values)
    if operator.index(n) > MAX_ITERATORS:
        out()
    return tuple([Shell(iter(items)) for _ in range(n)])


def _batched(values: Any, n: Any) -> Shell:
    items = collect(values)
    if operator.index(n) < 1:
        raise ValueError("n must be at least one")
    return Shell(iter([tuple(items[start : start + n]) for start in range(0, len(items), n)]))


class _Chain:
    """`itertools.chain`, with its `from_iterable`."""

    __slots__ = ()

    def __call__(self, *inputs: Any) -> Shell:
        if len(inputs) > MAX_ITERATORS:
            inputs = (list(inputs),)
            return self.from_iterable(inputs[0])
        return Shell(itertools.chain(*map(iterable, inputs)), inputs)

    @staticmethod
    def from_iterable(inputs: Any) -> Shell:
        return Shell(itertools.chain.from_iterable(map(iterable, iterable(inputs))), (inputs,))


ITERTOOLS = frozen(
    "itertools",
    {
        **{name: _plain(name) for name in ("pairwise", "compress")},
        **{name: _applied(name) for name in ("takewhile", "dropwhile", "filterfalse", "starmap")},
        **{name: _arranged(name) for name in ("permutations", "combinations", "combinations_with_replacement")},
        "chain": _Chain(),
        "product": _product,
        "count": _count,
        "cycle": _cycle,
        "repeat": _repeat,
        "accumulate": _accumulate,
        "islice": _islice,
        "groupby": _groupby,
        "zip_longest": _zip_longest,
        "tee": _tee,
        "batched": _batched,
    },
)

# operator


def _item_getter(*keys: Any) -> Callable[[Any], Any]:
    if not keys:
        raise TypeError("itemgetter expected at least 1 argument, got 0")
    for name in keys:
        compare.key(name)
    if len(keys) == 1:
        return lambda value: value[keys[0]]
    return lambda value: tuple([value[name] for name in keys])


def _attribute_getter(*names: Any) -> Callable[[Any], Any]:
    if not names or not all(type(name) is str and "." not in name for name in names):
        raise TypeError("attrgetter takes plain attribute names")
    if len(names) == 1:
        return lambda value: GET_ATTRIBUTE(value, names[0])
    return lambda value: tuple([GET_ATTRIBUTE(value, name) for name in names])


GET_ATTRIBUTE: Callable[[Any, Any], Any] = getattr
"""The sandbox's `getattr`; set in `namespace.py`."""
OPERATOR = frozen(
    "operator",
    {
        "itemgetter": _item_getter,
        "attrgetter": _attribute_getter,
        "getitem": lambda value, name: value[compare.key(name)],
        "eq": compare.eq,
        "ne": compare.ne,
        "lt": compare.lt,
        "le": compare.le,
        "gt": compare.gt,
        "ge": compare.ge,
        "contains": lambda values, value: compare.contains(value, values),
        "add": operators.add,
        "concat": operators.add,
        "sub": operators.sub,
        "mul": operators.mul,
        "pow": operators.power,
        "mod": operators.modulo,
        "and_": operators.bit_and,
        "or_": operators.bit_or,
        "xor": operators.bit_xor,
        "truediv": lambda left, right: left / right,
        "floordiv": lambda left, right: left // right,
        "neg": lambda value: -value,
        "pos": lambda value: +value,
        "abs": abs,
        "not_": lambda value: not value,
        "truth": bool,
        "is_": lambda left, right: left is right,
        "is_not": lambda left, right: left is not right,
    },
)
