"""`deque` and `defaultdict` as tools have them.

CPython takes a long chain of nested deques or defaultdicts apart by recursion in C, which overflows the stack. Objects
of a class written in Python are taken apart step by step.
"""

from __future__ import annotations

import collections
from typing import Any


class Deque(collections.deque[Any]):
    """`collections.deque`."""

    __slots__ = ()


class DefaultDict(collections.defaultdict[Any, Any]):
    """`collections.defaultdict`."""

    __slots__ = ()


Deque.__name__ = Deque.__qualname__ = "deque"
DefaultDict.__name__ = DefaultDict.__qualname__ = "defaultdict"
