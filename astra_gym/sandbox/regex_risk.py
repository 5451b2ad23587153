"""How long a backtracking search may take: an upper bound from the shape of a pattern.

Python's `re` cannot be interrupted, so a search must be known to end before it starts. The bound counts in how many
ways the repeats of a pattern can share out a text of length n: a repeat whose characters cannot also begin what follows
it has one way only; two that overlap multiply. A search then takes at most n starts times n characters times the ways.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from astra_gym.sandbox.limits import MAX_PATTERN, REGEX_STEPS

c: Any = vars(re)["_constants"]
parser: Any = vars(re)["_parser"]
END = -1
"""In a set of first characters: the end of the text."""
SAMPLE = frozenset(range(256)) | frozenset(map(ord, "жЖ中あ١ \u2003–€ßıſ\U0001f600"))
REPEATS = tuple(op for op in (c.MAX_REPEAT, c.MIN_REPEAT, getattr(c, "POSSESSIVE_REPEAT", None)) if op is not None)
Chars = frozenset[int]


class RiskyPatternError(ValueError):
    """A pattern whose search time grows too steeply for any text."""


@dataclass(frozen=True, slots=True)
class Cost:
    """Ways to match, as coefficient times n to a power."""

    power: int = 0
    factor: int = 1

    def __mul__(self, other: Cost) -> Cost:
        return Cost(self.power + other.power, min(self.factor * other.factor, REGEX_STEPS))

    def __add__(self, other: Cost) -> Cost:
        return Cost(max(self.power, other.power), min(self.factor + other.factor, REGEX_STEPS))


ONE = Cost()


class _Analysis:
    """One walk over the parse tree of a pattern."""

    def __init__(self, items: Any, flags: int) -> None:
        self.ignore_case = bool(flags & re.IGNORECASE)
        self.universe = SAMPLE | frozenset(_literals(items))
        self.anything = self.universe | {END}
        self.variable = False
        """Whether a repeat may give back characters, step by step, when what follows fails."""

    def sequence(self, items: Any, follow: Chars) -> tuple[Cost, Chars, bool]:
        """(ways, first characters, may be empty) of `items` when `follow` comes after."""
        cost = ONE
        first, empty = follow, True
        for op, argument in reversed(list(items)):
            item_cost, item_first, item_empty = self.item(op, argument, first)
            cost = cost * item_cost
            first = item_first | first if item_empty else item_first
            empty = empty and item_empty
        return cost, first, empty

    def item(self, op: Any, argument: Any, follow: Chars) -> tuple[Cost, Chars, bool]:
        if op in REPEATS:
            return self.repeat(argument, follow)
        if op is c.SUBPATTERN:
            return self.sequence(argument[3], follow)
        if op is c.BRANCH:
            return self.branch(argument[1], follow)
        if op in (c.ASSERT, c.ASSERT_NOT):
            cost, _, _ = self.sequence(argument[1], self.anything)
            return cost, follow, True
        if op is c.AT:
            at_end = argument in (c.AT_END, c.AT_END_STRING)
            return ONE, frozenset({END, 10}) if at_end else follow, not at_end
        if op is getattr(c, "ATOMIC_GROUP", None):
            return self.sequence(argument, follow)
        if op is c.GROUPREF:
            self.variable = True
            return Cost(1), self.universe, True
        if op is c.GROUPREF_EXISTS:
            _, yes, no = argument
            return self.branch([yes, no or []], follow)
        return ONE, self.chars(op, argument), False

    def branch(self, alternatives: Any, follow: Chars) -> tuple[Cost, Chars, bool]:
        parts = [self.sequence(alternative, follow) for alternative in alternatives]
        first: Chars = frozenset().union(*(part[1] for part in parts))
        empty = any(part[2] for part in parts)
        disjoint = sum(len(part[1]) for part in parts) == len(first)
        if disjoint and not empty:
            cost = Cost(max(part[0].power for part in parts), max(part[0].factor for part in parts))
        else:
            cost = parts[0][0]
            for part in parts[1:]:
                cost = cost + part[0]
        return cost, first, empty

    def repeat(self, argument: Any, follow: Chars) -> tuple[Cost, Chars, bool]:
        low, high, body = argument
        last = follow >= self.anything
        self.variable = self.variable or (low != high and not last)
        _, first, _ = self.sequence(body, follow)
        inner, first, empty = self.sequence(body, first | follow if high > 1 else follow)
        choices = ONE
        if low != high and first & follow and not last:
            choices = Cost(1) if high is c.MAXREPEAT or high > 1000 else Cost(0, int(high) - int(low) + 1)
        if high > 1:
            if empty and (high is c.MAXREPEAT or high > 4):
                raise RiskyPatternError("a repeat around something that may be empty")
            if inner.power or inner.factor > 1:
                ways = self._power(inner, high)
                return ways * choices, first, low == 0 or empty
        return inner * choices, first, low == 0 or empty

    @staticmethod
    def _power(inner: Cost, high: Any) -> Cost:
        """Ways of a repeat whose body itself has several."""
        if high is c.MAXREPEAT or high > 16:
            raise RiskyPatternError("a repeat inside a repeat, or alternatives that overlap inside one")
        cost = ONE
        for _ in range(int(high)):
            cost = cost * inner
        return cost

    def chars(self, op: Any, argument: Any) -> Chars:
        """The sample characters that one single-character item matches."""
        if op is c.LITERAL:
            return self.cased(argument)
        if op is c.NOT_LITERAL:
            return self.universe - self.cased(argument)
        if op is c.IN:
            found: set[int] = set()
            for kind, value in argument:
                if kind is c.LITERAL:
                    found |= self.cased(value)
                elif kind is c.RANGE:
                    found |= {x for x in self.universe if any(value[0] <= y <= value[1] for y in self.cased(x))}
                elif kind is c.CATEGORY:
                    found |= {x for x in self.universe if _in_category(value, chr(x))}
            negated = bool(argument) and argument[0][0] is c.NEGATE
            return frozenset(self.universe - found) if negated else frozenset(found)
        return self.universe

    def cased(self, code: int) -> Chars:
        if not self.ignore_case:
            return frozenset({code})
        letter = chr(code)
        return frozenset({code} | {ord(x) for x in (letter.lower(), letter.upper()) if len(x) == 1})


def _in_category(category: Any, letter: str) -> bool:
    name = str(category)
    if "DIGIT" in name:
        matches = letter.isdigit()
    elif "SPACE" in name:
        matches = letter.isspace()
    else:
        matches = letter.isalnum() or letter == "_"
    return not matches if "NOT" in name else matches


def _literals(items: Any) -> set[int]:
    """Every code point that a parse tree names, range ends included."""
    found: set[int] = set()
    waiting: list[Any] = [items]
    while waiting:
        item = waiting.pop()
        if isinstance(item, int) and not isinstance(item, bool):
            if 0 <= item <= 0x10FFFF:
                found.add(int(item))
        elif isinstance(item, (list, tuple)) or hasattr(item, "data"):
            waiting.extend(getattr(item, "data", item))
    return found


@lru_cache(maxsize=4096)
def longest_subject(pattern: str, flags: int = 0, kind: str = "search") -> int | None:
    """Characters of text that `pattern` may be run on within the step budget; None when any length will do.

    `kind` is "search" (anywhere in the text), "match" (at its start) or "fullmatch" (all of it).

    Raises: RiskyPatternError when no useful length is safe; re.error when it is no regular expression.
    """
    if len(pattern) > MAX_PATTERN:
        raise RiskyPatternError(f"longer than {MAX_PATTERN:,} characters")
    try:
        parsed = parser.parse(pattern, flags)
        analysis = _Analysis(parsed, parsed.state.flags)
        cost, _, _ = analysis.sequence(parsed, frozenset({END}) if kind == "fullmatch" else analysis.anything)
    except RecursionError:
        raise RiskyPatternError("nested too deeply") from None
    anchored = kind != "search" or _is_anchored(parsed)
    power = cost.power + (0 if anchored else 1) + (1 if analysis.variable else 0)
    if power <= 1 and cost.factor <= 1000:
        return None
    steps = REGEX_STEPS * _factorial(cost.power) / cost.factor
    longest = int(steps ** (1 / max(power, 1)))
    if longest < 32:
        raise RiskyPatternError("too many repeats or alternatives that can match the same text")
    return longest


def _is_anchored(parsed: Any) -> bool:
    multiline = parsed.state.flags & re.MULTILINE
    if not len(parsed):
        return False
    op, argument = parsed[0]
    return op is c.AT and (argument is c.AT_BEGINNING_STRING or (argument is c.AT_BEGINNING and not multiline))


def _factorial(number: int) -> int:
    result = 1
    for factor in range(2, number + 1):
        result *= factor
    return result


def regex_risk(pattern: str) -> str | None:
    """Why a pattern is refused, or None when it is fine."""
    try:
        longest_subject(pattern)
    except RiskyPatternError as error:
        return str(error)
    except (re.error, OverflowError, ValueError) as error:
        return f"not a regular expression: {error}"
    return None
