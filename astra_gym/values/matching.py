"""Closures that say whether a JSON value equals a given one. None of them raises, whatever it is given.

They are made once for each answer and called on every tool result: the common case (a plain number, a text spelled as
stored) is decided in a few dozen nanoseconds; only other spellings are parsed. A text far longer than any spelling
of the value is refused unread.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from typing import TypeAlias

import orjson

from astra_gym.records import JSON
from astra_gym.values.dates import read_date
from astra_gym.values.numbers import Quantity, read_fraction, read_quantity
from astra_gym.values.texts import fold, readings_as_list

Matcher: TypeAlias = Callable[[JSON], bool]

TRUE_WORDS = frozenset({"yes", "true", "是"})
FALSE_WORDS = frozenset({"no", "false", "否"})
NOT_JSON = object()
_SLACK_ULPS = 4
_MAX_LIST_CHARS = 65_536


def tolerance_bounds(value: float, abs_tol: float, rel_tol: float) -> tuple[float, float]:
    """The least and greatest number called equal to `value`: within abs_tol, or within rel_tol times |value|.

    Without a tolerance both are `value` itself, an int exactly; with one, a few units in the last place are added so
    that a difference of exactly the tolerance is inside. An infinite or greater value is equal to itself only, NaN to
    nothing.
    """
    try:
        if not math.isfinite(value):
            return value, value
    except OverflowError:
        return value, value
    margin = max(abs_tol, float(Fraction(rel_tol) * abs(Fraction(value))))
    if margin == 0:
        return value, value
    margin += _SLACK_ULPS * math.ulp(max(abs(float(value)), margin))
    return max(value - margin, -sys.float_info.max), min(value + margin, sys.float_info.max)


def number_matcher(bounds: tuple[float, float], amount: Callable[[Quantity], float | None]) -> Matcher:
    """Numbers within `bounds` (ends included), and texts that `amount` reads as such a number."""
    low, high = bounds

    def matches(value: JSON) -> bool:
        kind = type(value)
        if kind is float or kind is int:
            inside: bool = low <= value <= high
            return inside
        if kind is not str:
            return False
        quantity = read_quantity(value)
        number = read_fraction(value) if quantity is None else amount(quantity)
        return number is not None and low <= number <= high

    return matches


def text_matcher(texts: Iterable[str]) -> Matcher:
    """Texts that fold to the same as one of `texts`."""
    exact = frozenset(texts)
    folded = frozenset(map(fold, exact))
    longest = 4 * max(map(len, exact)) + 64

    def matches(value: JSON) -> bool:
        return type(value) is str and len(value) <= longest and (value in exact or fold(value) in folded)

    return matches


def bool_matcher(truth: bool) -> Matcher:
    """The JSON boolean, or the words for it; never a number."""
    words = TRUE_WORDS if truth else FALSE_WORDS

    def matches(value: JSON) -> bool:
        return value is truth or (type(value) is str and len(value) <= 16 and fold(value) in words)

    return matches


def date_matcher(iso: str) -> Matcher:
    """Texts that are the same day, month or year; the integer, for a year."""
    year = int(iso) if len(iso) == 4 else None

    def matches(value: JSON) -> bool:
        if type(value) is str:
            return value == iso or read_date(value) == iso
        return year is not None and type(value) is int and value == year

    return matches


def list_matcher(items: Sequence[Matcher]) -> Matcher:
    """Lists whose items match one by one, in order; texts that are such a list in words."""

    def ordered(values: Sequence[JSON]) -> bool:
        return len(values) == len(items) and all(match(value) for match, value in zip(items, values, strict=True))

    return _list_or_text(ordered)


def set_matcher(items: Sequence[JSON], abs_tol: float, rel_tol: float) -> Matcher:
    """Lists that have the same members in any order, repeats aside; texts that are such a list in words."""
    texts = {fold(item): index for index, item in enumerate(items) if type(item) is str}
    longest = 4 * max(map(len, texts), default=0) + 64
    others = [(i, item_matcher(item, abs_tol, rel_tol)) for i, item in enumerate(items) if type(item) is not str]
    required = {*texts.values(), *(index for index, _ in others)}

    def same_members(values: Sequence[JSON]) -> bool:
        missing = set(required)
        for value in values:
            found = {index for index, match in others if match(value)}
            if type(value) is str and len(value) <= longest and (key := fold(value)) in texts:
                found.add(texts[key])
            if not found:
                return False
            missing -= found
        return not missing

    return _list_or_text(same_members)


def _list_or_text(matches_list: Callable[[Sequence[JSON]], bool]) -> Matcher:
    def matches(value: JSON) -> bool:
        if type(value) is list:
            return matches_list(value)
        if type(value) is not str or len(value) > _MAX_LIST_CHARS:
            return False
        parsed = read_json(value)
        if type(parsed) is list:
            return matches_list(parsed)
        return any(matches_list(reading) for reading in readings_as_list(value) if reading)

    return matches


def item_matcher(value: JSON, abs_tol: float, rel_tol: float) -> Matcher:
    """An item of a list or set: a text up to folding, a number up to tolerance (or as a numeral), else as JSON."""
    if type(value) is str:
        return text_matcher([value])
    if type(value) is int or type(value) is float:
        return number_matcher(tolerance_bounds(value, abs_tol, rel_tol), lambda quantity: quantity.in_unit(None))
    if type(value) is bool:
        return bool_matcher(value)
    return json_matcher(value, abs_tol, rel_tol)


def json_matcher(value: JSON, abs_tol: float, rel_tol: float) -> Matcher:
    """Deep equality: the same keys, lengths and texts; numbers (int or float) up to tolerance; a bool is no number."""
    if type(value) is dict:
        return _object_matcher({key: json_matcher(item, abs_tol, rel_tol) for key, item in value.items()})
    if type(value) is list:
        items = [json_matcher(item, abs_tol, rel_tol) for item in value]
        return lambda other: (
            type(other) is list
            and len(other) == len(items)
            and all(match(item) for match, item in zip(items, other, strict=True))
        )
    if type(value) is int or type(value) is float:
        low, high = tolerance_bounds(value, abs_tol, rel_tol)
        return lambda other: (type(other) is int or type(other) is float) and low <= other <= high
    return lambda other: type(other) is type(value) and other == value


def json_text_matcher(match: Matcher) -> Matcher:
    """`match`, or its like on what a text holds as JSON."""
    return lambda value: (
        match(value) or (type(value) is str and len(value) <= _MAX_LIST_CHARS and match(read_json(value)))
    )


def _object_matcher(fields: dict[str, Matcher]) -> Matcher:
    def matches(other: JSON) -> bool:
        return (
            type(other) is dict
            and other.keys() == fields.keys()
            and all(match(other[key]) for key, match in fields.items())
        )

    return matches


def read_json(text: str) -> JSON:
    """The JSON value that a text is, or `NOT_JSON` (equal to no JSON value)."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return NOT_JSON
