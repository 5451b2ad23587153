"""Nothing that leads out of the sandbox is within three attribute look-ups of anything a tool can name or make."""

from __future__ import annotations

import builtins
import io
import sys
import types
from collections.abc import Iterator
from itertools import repeat
from typing import Any

import pytest

from astra_gym.sandbox.guards.classes import get_attribute, refused_attribute
from astra_gym.sandbox.guards.methods import GUARDED_METHODS
from astra_gym.sandbox.limits import LimitExceeded
from astra_gym.sandbox.meter import current_meter
from astra_gym.sandbox.modules.registry import MODULES
from astra_gym.sandbox.namespace import GUARDS, TOOL_BUILTINS, new_namespace
from astra_gym.sandbox.policy.compiler import compile_source
from astra_gym.sandbox.policy.violations import PolicyViolationError

DEPTH = 3
FORBIDDEN_TYPES = (types.FrameType, types.CodeType, types.TracebackType, types.CellType, io.IOBase)
BUILTINS = (
    *("eval", "exec", "compile", "open", "input", "vars", "globals", "locals", "dir", "__import__", "getattr"),
    *("setattr", "delattr", "breakpoint", "id", "hash", "BaseException", "SystemExit", "KeyboardInterrupt"),
    *("GeneratorExit", "object", "type"),
)
FORBIDDEN = {
    **{id(getattr(builtins, name)): name for name in BUILTINS},
    id(LimitExceeded): "LimitExceeded",
    id(sys.modules): "sys.modules",
    id(vars(builtins)): "the builtins",
    id(TOOL_BUILTINS): "the tools' builtins",
    id(GUARDS): "the guards",
}
SAMPLES = """
import collections, copy, dataclasses, datetime, decimal, enum, fractions, functools, itertools, json, operator
import random, re, statistics
from collections import namedtuple
class Plain:
    value = 1
    def __init__(self):
        self.items = [1]
    def method(self):
        return self
    @property
    def double(self):
        return 2
    @classmethod
    def made(cls):
        return cls()
    @staticmethod
    def alone():
        return 1
class Child(Plain):
    def parent(self):
        return super()
class Color(enum.Enum):
    RED = 1
class Word(enum.StrEnum):
    A = 'a'
@dataclasses.dataclass
class Row:
    a: int = 1
    b: list = dataclasses.field(default_factory=list)
class Oops(ValueError):
    pass
Point = namedtuple('Point', 'x y')
def function(a, b=[]):
    return a
def numbers():
    yield 1
def caught(act):
    try:
        act()
    except Exception as problem:
        return problem
def samples():
    return [
        Plain, Plain(), Plain().method, Child().parent(), Color, Color.RED, Word.A, Row, Row(), Oops, Oops('x'), Point,
        Point(1, 2), function, numbers, numbers(), (x for x in []), lambda: 1, 1, 1.5, True, None, 'a', b'a', [1],
        (1,), {'a': 1}, {1}, frozenset([1]), range(3), iter([]), iter({}), {'a': 1}.keys(), {'a': 1}.items(),
        zip([1]), map(str, [1]), map(operator.neg, [1]), filter(None, [1]), enumerate([1]), reversed([1]),
        [].append, ','.join, 'a'.upper, str.upper, property(function), classmethod(function), staticmethod(function),
        caught(lambda: 1 / 0), caught(lambda: {}['k']), caught(lambda: [].nothing), caught(lambda: int('x')),
        caught(lambda: json.loads('{')), caught(lambda: next(iter([]))), caught(lambda: 'é'.encode('ascii')),
        functools.partial(function, 1), functools.lru_cache(function), functools.cmp_to_key(function),
        functools.cmp_to_key(function)(1), functools.cached_property(function), operator.itemgetter(1),
        operator.attrgetter('a'), re.compile('a'), re.match('a', 'a'), random.Random(1), decimal.Decimal(1),
        decimal.getcontext(), decimal.localcontext(), fractions.Fraction(1, 2), datetime.datetime.now(),
        datetime.date.today(), datetime.time(), datetime.timedelta(1), datetime.timezone.utc,
        datetime.datetime.now().timetuple(), datetime.date.today().isocalendar(), collections.Counter('ab'),
        collections.deque([1]), collections.defaultdict(list), collections.OrderedDict(a=1), enum.auto(),
        dataclasses.field(), dataclasses.fields(Row), itertools.count(), itertools.chain([1]), itertools.chain,
        itertools.groupby([1]), itertools.tee([1]), copy.copy(Plain()), statistics.linear_regression([1, 2], [3, 4]),
    ]
"""


def made_by_a_tool() -> list[Any]:
    """One object of every kind that tool code can make."""
    namespace = new_namespace()
    current_meter().fuel = namespace["_fuel_"] = repeat(True, 1_000_000)
    exec(compile_source(SAMPLES).code, namespace)  # source that passed the policy
    found: list[Any] = namespace["samples"]()
    return found


def nameable() -> list[tuple[str, Any]]:
    """Everything that a tool can spell, and what it can make of that."""
    found = [(name, value) for name, value in TOOL_BUILTINS.items() if not name.startswith("_")]
    for name, module in MODULES.items():
        found += [(f"{name}.{member}", getattr(module, member)) for member in vars(module) if member[0] != "_"]
    return found + [(f"sample of {type(value).__name__}", value) for value in made_by_a_tool()]


def attributes(value: Any) -> Iterator[tuple[str, Any]]:
    """What tool code gets by each attribute that the policy lets it spell."""
    for name in dir(value):
        if refused_attribute(name):
            continue
        try:
            yield name, get_attribute(value, name) if name in GUARDED_METHODS else getattr(value, name)
        except (Exception, LimitExceeded):  # noqa: BLE001 - whatever it raises: an unreadable attribute leads nowhere
            continue


def leads_out(value: Any) -> str | None:
    """Why tool code must not get hold of a value, or None."""
    if id(value) in FORBIDDEN:
        return FORBIDDEN[id(value)]
    if isinstance(value, FORBIDDEN_TYPES):
        return type(value).__name__
    if isinstance(value, types.ModuleType) and value not in MODULES.values():
        return f"the module {value.__name__}"
    if isinstance(value, dict) and "__builtins__" in value:
        return "the globals of a function"
    return None


@pytest.fixture(autouse=True)
def fuel() -> None:
    current_meter().fuel = repeat(True, 10_000_000)


def test_nothing_within_reach_leads_out() -> None:
    found: dict[str, str] = {}
    seen: set[int] = set()
    keep: list[Any] = []
    level = nameable()
    for _ in range(DEPTH + 1):
        below: list[tuple[str, Any]] = []
        for path, value in level:
            if (reason := leads_out(value)) is not None:
                found[path] = reason
            elif id(value) not in seen:
                seen.add(id(value))
                keep.append(value)
                below += [(f"{path}.{name}", member) for name, member in attributes(value)]
        level = below
    assert len(seen) > 1_000
    assert not found, "\n".join(f"{path}: {reason}" for path, reason in sorted(found.items())[:40])


def test_super_cannot_be_passed_on() -> None:
    with pytest.raises(PolicyViolationError):
        compile_source("take = super\n")


@pytest.mark.parametrize("name", sorted(GUARDED_METHODS & set(dir(str))))
def test_a_guarded_method_is_never_native(name: str) -> None:
    assert not isinstance(get_attribute("text", name), types.BuiltinMethodType)
