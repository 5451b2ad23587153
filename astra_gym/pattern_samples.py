"""Strings that match a regular expression, for sampling arguments whose schema has a `pattern`.

Walks the parse tree of Python's `re`; what it cannot generate (look-arounds, back references) raises ValueError. The
caller validates the result, so a difference between dialects costs a retry, never a wrong sample.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np

T = TypeVar("T")

_PRINTABLE = [chr(code) for code in range(32, 127)]
_CATEGORIES = {
    "CATEGORY_DIGIT": "0123456789",
    "CATEGORY_SPACE": " ",
    "CATEGORY_WORD": "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_",
}
_EXTRA_REPEATS = 4
"""An unbounded repeat is sampled at most so many times above its minimum."""


def sample_matching(pattern: str, rng: np.random.Generator) -> str:
    """A string that `pattern` matches. Raises: ValueError when the pattern is invalid or beyond this module."""
    try:
        tree = re._parser.parse(pattern)  # type: ignore[attr-defined]  # the only parser of `re` patterns there is
    except re.error as error:
        raise ValueError(f"pattern {pattern!r}: {error}") from None
    return _sequence(tree, rng)


def _sequence(nodes: Any, rng: np.random.Generator) -> str:
    return "".join(_node(str(kind), argument, rng) for kind, argument in nodes)


def _node(kind: str, argument: Any, rng: np.random.Generator) -> str:
    match kind:
        case "LITERAL":
            return chr(argument)
        case "NOT_LITERAL":
            return _choose([char for char in _PRINTABLE if ord(char) != argument], rng)
        case "ANY":
            return _choose(_PRINTABLE, rng)
        case "AT":
            return ""
        case "IN":
            return _choose(_members(argument), rng)
        case "CATEGORY":
            return _choose(_category(str(argument)), rng)
        case "BRANCH":
            return _sequence(_choose(argument[1], rng), rng)
        case "SUBPATTERN":
            return _sequence(argument[-1], rng)
        case "ATOMIC_GROUP":
            return _sequence(argument, rng)
        case "MAX_REPEAT" | "MIN_REPEAT" | "POSSESSIVE_REPEAT":
            low, high, inner = argument
            times = int(rng.integers(low, min(int(high), low + _EXTRA_REPEATS) + 1))
            return "".join(_sequence(inner, rng) for _ in range(times))
    raise ValueError(f"a pattern with {kind} cannot be sampled")


def _members(items: Any) -> list[str]:
    """The printable characters of a set like `[a-z0-9]`."""
    chars: list[str] = []
    negated = False
    for kind, argument in items:
        match str(kind):
            case "NEGATE":
                negated = True
            case "LITERAL":
                chars.append(chr(argument))
            case "RANGE":
                chars.extend(map(chr, range(argument[0], min(argument[1], argument[0] + 0xFF) + 1)))
            case "CATEGORY":
                chars.extend(_category(str(argument)))
    return [char for char in _PRINTABLE if char not in chars] if negated else chars


def _category(name: str) -> list[str]:
    if name in _CATEGORIES:
        return list(_CATEGORIES[name])
    positive = name.replace("_NOT_", "_")
    return [char for char in _PRINTABLE if char not in _CATEGORIES[positive]]


def _choose(options: Sequence[T], rng: np.random.Generator) -> T:
    if not options:
        raise ValueError("a pattern with an empty set cannot be sampled")
    return options[int(rng.integers(len(options)))]
