# ruff: noqa: E501 - one idiom a line
"""What LLM-written tools use works; what leads out of the sandbox is refused with line, rule and a hint."""

from __future__ import annotations

from typing import Any

import pytest

from astra_gym.errors import PolicyError
from astra_gym.sandbox import InProcessExecutor, PolicyViolationError, Program, check_source
from astra_gym.types import ToolCall, ToolFunction

IDIOMS: list[tuple[str, str, Any]] = [
    ("f-string", "n = 3\nreturn f'{n} items, {n:03d}, {1.5:.2f}, {n!r:>4}'", "3 items, 003, 1.50,    3"),
    ("percent format", "return '%s %05.1f %d%%' % ('a', 2.25, 3)", "a 002.2 3%"),
    ("percent dict", "return '%(a)s-%(b)d' % {'a': 'x', 'b': 2}", "x-2"),
    ("str.format", "return '{:>5}|{0}|{k[a]}'.replace('{0}', '{}').format('a', 'b', k={'a': 1})", "    a|b|1"),
    ("format widths from arguments", "return '{:>{w}}'.format('a', w=4)", "   a"),
    ("str methods", "return ' Ab '.strip().lower().title().center(4, '*').partition('b')", ["*A", "b", "*"]),
    ("split and join", "return '-'.join(w.upper() for w in 'a b'.split())", "A-B"),
    (
        "slices",
        "xs = [1, 2, 3, 4]\nreturn [xs[1:], xs[:-1], xs[::-1], xs[-2:], 'abc'[::2]]",
        [[2, 3, 4], [1, 2, 3], [4, 3, 2, 1], [3, 4], "ac"],
    ),
    ("augmented item", "d = {'a': [1]}\nd['a'] += [2]\nd['n'] = 0\nd['n'] += 5\nreturn d", {"a": [1, 2], "n": 5}),
    ("augmented attribute", "class A:\n    n = 1\na = A()\na.n += 2\na.n *= 3\nreturn a.n", 9),
    (
        "augmented with side effect once",
        "calls = []\ndef k():\n    calls.append(1)\n    return 'a'\nd = {'a': 1}\nd[k()] += 1\nreturn [d, calls]",
        [{"a": 2}, [1]],
    ),
    (
        "annotations",
        "x: int = 1\ny: 'Unknown[thing]'\ndef g(a: int, *, b: str = 'z') -> dict:\n    return {'a': a, 'b': b}\nreturn g(x)",
        {"a": 1, "b": "z"},
    ),
    ("private names", "_x = 1\ndef _helper(_y):\n    return _y + _x\nreturn _helper(2)", 3),
    (
        "private attributes",
        "class A:\n    def __init__(self):\n        self._n = 1\n        self.__m = 2\n    def total(self):\n        return self._n + self.__m\nreturn A().total()",
        3,
    ),
    ("underscore as a throw-away", "return [0 for _ in range(3)]", [0, 0, 0]),
    (
        "nested functions and nonlocal",
        "n = 0\ndef inc():\n    nonlocal n\n    n += 1\n    return n\ninc()\nreturn inc()",
        2,
    ),
    ("lambda", "return sorted([3, 1, 2], key=lambda x: -x)", [3, 2, 1]),
    (
        "closures and defaults",
        "fs = [lambda x, i=i: x + i for i in range(3)]\nreturn [g(10) for g in fs]",
        [10, 11, 12],
    ),
    (
        "star arguments",
        "def g(*a, **k):\n    return [list(a), k]\nreturn g(*[1, 2], 3, **{'x': 4}, y=5)",
        [[1, 2, 3], {"x": 4, "y": 5}],
    ),
    ("positional and keyword only", "def g(a, /, b, *, c):\n    return [a, b, c]\nreturn g(1, 2, c=3)", [1, 2, 3]),
    ("unpacking", "a, (b, *c) = 1, [2, 3, 4]\na, b = b, a\nreturn [a, b, c]", [2, 1, [3, 4]]),
    ("star display", "return [*[1, 2], *(3,), *{'k': 1}]", [1, 2, 3, "k"]),
    ("dict merge", "return {**{'a': 1}, 'b': 2} | {'c': 3}", {"a": 1, "b": 2, "c": 3}),
    ("list comprehension", "return [x * y for x in range(3) if x for y in (1, 10)]", [1, 10, 2, 20]),
    ("dict comprehension", "return {k: v for k, v in zip('ab', [1, 2])}", {"a": 1, "b": 2}),
    ("set comprehension", "return sorted({x % 3 for x in range(10)})", [0, 1, 2]),
    ("generator expression", "return sum(x for x in range(5) if x % 2)", 4),
    ("generator function", "def g(n):\n    while n:\n        yield n\n        n -= 1\nreturn list(g(3))", [3, 2, 1]),
    ("yield from", "def g():\n    yield from [1, 2]\n    yield from (x for x in [3])\nreturn list(g())", [1, 2, 3]),
    (
        "generator send",
        "def g():\n    x = 0\n    while True:\n        x += yield x\nit = g()\nnext(it)\nit.send(2)\nreturn it.send(3)",
        5,
    ),
    ("while else", "n = 2\nwhile n:\n    n -= 1\nelse:\n    return 'done'", "done"),
    ("for else and break", "for x in [1, 2]:\n    if x == 3:\n        break\nelse:\n    return 'none'", "none"),
    (
        "continue",
        "out = []\nfor x in range(4):\n    if x % 2:\n        continue\n    out.append(x)\nreturn out",
        [0, 2],
    ),
    (
        "try except else finally",
        "log = []\ntry:\n    int('x')\nexcept (ValueError, TypeError) as e:\n    log.append(type(e).__name__)\nelse:\n    log.append('else')\nfinally:\n    log.append('end')\nreturn log",
        ["ValueError", "end"],
    ),
    ("bare except", "try:\n    1 / 0\nexcept:\n    return 'caught'", "caught"),
    (
        "raise from",
        "try:\n    try:\n        {}['a']\n    except KeyError as e:\n        raise ValueError('no a') from e\nexcept ValueError as e:\n    return str(e)",
        "no a",
    ),
    (
        "own exception",
        "class Bad(ValueError):\n    def __init__(self, code):\n        super().__init__(f'code {code}')\n        self.code = code\ntry:\n    raise Bad(7)\nexcept Bad as e:\n    return [e.code, str(e)]",
        [7, "code 7"],
    ),
    ("assert", "try:\n    assert 1 == 2, 'unequal'\nexcept AssertionError as e:\n    return e.args", ["unequal"]),
    ("walrus", "if (n := len('abc')) > 2:\n    return n", 3),
    ("conditional expression", "return 'a' if [] else 'b'", "b"),
    ("chained comparison", "x = 5\nreturn [1 < x <= 5, 0 == x - 5 != 1]", [True, True]),
    (
        "membership",
        "return ['a' in 'abc', 2 not in [1], 'k' in {'k': 1}, 3 in (1, 2), None in [None]]",
        [True, True, True, False, True],
    ),
    ("boolean logic", "return [None or 'x', 1 and 0, not []]", ["x", 0, True]),
    (
        "match literals and mappings",
        "match {'kind': 'add', 'xs': [1, 2, 3]}:\n    case {'kind': 'sub'}:\n        return 0\n    case {'kind': 'add', 'xs': [first, *rest], **more}:\n        return [first, rest, more]",
        [1, [2, 3], {}],
    ),
    (
        "match classes and guards",
        "def g(v):\n    match v:\n        case bool():\n            return 'bool'\n        case int(n) if n > 5:\n            return f'big {n}'\n        case int() | float():\n            return 'number'\n        case str() as s:\n            return s\n        case None:\n            return 'none'\n        case _:\n            return 'other'\nreturn [g(True), g(9), g(1.5), g('x'), g(None), g([])]",
        ["bool", "big 9", "number", "x", "none", "other"],
    ),
    (
        "class with methods",
        "class Stack:\n    kind = 'lifo'\n    def __init__(self, items=None):\n        self.items = list(items or [])\n    def push(self, x):\n        self.items.append(x)\n        return self\n    @property\n    def size(self):\n        return len(self.items)\n    @classmethod\n    def of(cls, *xs):\n        return cls(xs)\n    @staticmethod\n    def twice(x):\n        return 2 * x\ns = Stack.of(1).push(2)\nreturn [s.size, s.items, Stack.twice(4), s.kind]",
        [2, [1, 2], 8, "lifo"],
    ),
    (
        "inheritance and super",
        "class A:\n    def __init__(self, n):\n        self.n = n\n    def show(self):\n        return f'A{self.n}'\nclass B(A):\n    def __init__(self, n):\n        super().__init__(n + 1)\n    def show(self):\n        return 'B' + super().show()\nreturn B(1).show()",
        "BA2",
    ),
    (
        "property setter",
        "class A:\n    def __init__(self):\n        self._x = 1\n    @property\n    def x(self):\n        return self._x\n    @x.setter\n    def x(self, v):\n        self._x = v * 2\na = A()\na.x = 5\nreturn a.x",
        10,
    ),
    (
        "repr and str of a class",
        "class P:\n    def __repr__(self):\n        return 'P()'\nreturn [str(P()), f'{P()}', str([P()]), '%s' % P()]",
        ["P()", "P()", "[P()]", "P()"],
    ),
    (
        "dataclass",
        "from dataclasses import dataclass, field, asdict\n@dataclass(order=True)\nclass P:\n    x: int\n    tags: list = field(default_factory=list)\nreturn [asdict(P(1, ['a'])), P(1) == P(1), P(1) < P(2), str(P(3))]",
        [{"x": 1, "tags": ["a"]}, True, True, "P(x=3, tags=[])"],
    ),
    (
        "frozen dataclass as a key",
        "from dataclasses import dataclass\n@dataclass(frozen=True)\nclass K:\n    a: str\n    b: int = 2\nreturn {K('x'): 1}[K('x', 2)]",
        1,
    ),
    (
        "dataclass post_init and ClassVar",
        "from dataclasses import dataclass\nfrom typing import ClassVar\n@dataclass\nclass P:\n    x: int\n    count: ClassVar[int] = 7\n    def __post_init__(self):\n        self.x = self.x + self.count\nreturn P(1).x",
        8,
    ),
    (
        "NamedTuple",
        "from typing import NamedTuple\nclass P(NamedTuple):\n    x: int\n    y: int = 2\n    def total(self):\n        return self.x + self.y\np = P(1)\nreturn [p.total(), p._asdict(), list(p), p._replace(x=5).x]",
        [3, {"x": 1, "y": 2}, [1, 2], 5],
    ),
    (
        "namedtuple",
        "from collections import namedtuple\nP = namedtuple('P', 'x y')\na, b = P(1, y=2)\nreturn [a, b, str(P(1, 2)), P._fields]",
        [1, 2, "P(x=1, y=2)", ["x", "y"]],
    ),
    (
        "Enum",
        "from enum import Enum, auto\nclass C(Enum):\n    RED = 'r'\n    BLUE = 'b'\nclass N(Enum):\n    A = auto()\n    B = auto()\nreturn [C('r').name, C['BLUE'].value, [c.value for c in C], C.RED == C('r'), str(C.RED), N.B.value]",
        ["RED", "b", ["r", "b"], True, "C.RED", 2],
    ),
    (
        "str and int Enum",
        "from enum import Enum, IntEnum\nclass S(str, Enum):\n    A = 'a'\nclass I(IntEnum):\n    ONE = 1\nreturn [S.A == 'a', S.A.upper(), I.ONE + 1, {S.A: 1}['a'], sorted([I.ONE, 0])]",
        [True, "A", 2, 1, [0, 1]],
    ),
    (
        "type checks",
        "return [isinstance(1, int), isinstance('a', (int, str)), isinstance([], list | dict), type({}) is dict, type('a') == str, type(1).__name__]",
        [True, True, True, True, True, "int"],
    ),
    (
        "types in a table",
        "names = {int: 'integer', str: 'string', list: 'array'}\nkinds = (int, float)\nreturn [names[type([])], isinstance(2.0, kinds), {'n': int, 's': str}['s'](5)]",
        ["array", True, "5"],
    ),
    (
        "type aliases",
        "Row = dict[str, int]\nNumber = int | float\nreturn [isinstance(1, Number), isinstance('a', Number)]",
        [True, False],
    ),
    (
        "typing",
        "from typing import Any, Optional, List, Dict, Union, Callable\nR = Dict[str, List[int]]\ndef g(x: Optional[R] = None) -> Union[int, str]:\n    return 1\nreturn g()",
        1,
    ),
    (
        "collections.abc",
        "from collections.abc import Mapping, Iterable, Sequence\nreturn [isinstance({}, Mapping), isinstance([1], Sequence), isinstance(3, Iterable)]",
        [True, True, False],
    ),
    (
        "abc",
        "from abc import ABC, abstractmethod\nclass A(ABC):\n    @abstractmethod\n    def m(self):\n        ...\nclass B(A):\n    def m(self):\n        return 1\nreturn B().m()",
        1,
    ),
    (
        "math",
        "import math\nreturn [math.sqrt(9), math.floor(2.7), math.gcd(12, 18), math.comb(5, 2), math.factorial(5), math.isclose(0.1 + 0.2, 0.3), round(math.pi, 2), math.prod([2, 3]), math.lcm(4, 6), math.isqrt(17)]",
        [3.0, 2, 6, 10, 120, True, 3.14, 6, 12, 4],
    ),
    (
        "json",
        "import json\nreturn json.loads(json.dumps({'b': [1, None], 'a': 'é'}, sort_keys=True, indent=2, ensure_ascii=False))",
        {"a": "é", "b": [1, None]},
    ),
    ("json error", "import json\ntry:\n    json.loads('{')\nexcept json.JSONDecodeError as e:\n    return e.pos", 1),
    (
        "re",
        "import re\nm = re.search(r'(?P<y>\\d{4})-(\\d\\d)', 'on 2024-05')\nreturn [m.group('y'), m[2], m.span(), re.sub(r'\\s+', ' ', 'a  b'), re.findall(r'[a-z]+', 'ab cd'), re.split(r',\\s*', 'a, b'), bool(re.fullmatch('a*', 'aab'))]",
        ["2024", "05", [3, 10], "a b", ["ab", "cd"], ["a", "b"], False],
    ),
    (
        "re compiled",
        "import re\nP = re.compile(r'^([\\w.+-]+)@([\\w-]+(?:\\.[\\w-]+)+)$', re.IGNORECASE)\nm = P.match('A.b@ex-ample.co.uk')\nreturn [m.groups(), P.pattern[:3], P.sub(lambda m: m.group(2), 'x@y.z')]",
        [["A.b", "ex-ample.co.uk"], "^([", "y.z"],
    ),
    (
        "datetime",
        "from datetime import datetime, timedelta, date\nd = datetime.strptime('2024-02-28 10:30', '%Y-%m-%d %H:%M') + timedelta(days=2)\nreturn [d.isoformat(), d.strftime('%b %d, %Y %I:%M %p'), (date(2024, 3, 1) - date(2024, 2, 1)).days, d.weekday(), d.date().isoformat(), datetime.fromisoformat('2024-01-01').year, f'{d:%d/%m}']",
        ["2024-03-01T10:30:00", "Mar 01, 2024 10:30 AM", 29, 4, "2024-03-01", 2024, "01/03"],
    ),
    (
        "datetime with zones",
        "from datetime import datetime, timezone, timedelta\nd = datetime(2024, 1, 1, 12, tzinfo=timezone.utc)\nreturn [d.astimezone(timezone(timedelta(hours=9))).isoformat(), d.timestamp(), datetime.fromtimestamp(0, timezone.utc).year]",
        ["2024-01-01T21:00:00+09:00", 1704110400.0, 1970],
    ),
    ("clock", "from datetime import datetime\nreturn datetime.now().isoformat()", "2025-01-01T00:00:00"),
    (
        "calendar",
        "import calendar\nreturn [calendar.monthrange(2024, 2)[1], calendar.isleap(2023), calendar.month_name[3], calendar.day_abbr[0]]",
        [29, False, "March", "Mon"],
    ),
    (
        "statistics",
        "import statistics as st\nreturn [st.mean([1, 2, 3]), st.median([3, 1, 2]), round(st.stdev([1, 2, 3]), 1), st.mode('aab'), st.quantiles([1, 2, 3, 4], n=2)]",
        [2, 2, 1.0, "a", [2.5]],
    ),
    (
        "collections",
        "from collections import Counter, defaultdict, deque, OrderedDict\nc = Counter('abca')\nd = defaultdict(list)\nd['x'].append(1)\nq = deque([1, 2], maxlen=2)\nq.append(3)\nreturn [c.most_common(1), dict(d), list(q), list(OrderedDict(a=1)), c['zz'], (c + Counter('a'))['a']]",
        [[["a", 2]], {"x": [1]}, [2, 3], ["a"], 0, 3],
    ),
    (
        "itertools",
        "from itertools import chain, combinations, groupby, islice, product, accumulate, zip_longest, count, permutations\nreturn [list(chain([1], [2])), len(list(combinations(range(4), 2))), [(k, len(list(g))) for k, g in groupby('aab')], list(islice(count(5), 2)), len(list(product('ab', repeat=2))), list(accumulate([1, 2, 3])), list(zip_longest([1], [2, 3])), len(list(permutations([1, 2, 3])))]",
        [[1, 2], 6, [["a", 2], ["b", 1]], [5, 6], 4, [1, 3, 6], [[1, 2], [None, 3]], 6],
    ),
    (
        "functools",
        "from functools import reduce, partial, lru_cache, cmp_to_key\n@lru_cache(maxsize=None)\ndef fib(n):\n    return n if n < 2 else fib(n - 1) + fib(n - 2)\nreturn [reduce(lambda a, b: a * b, [1, 2, 3]), partial(pow, 2)(5), fib(50), sorted([3, 1], key=cmp_to_key(lambda a, b: a - b))]",
        [6, 32, 12586269025, [1, 3]],
    ),
    (
        "operator",
        "from operator import itemgetter, attrgetter, mul\nreturn [sorted([{'a': 2}, {'a': 1}], key=itemgetter('a'))[0], itemgetter(0, 1)('xyz'), mul(3, 4)]",
        [{"a": 1}, ["x", "y"], 12],
    ),
    (
        "heapq and bisect",
        "import heapq, bisect\nh = [3, 1, 2]\nheapq.heapify(h)\nheapq.heappush(h, 0)\nxs = [1, 3]\nbisect.insort(xs, 2)\nreturn [heapq.heappop(h), heapq.nlargest(2, [1, 5, 3]), heapq.nsmallest(1, ['bb', 'a'], key=len), bisect.bisect_left(xs, 2), xs]",
        [0, [5, 3], ["a"], 1, [1, 2, 3]],
    ),
    (
        "dijkstra",
        "import heapq\nG = {'a': {'b': 1, 'c': 4}, 'b': {'c': 2}, 'c': {}}\ndist = {'a': 0}\nqueue = [(0, 'a')]\nwhile queue:\n    d, u = heapq.heappop(queue)\n    for v, w in G[u].items():\n        if d + w < dist.get(v, float('inf')):\n            dist[v] = d + w\n            heapq.heappush(queue, (d + w, v))\nreturn dist",
        {"a": 0, "b": 1, "c": 3},
    ),
    (
        "dynamic programming",
        "n = 30\ndp = [[0] * (n + 1) for _ in range(n + 1)]\nfor i in range(1, n + 1):\n    for j in range(1, n + 1):\n        dp[i][j] = max(dp[i - 1][j], dp[i][j - 1]) + (1 if i == j else 0)\nreturn dp[n][n]",
        30,
    ),
    ("recursion", "def depth(t):\n    return 1 + max((depth(c) for c in t), default=0)\nreturn depth([[[]], []])", 3),
    (
        "mutual recursion",
        "def even(n):\n    return n == 0 or odd(n - 1)\ndef odd(n):\n    return n != 0 and even(n - 1)\nreturn even(10)",
        True,
    ),
    (
        "decimal",
        "from decimal import Decimal, ROUND_HALF_UP, getcontext\ngetcontext().prec = 10\nreturn [str(Decimal('1.005').quantize(Decimal('0.01'), rounding=ROUND_HALF_UP)), str(Decimal(1) / 3), isinstance(Decimal(1), Decimal), f'{Decimal(\"1234.5\"):,.2f}']",
        ["1.01", "0.3333333333", True, "1,234.50"],
    ),
    (
        "decimal local context",
        "from decimal import Decimal, localcontext\nwith localcontext() as ctx:\n    ctx.prec = 3\n    x = Decimal(1) / 3\nreturn str(x)",
        "0.333",
    ),
    (
        "fractions",
        "from fractions import Fraction\nx = Fraction(1, 3) + Fraction('1/6')\nreturn [str(x), x.numerator, float(x * 2), str(x ** 2), isinstance(x, Fraction)]",
        ["1/2", 1, 1.0, "1/4", True],
    ),
    (
        "random with the seed",
        "import random\nr = random.Random(42)\nxs = [1, 2, 3]\nr.shuffle(xs)\nreturn [xs, r.randint(1, 1), 0 <= random.random() < 1, random.choice([7]), len(random.sample(range(10), 3)), random.choices('a', k=2)]",
        [[2, 1, 3], 1, True, 7, 3, ["a", "a"]],
    ),
    ("hashlib", "import hashlib\nreturn hashlib.sha256('a'.encode('utf-8')).hexdigest()[:8]", "ca978112"),
    (
        "textwrap and string",
        "import textwrap, string\nreturn [textwrap.wrap('aa bb cc', 5), textwrap.shorten('hello big world', 11, placeholder='...'), string.ascii_lowercase[:3], textwrap.dedent('  a\\n  b')]",
        [["aa bb", "cc"], "hello...", "abc", "a\nb"],
    ),
    (
        "copy",
        "import copy\na = {'x': [1]}\nb = copy.deepcopy(a)\nc = copy.copy(a)\nb['x'].append(2)\nc['x'].append(3)\nreturn [a, b]",
        [{"x": [1, 3]}, {"x": [1, 2]}],
    ),
    (
        "builtins",
        "return [abs(-1), divmod(7, 2), pow(2, 3, 5), round(2.567, 1), sum([1, 2], 10), min(3, 1), max('a', 'b', key=ord), any([0, 1]), all([]), bin(5), hex(255), chr(97), ord('b'), list(reversed([1, 2])), list(map(int, '12')), list(filter(None, [0, 1])), bool(''), float('2.5'), int('ff', 16), callable(len)]",
        [
            1,
            [3, 1],
            3,
            2.6,
            13,
            1,
            "b",
            True,
            True,
            "0b101",
            "0xff",
            "a",
            98,
            [2, 1],
            [1, 2],
            [1],
            False,
            2.5,
            255,
            True,
        ],
    ),
    (
        "list methods",
        "xs = [3, 1]\nxs.append(2)\nxs.extend((5, 4))\nxs.insert(0, 9)\nxs.sort(reverse=True)\nxs.remove(9)\nlast = xs.pop()\nxs.reverse()\nxs[1:2] = [7, 8]\ndel xs[0]\nreturn [xs, last, xs.index(8), xs.count(4), xs.copy()]",
        [[7, 8, 4, 5], 1, 1, 1, [7, 8, 4, 5]],
    ),
    (
        "dict methods",
        "d = {'a': 1}\nd.update(b=2)\nd.setdefault('c', []).append(3)\nx = d.pop('a', None)\ndel d['b']\nreturn [d, x, list(d.items()), d.get('zz', 0), dict.fromkeys('ab', 1), list(d.keys()), d.popitem()]",
        [{}, 1, [["c", [3]]], 0, {"a": 1, "b": 1}, ["c"], ["c", [3]]],
    ),
    (
        "set methods",
        "s = {1, 2}\ns.add(3)\ns.discard(9)\ns |= {4}\nreturn [sorted(s & {2, 3}), sorted(s - {1}), s.issubset({1, 2, 3, 4}), sorted(s.union([7])), len(s ^ {1})]",
        [[2, 3], [2, 3, 4], True, [1, 2, 3, 4, 7], 3],
    ),
    (
        "sorting by several keys",
        "rows = [{'n': 'b', 'v': 1}, {'n': 'a', 'v': 2}, {'n': 'c', 'v': 2}]\nreturn [r['n'] for r in sorted(rows, key=lambda r: (-r['v'], r['n']))]",
        ["a", "c", "b"],
    ),
    (
        "grouping",
        "out = {}\nfor k, v in [('a', 1), ('b', 2), ('a', 3)]:\n    out.setdefault(k, []).append(v)\nreturn out",
        {"a": [1, 3], "b": [2]},
    ),
    ("tuple keys", "grid = {(x, y): x * y for x in range(3) for y in range(3)}\nreturn grid[2, 2] + grid[(1, 2)]", 6),
    (
        "bytes",
        "return ['é'.encode().hex(), b'ab'.decode(), len(bytes([1, 2])), b'a' + b'b' == b'ab']",
        ["c3a9", "ab", 2, True],
    ),
    ("str.maketrans and translate", "return 'abc'.translate(str.maketrans('ab', 'xy', 'c'))", "xy"),
    (
        "unbound methods as functions",
        "return [list(map(str.upper, 'ab')), sorted(['B', 'a'], key=str.lower), list(map(str.strip, [' a ']))]",
        [["A", "B"], ["a", "B"], ["a"]],
    ),
    (
        "bound methods as functions",
        "d = {'a': 1, 'b': 0}\njoin = '-'.join\nreturn [max(d, key=d.get), join(['x', 'y'])]",
        ["a", "x-y"],
    ),
    ("getattr", "class A:\n    x = 1\nreturn [getattr(A, 'x'), getattr(A, 'y', 2), hasattr(A, 'x')]", [1, 2, True]),
    (
        "decorators",
        "def twice(g):\n    def inner(*a, **k):\n        return 2 * g(*a, **k)\n    return inner\n@twice\ndef h(x):\n    return x + 1\nreturn h(2)",
        6,
    ),
    (
        "wraps",
        "from functools import wraps\ndef d(g):\n    @wraps(g)\n    def inner():\n        return g() + 1\n    return inner\n@d\ndef h():\n    return 1\nreturn h()",
        2,
    ),
    ("global statement", "return bump() + bump()", 3),
    ("main guard and print", "print('debug', 1, sep='-')\nreturn 1", 1),
    ("docstring, pass and ellipsis", "def g():\n    'doc'\n    ...\n    pass\nreturn g()", None),
    (
        "nested data",
        "db = {'u': [{'id': 1, 'tags': ['x']}]}\nuser = next((u for u in db['u'] if u['id'] == 1), None)\nuser['tags'].append('y')\nreturn db",
        {"u": [{"id": 1, "tags": ["x", "y"]}]},
    ),
    ("names of missing builtins as variables", "id, input, hash, dir = 1, 2, 3, 4\nreturn id + input + hash + dir", 10),
    ("is and is not", "x = None\nreturn [x is None, x is not None]", [True, False]),
    (
        "integer arithmetic",
        "return [7 // 2, -7 % 3, 2 ** 10, 1 << 4, 6 & 3, 6 | 1, 6 ^ 3, ~5, 10 >> 1, 7 / 2]",
        [3, 2, 1024, 16, 2, 7, 5, -6, 5, 3.5],
    ),
    ("text repetition", "return ['ab' * 2, 3 * '-', [0] * 2]", ["abab", "---", [0, 0]]),
    ("with a helper defined below", "return later(2)", 4),
]
PREFIX = "COUNT = 0\ndef bump():\n    global COUNT\n    COUNT += 1\n    return COUNT\ndef later(x):\n    return x * 2\n"
SUFFIX = "\nif __name__ == '__main__':\n    print(f())\n"


def run(source: str, calls: int = 1) -> Any:
    tool = ToolFunction(name="f", description="", parameters={"type": "object"}, source=source)
    executor = InProcessExecutor(Program((tool,)))
    results = [executor(ToolCall("f", {})) for _ in range(calls)]
    assert results[-1].error is None, results[-1].error
    return results[-1].output


@pytest.mark.parametrize(("body", "expected"), [pytest.param(b, e, id=n) for n, b, e in IDIOMS])
def test_idiom_gives_what_python_gives(body: str, expected: Any) -> None:
    indented = "\n".join("    " + line for line in body.split("\n"))
    assert run(f"{PREFIX}def f():\n{indented}\n{SUFFIX}") == expected


def test_there_are_enough_idioms() -> None:
    assert len(IDIOMS) >= 80


@pytest.mark.parametrize(
    ("source", "line", "rule"),
    [
        ("def f():\n    return ().__class__", 2, "magic-attribute"),
        ("import os\ndef f():\n    return 1", 1, "import"),
        ("from json import codecs\ndef f():\n    return 1", 1, "module-member"),
        ("import math\ndef f():\n    return math.nothing", 3, "module-member"),
        ("class A:\n    def __eq__(self, o):\n        return True\ndef f():\n    return 1", 2, "magic-name"),
        ("def f():\n    return eval('1')", 2, "unavailable-name"),
        ("def f(:\n    return 1", 1, "syntax"),
        ("async def f():\n    return 1", 1, "syntax-not-allowed"),
        ("def f():\n    try:\n        pass\n    finally:\n        return 1", 5, "jump-in-finally"),
        ("def f():\n    return 1j", 2, "literal"),
        ("def f():\n    return f'{1:99999}'", 2, "format-width"),
        ("def g():\n    return 1", 1, "missing-function"),
        ("x = '" + "a" * 70_000 + "'\ndef f():\n    return 1", 1, "source-size"),
        ("def f():\n    private_x = 1\n    return private_x", 2, "reserved-name"),
        ("class A(B, metaclass=C):\n    pass\ndef f():\n    return 1", 1, "class-keywords"),
    ],
)
def test_refusal_names_line_rule_and_hint(source: str, line: int, rule: str) -> None:
    with pytest.raises(PolicyViolationError) as caught:
        check_source(source, "f")
    assert (caught.value.line, caught.value.rule) == (line, rule)
    assert rule in str(caught.value)
    assert isinstance(caught.value, PolicyError)


def test_every_violation_is_listed() -> None:
    with pytest.raises(PolicyViolationError) as caught:
        check_source("import os\nimport sys\ndef f():\n    return open('x')", "f")
    assert [violation.line for violation in caught.value.violations] == [1, 2, 4]


@pytest.mark.parametrize(
    ("source", "stateless"),
    [
        ("T = {'a': 1}\ndef f(k='a'):\n    return T.get(k)", True),
        ("def f(xs=()):\n    out = []\n    for x in xs:\n        out.append(x)\n    return sorted(out)", True),
        ("def f():\n    total = 0\n    for x in [1]:\n        total += x\n    return {'t': total}", True),
        ("T = []\ndef f():\n    T.append(1)\n    return len(T)", False),
        ("T = {'a': {}}\ndef f():\n    row = T['a']\n    row['x'] = 1\n    return row", False),
        ("def f(seen=[]):\n    return len(seen)", False),
        ("N = 0\ndef f():\n    global N\n    N += 1\n    return N", False),
        ("from random import random\ndef f():\n    return random()", False),
        ("I = iter([1])\ndef f():\n    return 1", False),
        ("def f():\n    out = T if T else []\n    out.append(1)\n    return out\nT = []", False),
        ("T = [1]\ndef f():\n    x = T\n    x += [2]\n    return x", False),
        ("from functools import cache\n@cache\ndef f():\n    return 1", False),
        ("T = []\ndef f():\n    g = getattr(T, 'append')\n    return g(1)", False),
        ("T = []\ndef f():\n    return list(map(T.append, [1]))", False),
        ("T = {}\ndef sorted(x):\n    return T\ndef f():\n    y = sorted(1)\n    y['a'] = 1\n    return y", False),
    ],
)
def test_statelessness_is_proved_from_the_text_or_not_at_all(source: str, stateless: bool) -> None:
    tool = ToolFunction(name="f", description="", parameters={"type": "object"}, source=source)
    assert Program((tool,)).stateless is stateless
