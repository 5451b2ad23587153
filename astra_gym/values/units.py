"""Spellings of units and currencies, and conversion between units of one dimension.

Not a physics library: only what is safe to convert is (kilometres to metres, hours to minutes). Each temperature scale,
currency and unit of data is a dimension of its own, since a conversion would need an offset, a rate or a convention. A
unit that is not listed here still works: it is compared by its spelling, singular and plural alike (`same_custom`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache


@dataclass(frozen=True, slots=True)
class Unit:
    """One meaning of a spelling. Only units of one dimension convert into each other."""

    name: str
    dimension: str
    factor: float
    """How many of the dimension's base unit one of these is: values convert by the quotient of factors."""


CURRENCY = "currency "
"""What the dimension of every currency starts with."""
CURRENCY_CODE = re.compile(r"[A-Z]{3}")

# dimension, name, factor, spellings; "(s)" stands for with and without s.
_MEASURES: tuple[tuple[str, str, float, str], ...] = (
    ("length", "m", 1.0, "m, metre(s), meter(s), 米"),
    ("length", "km", 1e3, "km, kms, kilometre(s), kilometer(s), 公里, 千米"),
    ("length", "dm", 0.1, "dm, decimetre(s), decimeter(s)"),
    ("length", "cm", 0.01, "cm, centimetre(s), centimeter(s), 厘米"),
    ("length", "mm", 1e-3, "mm, millimetre(s), millimeter(s), 毫米"),
    ("length", "µm", 1e-6, "µm, um, micrometre(s), micrometer(s), micron(s)"),
    ("length", "nm", 1e-9, "nm, nanometre(s), nanometer(s)"),
    ("length", "pm", 1e-12, "pm, picometre(s), picometer(s)"),
    ("length", "mi", 1609.344, "mi, mile(s)"),
    ("length", "nmi", 1852.0, "nmi, NM, nautical mile(s)"),
    ("length", "yd", 0.9144, "yd, yds, yard(s)"),
    ("length", "ft", 0.3048, "ft, foot, feet"),
    ("length", "in", 0.0254, "in, inch, inches"),
    ("area", "m2", 1.0, "m2, sq m, square metre(s), square meter(s), 平方米"),
    ("area", "km2", 1e6, "km2, sq km, square kilometre(s), square kilometer(s), 平方公里"),
    ("area", "cm2", 1e-4, "cm2, sq cm, square centimetre(s), square centimeter(s)"),
    ("area", "ha", 1e4, "ha, hectare(s)"),
    ("area", "acre", 4046.8564224, "acre(s)"),
    ("area", "mi2", 2589988.110336, "mi2, sq mi, square mile(s)"),
    ("area", "ft2", 0.09290304, "ft2, sq ft, square foot, square feet"),
    ("volume", "L", 1.0, "L, l, litre(s), liter(s)"),
    ("volume", "mL", 1e-3, "mL, ml, millilitre(s), milliliter(s)"),
    ("volume", "m3", 1e3, "m3, cubic metre(s), cubic meter(s)"),
    ("volume", "cm3", 1e-3, "cm3, cubic centimetre(s), cubic centimeter(s)"),
    ("mass", "kg", 1.0, "kg, kgs, kilogram(s), kilogramme(s), kilo(s), 千克, 公斤"),
    ("mass", "g", 1e-3, "g, gram(s), gramme(s)"),
    ("mass", "mg", 1e-6, "mg, milligram(s)"),
    ("mass", "t", 1e3, "t, tonne(s), metric ton(s), 吨"),
    ("mass", "lb", 0.45359237, "lb, lbs, pound(s)"),
    ("mass", "oz", 0.028349523125, "oz, ounce(s)"),
    ("ton", "ton", 1.0, "ton(s)"),
    ("gallon", "gal", 1.0, "gal, gallon(s)"),
    ("time", "s", 1.0, "s, sec, secs, second(s), 秒"),
    ("time", "ms", 1e-3, "ms, millisecond(s)"),
    ("time", "min", 60.0, "min, mins, minute(s), 分钟"),
    ("time", "h", 3600.0, "h, hr, hrs, hour(s), 小时"),
    ("time", "day", 86400.0, "d, day(s), 天"),
    ("time", "week", 604800.0, "week(s), wk, wks"),
    ("calendar", "month", 1.0, "month(s), 个月"),
    ("calendar", "year", 12.0, "year(s), yr, yrs, 年"),
    ("speed", "m/s", 1.0, "m/s, metres per second, meters per second"),
    ("speed", "km/h", 1 / 3.6, "km/h, kmh, kph, kilometres per hour, kilometers per hour"),
    ("speed", "mph", 0.44704, "mph, mi/h, miles per hour"),
    ("speed", "kn", 1852 / 3600, "kn, kt, kts, knot(s)"),
    ("energy", "mJ", 1e-3, "mJ, millijoule(s)"),
    ("energy", "J", 1.0, "J, joule(s)"),
    ("energy", "kJ", 1e3, "kJ, kilojoule(s)"),
    ("energy", "MJ", 1e6, "MJ, megajoule(s)"),
    ("energy", "Wh", 3.6e3, "Wh, watt-hour(s), watt hour(s)"),
    ("energy", "kWh", 3.6e6, "kWh, kilowatt-hour(s), kilowatt hour(s)"),
    ("calorie", "cal", 1.0, "cal"),
    ("calorie", "kcal", 1e3, "kcal, kilocalorie(s)"),
    ("power", "mW", 1e-3, "mW, milliwatt(s)"),
    ("power", "W", 1.0, "W, watt(s)"),
    ("power", "kW", 1e3, "kW, kilowatt(s)"),
    ("power", "MW", 1e6, "MW, megawatt(s)"),
    ("power", "GW", 1e9, "GW, gigawatt(s)"),
    ("horsepower", "hp", 1.0, "hp, horsepower"),
    ("pressure", "Pa", 1.0, "Pa, pascal(s)"),
    ("pressure", "hPa", 1e2, "hPa, mbar, hectopascal(s), millibar(s)"),
    ("pressure", "kPa", 1e3, "kPa, kilopascal(s)"),
    ("pressure", "bar", 1e5, "bar, bars"),
    ("frequency", "Hz", 1.0, "Hz, hertz"),
    ("frequency", "kHz", 1e3, "kHz, kilohertz"),
    ("frequency", "MHz", 1e6, "MHz, megahertz"),
    ("frequency", "GHz", 1e9, "GHz, gigahertz"),
    ("voltage", "V", 1.0, "V, volt(s)"),
    ("voltage", "kV", 1e3, "kV, kilovolt(s)"),
    ("current", "A", 1.0, "A, amp(s), ampere(s)"),
    ("current", "mA", 1e-3, "mA, milliamp(s)"),
    ("density", "kg/m3", 1.0, "kg/m3, kilograms per cubic metre, kilograms per cubic meter"),
    ("density", "g/cm3", 1e3, "g/cm3, grams per cubic centimetre, grams per cubic centimeter"),
    ("fuel", "mpg", 1.0, "mpg, miles per gallon"),
    ("atomic mass", "u", 1.0, "u, amu, Da, dalton(s)"),
    ("celsius", "°C", 1.0, "°C, C, degrees C, degree(s) Celsius, Celsius, 摄氏度"),
    ("fahrenheit", "°F", 1.0, "°F, F, degrees F, degree(s) Fahrenheit, Fahrenheit"),
    ("kelvin", "K", 1.0, "K, kelvin(s)"),
    ("angle", "°", 1.0, "°, deg, degree(s)"),
    ("radian", "rad", 1.0, "rad, radian(s)"),
    ("byte", "B", 1.0, "B, byte(s)"),
    ("kilobyte", "kB", 1.0, "kB, KB, kilobyte(s)"),
    ("megabyte", "MB", 1.0, "MB, megabyte(s)"),
    ("gigabyte", "GB", 1.0, "GB, gigabyte(s)"),
    ("terabyte", "TB", 1.0, "TB, terabyte(s)"),
    ("%", "%", 1.0, "%, percent, per cent, pct"),
)

# ISO 4217 code, spellings. A sign that several currencies share means any of them; the first listed is inferred.
_CURRENCIES: tuple[tuple[str, str], ...] = (
    ("USD", "$, US$, dollar(s), US dollar(s), U.S. dollar(s), buck(s), 美元"),
    ("EUR", "€, euro(s), 欧元"),
    ("GBP", "£, pound(s), pound(s) sterling, 英镑"),
    ("JPY", "¥, yen, 日元"),
    ("CNY", "¥, CN¥, RMB, yuan, renminbi, 元, 人民币"),
    ("INR", "₹, Rs, rupee(s)"),
    ("AUD", "$, A$, AU$, dollar(s), Australian dollar(s)"),
    ("CAD", "$, C$, CA$, dollar(s), Canadian dollar(s)"),
    ("NZD", "$, NZ$, dollar(s), New Zealand dollar(s)"),
    ("HKD", "$, HK$, dollar(s), Hong Kong dollar(s)"),
    ("SGD", "$, S$, dollar(s), Singapore dollar(s)"),
    ("TWD", "$, NT$, dollar(s)"),
    ("MXN", "$, MX$, peso(s)"),
    ("ARS", "$, peso(s)"),
    ("CLP", "$, peso(s)"),
    ("COP", "$, peso(s)"),
    ("PHP", "₱, peso(s)"),
    ("BRL", "R$, real, reais"),
    ("CHF", "Fr, franc(s), Swiss franc(s)"),
    ("SEK", "kr, krona, kronor"),
    ("NOK", "kr, krone, kroner"),
    ("DKK", "kr, krone, kroner"),
    ("KRW", "₩, won"),
    ("RUB", "₽, ruble(s), rouble(s)"),
    ("TRY", "₺, lira"),
    ("UAH", "₴, hryvnia"),
    ("PLN", "zł, zloty"),
    ("CZK", "Kč, koruna"),
    ("HUF", "Ft, forint(s)"),
    ("ILS", "₪, shekel(s)"),
    ("THB", "฿, baht"),
    ("VND", "₫, dong"),
    ("IDR", "Rp, rupiah"),
    ("MYR", "RM, ringgit"),
    ("NGN", "₦, naira"),
    ("ZAR", "R, rand"),
    ("EGP", "E£"),
    ("SAR", "riyal(s)"),
    ("AED", "dirham(s)"),
)
_HUNDREDTHS = (("¢, cents", ("USD", "EUR", "AUD", "CAD", "NZD", "HKD", "SGD")), ("pence", ("GBP",)))


def _spellings(text: str) -> list[str]:
    both = (item.strip() for item in text.split(","))
    return [form for item in both for form in ([item.replace("(s)", ""), item.replace("(s)", "s")])]


def _build() -> dict[str, tuple[Unit, ...]]:
    table: dict[str, dict[Unit, None]] = {}
    for dimension, name, factor, spelled in _MEASURES:
        for form in _spellings(spelled):
            table.setdefault(form, {})[Unit(name, dimension, factor)] = None
    for code, spelled in _CURRENCIES:
        for form in [code, *_spellings(spelled)]:
            table.setdefault(form, {})[Unit(code, CURRENCY + code, 1.0)] = None
    for spelled, codes in _HUNDREDTHS:
        for form in _spellings(spelled):
            table.setdefault(form, {}).update({Unit(code, CURRENCY + code, 0.01): None for code in codes})
    return {form: tuple(units) for form, units in table.items()}


def _build_folded() -> dict[str, tuple[Unit, ...]]:
    """Spellings without regard to case, where that leaves one meaning: `KM` is km, `Mw` is nothing."""
    folded: dict[str, set[tuple[Unit, ...]]] = {}
    for form, units in _SPELLED.items():
        folded.setdefault(form.casefold(), set()).add(units)
    return {form: next(iter(found)) for form, found in folded.items() if len(found) == 1 and len(form) > 1}


_SPELLED = _build()
_FOLDED = _build_folded()
_POWER = re.compile(r"\^([23])")


@lru_cache(maxsize=1024)
def meanings(text: str) -> tuple[Unit, ...]:
    """The units that `text` may stand for, the likeliest first; () when it is not a known spelling."""
    text = " ".join(_POWER.sub(r"\1", text).replace("μ", "µ").split()).removesuffix(".")
    return _SPELLED.get(text) or _FOLDED.get(text.casefold(), ())


def same_custom(left: str, right: str) -> bool:
    """Whether two units outside the tables are spelled alike but for case, spaces and a plural s."""
    return _singular(left) == _singular(right)


def _singular(text: str) -> str:
    return " ".join(word.removesuffix(".").removesuffix("s") for word in text.casefold().split())
