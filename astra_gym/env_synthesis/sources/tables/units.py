"""Units of measure: how they are spelled out, how they end a name, and what they convert to."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Unit:
    """One unit: how descriptions write it, how it is spelled out, what ends the name of a field or tool."""

    symbol: str
    words: str
    slug: str
    answer: str | None = None
    """What a typed answer carries as its unit, where that is not `symbol`; "" for none."""

    @property
    def answer_unit(self) -> str | None:
        return (self.symbol if self.answer is None else self.answer) or None


@dataclass(frozen=True, slots=True)
class Conversion:
    """`target` value = `source` value * factor + offset, rounded to `decimals`."""

    source: str
    target: str
    factor: float
    offset: float = 0.0
    decimals: int = 2


_UNITS = (
    Unit("ft", "feet", "ft"),
    Unit("m", "metres", "m"),
    Unit("mm", "millimetres", "mm"),
    Unit("in", "inches", "inches"),
    Unit("km", "kilometres", "km"),
    Unit("mi", "miles", "miles"),
    Unit("nmi", "nautical miles", "nautical_miles"),
    Unit("km2", "square kilometres", "km2"),
    Unit("mi2", "square miles", "square_miles"),
    Unit("ha", "hectares", "hectares"),
    Unit("°C", "degrees Celsius", "celsius"),
    Unit("°F", "degrees Fahrenheit", "fahrenheit"),
    Unit("Δ°C", "degrees Celsius", "celsius", answer="°C"),
    Unit("Δ°F", "degrees Fahrenheit", "fahrenheit", answer="°F"),
    Unit("m/s", "metres per second", "metres_per_second"),
    Unit("km/h", "kilometres per hour", "km_per_hour"),
    Unit("g/cm3", "grams per cubic centimetre", "g_per_cm3"),
    Unit("kg/m3", "kilograms per cubic metre", "kg_per_m3"),
    Unit("u", "unified atomic mass units", "u"),
    Unit("Å", "ångström", "angstrom"),
    Unit("pm", "picometres", "pm"),
    Unit("d", "days", "days"),
    Unit("wk", "weeks", "weeks"),
    Unit("h", "hours", "hours"),
    Unit("min", "minutes", "minutes"),
    Unit("s", "seconds", "seconds"),
    Unit("kg", "kilograms", "kg"),
    Unit("lb", "pounds", "pounds"),
    Unit("g", "grams", "grams"),
    Unit("%", "percent", "percent"),
    Unit("thousand jobs", "thousands of jobs", "thousands", answer=""),
    Unit("inhabitants per square kilometre", "inhabitants per square kilometre", "per_km2"),
)
UNITS = {unit.symbol: unit for unit in _UNITS}

CONVERSIONS = (
    Conversion("ft", "m", 0.3048),
    Conversion("m", "ft", 1 / 0.3048),
    Conversion("mm", "in", 1 / 25.4, decimals=3),
    Conversion("km", "mi", 1 / 1.609344),
    Conversion("km", "nmi", 1 / 1.852),
    Conversion("mi", "km", 1.609344),
    Conversion("km2", "mi2", 1 / 2.589988110336),
    Conversion("km2", "ha", 100.0),
    Conversion("°C", "°F", 1.8, 32.0),
    Conversion("°F", "°C", 1 / 1.8, -32 / 1.8),
    Conversion("m/s", "km/h", 3.6),
    Conversion("g/cm3", "kg/m3", 1000.0),
    Conversion("Å", "pm", 100.0),
    Conversion("d", "wk", 1 / 7),
    Conversion("d", "h", 24.0),
    Conversion("h", "min", 60.0),
    Conversion("min", "s", 60.0),
    Conversion("kg", "lb", 1 / 0.45359237),
    Conversion("lb", "kg", 0.45359237),
    Conversion("g", "kg", 0.001, decimals=5),
)


DIFFERENCE = "Δ"
"""Marks the unit of a temperature difference, which does not convert as a temperature does."""


def unit_of(symbol: str) -> Unit:
    """The unit of that symbol; one that is not listed is spelled by its symbol (`USD` -> "USD", `usd`)."""
    if symbol in UNITS:
        return UNITS[symbol]
    slug = "".join(c if c.isascii() and c.isalnum() else "_" for c in symbol).strip("_").casefold()
    return Unit(symbol, symbol.replace("_", " "), slug or "units")
