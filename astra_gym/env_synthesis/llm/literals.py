"""Whether a value in a gold call can be had by somebody who reads the question and the tool's document alone.

Read are texts up to case and punctuation, dates and numbers in any spelling, numbers in words (English, Chinese), and
what the schema itself names (an enum, a default). An amount in another unit is not looked for: converting is a tool's
work.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from fractions import Fraction
from functools import cached_property
from math import isfinite

from astra_gym.env_synthesis.sources.quantities import derived_values, find_quantities, stated_values
from astra_gym.leaks import stands_in
from astra_gym.records import JSON
from astra_gym.types import is_ref
from astra_gym.values.dates import read_date, scan_dates
from astra_gym.values.numbers import read_quantity, scan_quantities
from astra_gym.values.texts import fold

_HAN = re.compile(r"[㐀-鿿]")
_HAN_NUMBER = re.compile("[一二两三四五六七八九十]+")
_HAN_DIGITS = {character: digit for digit, character in enumerate("一二三四五六七八九", start=1)} | {"两": 2}


class Stated:
    """What a question states."""

    def __init__(self, question: str) -> None:
        self._question = question
        self._folded = fold(question)

    def holds(self, value: JSON) -> bool:
        """Whether `value` (no list, no object) stands in the question. Yes or no and null need no source."""
        if value is None or isinstance(value, bool):
            return True
        if isinstance(value, int | float):
            return Fraction(str(value)) in self._numbers
        return self._holds_text(str(value))

    def _holds_text(self, text: str) -> bool:
        wanted = fold(text)
        if not wanted or (_HAN.search(wanted) and wanted.replace(" ", "") in self._folded.replace(" ", "")):
            return True
        if (
            f" {wanted} " in f" {self._folded} "
            or set(wanted.split()) <= self._words
            or stands_in(text, self._question)
        ):
            return True
        if (date := read_date(text)) and any(stated.startswith(date) for stated in self._dates):
            return True
        quantity = read_quantity(text)
        return quantity is not None and isfinite(quantity.value) and self.holds(quantity.value)

    @cached_property
    def _words(self) -> frozenset[str]:
        return frozenset(self._folded.split())

    @cached_property
    def _dates(self) -> tuple[str, ...]:
        return tuple(scan_dates(self._question))

    @cached_property
    def _numbers(self) -> frozenset[Fraction]:
        in_words = find_quantities(self._question)
        scanned = {Fraction(str(found.value)) for found in scan_quantities(self._question) if isfinite(found.value)}
        dated = {Fraction(int(part)) for date in self._dates for part in date.split("-")}
        return frozenset(stated_values(in_words) | derived_values(in_words) | scanned | dated | self._han_numbers)

    @property
    def _han_numbers(self) -> set[Fraction]:
        return {Fraction(_han_value(found)) for found in _HAN_NUMBER.findall(self._question)}


def _han_value(text: str) -> int:
    """Up to 99: 七, 十, 十二, 三十, 四十五; of other runs of digits the first."""
    tens, ten, ones = text.partition("十")
    if not ten:
        return _HAN_DIGITS[text[0]]
    return (_HAN_DIGITS[tens[-1]] if tens else 1) * 10 + (_HAN_DIGITS.get(ones[:1], 0))


def literals(value: JSON) -> Iterator[JSON]:
    """Every text, number, bool and null in `value` that is no part of a reference."""
    if is_ref(value):
        return
    if isinstance(value, dict):
        for item in value.values():
            yield from literals(item)
    elif isinstance(value, list):
        for item in value:
            yield from literals(item)
    else:
        yield value


def named_by_schema(schema: JSON) -> list[JSON]:
    """The values that a schema offers by name: those of `enum`, `const` and `default`, at any depth."""
    found: list[JSON] = []
    if isinstance(schema, dict):
        for key, value in schema.items():
            if key == "enum" and isinstance(value, list):
                found += value
            elif key in ("const", "default"):
                found += [*literals(value)]
            else:
                found += named_by_schema(value)
    elif isinstance(schema, list):
        for item in schema:
            found += named_by_schema(item)
    return found
