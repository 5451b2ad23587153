"""What kind of value a text is, when nobody says: the first kind whose form it has wholly, else a text."""

from __future__ import annotations

from typing import Literal, NamedTuple, TypeAlias

from astra_gym.records import JSON
from astra_gym.values.dates import read_date
from astra_gym.values.matching import FALSE_WORDS, NOT_JSON, TRUE_WORDS, read_json
from astra_gym.values.numbers import read_quantity
from astra_gym.values.texts import fold, readings_as_list, well_formed
from astra_gym.values.units import CURRENCY, CURRENCY_CODE

Kind: TypeAlias = Literal["number", "money", "percentage", "date", "bool", "text", "set", "list", "json"]
_MAX_EXACT = 2**63


class Inferred(NamedTuple):
    """A kind, a value of it, and its unit."""

    kind: Kind
    value: JSON
    unit: str | None = None


def infer(text: str) -> Inferred:
    """The kind and value of a text that is not blank.

    JSON arrays and objects, yes/no/true/false, dates, quantities whose unit is known, and lists of numbers or of items
    between semicolons are recognised. Four digits are a number, not a year; digits after a needless zero (`007`), a
    number with an unknown unit (`7 Samurai`) and names between commas are texts.
    """
    stripped = text.strip()
    if stripped[0] in "[{" and type(parsed := read_json(stripped)) in (list, dict):
        return Inferred("list" if type(parsed) is list else "json", parsed)
    if len(stripped) <= 16 and (word := fold(stripped)) in TRUE_WORDS | FALSE_WORDS:
        return Inferred("bool", word in TRUE_WORDS)
    quantity = infer_quantity(stripped)
    if quantity is not None:
        return quantity
    day = read_date(stripped)
    if day is not None:
        return Inferred("date", day)
    if ";" in stripped and len(parts := [part.strip() for part in stripped.split(";") if part.strip()]) > 1:
        numbers = [_plain_number(part) for part in parts]
        items = [well_formed(part) if number is None else number for part, number in zip(parts, numbers, strict=True)]
        return Inferred("list", items)
    numbers = [_plain_number(part.strip()) for part in stripped.split(", ")] if ", " in stripped else []
    if len(numbers) > 1 and None not in numbers:
        return Inferred("list", numbers)
    return Inferred("text", well_formed(stripped))


def infer_as(text: str, kind: Kind) -> Inferred | None:
    """The value of `kind` that a text states, or None. A number may have any unit; a list may be in words."""
    stripped = text.strip()
    if kind == "text":
        return Inferred("text", well_formed(stripped))
    if kind in {"number", "money", "percentage"}:
        return _quantity_as(stripped, kind)
    if kind == "date":
        day = read_date(stripped)
        return None if day is None else Inferred("date", day)
    if kind == "bool":
        word = fold(stripped) if len(stripped) <= 16 else ""
        return Inferred("bool", word in TRUE_WORDS) if word in TRUE_WORDS | FALSE_WORDS else None
    parsed = read_json(stripped)
    if kind == "json":
        return None if parsed is NOT_JSON else Inferred("json", parsed)
    if type(parsed) is list:
        return Inferred(kind, parsed)
    inferred = infer(stripped)
    if inferred.kind == "list":
        return Inferred(kind, inferred.value)
    _, lines, semicolons, _, commas = readings_as_list(stripped)
    reading = next((items for items in (lines, semicolons, commas) if len(items) > 1), [stripped])
    return Inferred(kind, [well_formed(item) for item in reading])


def _quantity_as(text: str, kind: Kind) -> Inferred | None:
    quantity = read_quantity(text)
    value = None if quantity is None else storable(quantity.value)
    if quantity is None or value is None:
        return None
    if quantity.unit is None:
        return Inferred(kind, value)
    if quantity.means:
        inferred = infer_quantity(text)
        return inferred if inferred is not None and inferred.kind == kind else None
    other_unit = kind == "number" or (kind == "money" and CURRENCY_CODE.fullmatch(quantity.unit))
    return Inferred(kind, value, quantity.unit) if other_unit else None


def infer_quantity(text: str) -> Inferred | None:
    """The number, money or percentage that a text is; None for all else, padded and unknown-unit numbers included."""
    quantity = read_quantity(text)
    if quantity is None or quantity.padded or (quantity.unit is not None and not quantity.means):
        return None
    value = storable(quantity.value)
    if value is None:
        return None
    if not quantity.means:
        return Inferred("number", value)
    unit = quantity.means[0]
    if unit.dimension.startswith(CURRENCY):
        return Inferred("money", value if unit.factor == 1 else value * unit.factor, unit.name)
    return Inferred("percentage", value) if unit.dimension == "%" else Inferred("number", value, unit.name)


def storable(value: int | float) -> int | float | None:
    """`value` as a number that every JSON file can hold: beyond 64 bits a float; None when not finite."""
    if isinstance(value, int) and -_MAX_EXACT <= value < _MAX_EXACT:
        return value
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if abs(number) != float("inf") and number == number else None


def _plain_number(text: str) -> int | float | None:
    inferred = infer_quantity(text)
    return inferred.value if inferred is not None and inferred.kind == "number" and inferred.unit is None else None
