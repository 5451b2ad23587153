"""Numbers that belong to units and not to a story: 7 days a week, 60 minutes an hour, 100 cents a dollar, per cent.

A number counts as one only where the words around it name both units.
"""

from __future__ import annotations

import re
from fractions import Fraction
from functools import lru_cache

_FORMS = {
    "second": "seconds sec",
    "minute": "minutes min",
    "hour": "hours hourly hr hrs",
    "day": "days daily",
    "week": "weeks weekly",
    "month": "months monthly",
    "year": "years yearly annual annually",
    "inch": "inches",
    "foot": "feet ft",
    "yard": "yards",
    "mile": "miles",
    "ounce": "ounces oz",
    "pound": "pounds lb lbs",
    "ton": "tons",
    "quart": "quarts",
    "gallon": "gallons",
    "cent": "cents penny pennies",
    "dollar": "dollars",
    "meter": "meters metre metres m",
    "kilometer": "kilometers kilometres km",
    "centimeter": "centimeters centimetres cm",
    "gram": "grams g",
    "kilogram": "kilograms kg kilo kilos",
    "liter": "liters litres",
    "milliliter": "milliliters ml",
    "dozen": "dozens",
    "percent": "percentage %",
}
_UNIT_OF = {form: unit for unit, forms in _FORMS.items() for form in (unit, *forms.split())}

_CONSTANTS: dict[Fraction, tuple[str, ...]] = {
    Fraction(3): ("yard foot",),
    Fraction(4): ("month week", "gallon quart"),
    Fraction(7): ("week day",),
    Fraction(12): ("year month", "foot inch", "dozen"),
    Fraction(16): ("pound ounce",),
    Fraction(24): ("day hour",),
    Fraction(30): ("month day",),
    Fraction(31): ("month day",),
    Fraction(36): ("yard inch",),
    Fraction(52): ("year week",),
    Fraction(60): ("hour minute", "minute second"),
    Fraction(100): ("percent", "dollar cent", "meter centimeter"),
    Fraction(1, 100): ("percent", "dollar cent"),
    Fraction(365): ("year day",),
    Fraction(1000): ("kilometer meter", "kilogram gram", "liter milliliter"),
    Fraction(2000): ("ton pound",),
    Fraction(3600): ("hour second",),
    Fraction(5280): ("mile foot",),
}
_WORD = re.compile(r"[a-z]+|%")


def is_unit_constant(value: Fraction, text: str) -> bool:
    """Whether `value` relates two units that `text` names, or is the hundred of its percentages."""
    return value in _CONSTANTS and any(units <= _units_in(text) for units in map(_split, _CONSTANTS[value]))


@lru_cache(maxsize=2048)
def _units_in(text: str) -> frozenset[str]:
    return frozenset(_UNIT_OF[word] for word in _WORD.findall(text.lower()) if word in _UNIT_OF)


@lru_cache(maxsize=64)
def _split(units: str) -> frozenset[str]:
    return frozenset(units.split())
