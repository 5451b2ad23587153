"""Numbers with units as they are written, read into a value and what its unit may mean.

Separators: a comma before groups of three is a thousands separator (`1,151.5`), and so are a space or an apostrophe
(`1 151.5`). A dot is a decimal point (`1.151` is less than two) unless what follows leaves no doubt: `1.151,5` and
`1.151.500` have dots between thousands. A lone comma that cannot separate thousands is a decimal comma (`1,5`,
`0,151`). `million`, `bn` and the like multiply; `k`, `M` and `B` do so after a currency sign only. `12%` has the unit
`%`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache

from astra_gym.values.texts import plain
from astra_gym.values.units import CURRENCY, Unit, meanings, same_custom

_BODY = r"""(?:
    (?P<comma>[1-9][0-9]{0,2}(?:,[0-9]{3})+(?:\.[0-9]+)?)
  | (?P<dots>[1-9][0-9]{0,2}(?:(?:\.[0-9]{3})+,[0-9]+|(?:\.[0-9]{3}){2,}))
  | GAPS(?P<decimal>[0-9]+,[0-9]+)
  | (?P<point>[0-9]+(?:\.[0-9]+)?|\.[0-9]+)
)(?![0-9]|[.,'][0-9])
(?:[eE](?P<exponent>[+-]?[0-9]{1,3})\b|\s?[x×*·]\s?10\^\{?(?P<power>[+-]?[0-9]{1,3})\}?)?"""
_GAPS = r"(?P<gaps>[1-9][0-9]{0,2}(?:(?P<gap>[\ '’])[0-9]{3})(?:(?P=gap)[0-9]{3})*(?:[.,][0-9]+)?) |"
_PREFIX = r"(?P<prefix>[A-Z]{0,3}[$€£¥₹₩₽₺₫₪฿₦₱₴]|[A-Z]{3}|Rs\.?)\s?"
_SCALE = r"(?:\s?(?P<scale>hundred|thousand|million|billion|trillion|mn|mln|bn|[kKMB]|万|亿)(?![A-Za-z/^]))?"
_WHOLE = re.compile(
    rf"(?P<sign>[+–-]?)\s?(?:{_PREFIX})?(?P<inner>[+-]?){_BODY.replace('GAPS', _GAPS)}{_SCALE}"
    r"\s{0,2}(?P<unit>(?:[^\W\d_]|[%°¢$€£¥₹₩₽₺₫₪฿₦₱₴]).{0,39})?",
    re.VERBOSE,
)
_WITHIN = re.compile(
    r"(?<![\w.,^])(?<![0-9]')"
    rf"(?P<sign>(?<![)\]])[+-])?(?:{_PREFIX})?(?P<inner>[+-]?){_BODY.replace('GAPS', '')}{_SCALE}",
    re.VERBOSE,
)
_DATE_LIKE = re.compile(r"[0-9]{4}-[0-9]{2}(?:-[0-9]{2})?")
_FRACTION = re.compile(r"(-?[0-9]{1,15})\s?[/⁄]\s?([0-9]{1,15})")
_NEXT_WORDS = re.compile(r"\s?([^\s,;:!?()\[\]{}\"*]+(?:\s[^\s,;:!?()\[\]{}\"*]+){0,2})")
_SCALES = {"hundred": 2, "thousand": 3, "million": 6, "billion": 9, "trillion": 12, "mn": 6, "mln": 6, "bn": 9}
_SCALES |= {"k": 3, "K": 3, "M": 6, "B": 9, "万": 4, "亿": 8}
_LETTER_SCALES = frozenset("kKMB")
_NOT_UNITS_MID_SENTENCE = frozenset({"in", "a", "as", "at"})
MAX_CHARS = 200
MAX_SCANNED = 64


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number as it was written."""

    value: int | float
    unit: str | None = None
    """The unit's spelling; None for a bare number."""
    means: tuple[Unit, ...] = ()
    """What the unit may stand for; () when it is none of the tables'."""
    padded: bool = False
    """Whether it starts with a zero that no number needs (`007`): likelier a code than a number."""

    def in_unit(self, wanted: str | None) -> int | float | None:
        """The value in a unit; None when this has another unit. A bare number is taken to have the unit wanted."""
        if self.unit is None:
            return self.value
        if wanted is None:
            return None
        targets = meanings(wanted)
        if not targets or not self.means:
            return self.value if same_custom(self.unit, wanted) else None
        pairs = ((given, target) for target in targets[:1] for given in self.means)
        return next((_convert(self.value, a, b) for a, b in pairs if a.dimension == b.dimension), None)

    def in_any_currency(self) -> int | float | None:
        """The amount, whatever the currency; None when the unit is not one."""
        if self.unit is None:
            return self.value
        return next((_convert(self.value, u, None) for u in self.means if u.dimension.startswith(CURRENCY)), None)


def _convert(value: int | float, given: Unit, wanted: Unit | None) -> int | float:
    factor = 1.0 if wanted is None else wanted.factor
    if given.factor == factor:
        return value
    try:
        return value * given.factor / factor
    except OverflowError:
        return float("nan")


def read_quantity(text: str) -> Quantity | None:
    """The number with its unit that a text is, and nothing else; None when it is something else."""
    return _read_short(text) if len(text) <= MAX_CHARS else None


@lru_cache(maxsize=4096)
def _read_short(text: str) -> Quantity | None:
    found = _WHOLE.fullmatch(" ".join(plain(text).split()))
    if found is None or (found["sign"] and found["inner"]):
        return None
    unit, prefix = found["unit"], found["prefix"]
    if prefix:
        before = _currencies(prefix)
        after = _currencies(unit) if unit else before
        both = tuple(u for u in before if u in after)
        return Quantity(_value(found), prefix, both) if both else None
    if found["scale"] in _LETTER_SCALES:
        unit = found["scale"] if unit is None else f"{found['scale']} {unit}"
        return Quantity(_value(found, scaled=False), unit, meanings(unit))
    if unit is None:
        return Quantity(_value(found), padded=_is_padded(found))
    return Quantity(_value(found), unit, meanings(unit), _is_padded(found))


def read_fraction(text: str) -> float | None:
    """The value of `3/4` and the like, or None."""
    found = _FRACTION.fullmatch(text.strip()) if len(text) <= MAX_CHARS else None
    return int(found[1]) / int(found[2]) if found and int(found[2]) else None


def scan_quantities(text: str, custom_unit: str | None = None) -> list[Quantity]:
    """The last quantities that stand in running text, in order, at most `MAX_SCANNED`.

    A number belongs to the unit that follows when that is a known spelling or `custom_unit`; else it is bare. Not
    numbers: parts of words, of ISO dates and of ordinals.
    """
    text = _DATE_LIKE.sub(" ", plain(text))
    found = [_in_context(match, text, custom_unit) for match in list(_WITHIN.finditer(text))[-MAX_SCANNED:]]
    return [quantity for quantity in found if quantity is not None]


def _in_context(found: re.Match[str], text: str, custom_unit: str | None) -> Quantity | None:
    scaled, end = True, found.end()
    prefix = found["prefix"] or ""
    currencies = _currencies(prefix)
    if prefix[-1:].isalpha() and not currencies and not text[found.end("prefix")].isspace():
        return None
    if found["scale"] in _LETTER_SCALES and not currencies:
        scaled, end = False, found.start("scale") - text[found.start("scale") - 1].isspace()
    value = _value(found, scaled=scaled)
    if currencies:
        return Quantity(value, prefix, currencies)
    rest = text[end : end + 48]
    following = _NEXT_WORDS.match(rest)
    words = following[1].split() if following else []
    for count in range(len(words), 0, -1):
        unit = " ".join(words[:count]).rstrip(".'’")
        known = meanings(unit)
        if known and not (unit in _NOT_UNITS_MID_SENTENCE and len(words) > count):
            return Quantity(value, unit, known)
        if custom_unit is not None and same_custom(unit, custom_unit):
            return Quantity(value, unit)
    return None if rest[:1].isalpha() and rest[:1].isascii() else Quantity(value)


def _currencies(spelling: str) -> tuple[Unit, ...]:
    return tuple(unit for unit in meanings(spelling) if unit.dimension.startswith(CURRENCY))


def _is_padded(found: re.Match[str]) -> bool:
    digits = found["point"] or ""
    return len(digits) > 1 and digits[0] == "0" and digits[1] != "."


def _value(found: re.Match[str], *, scaled: bool = True) -> int | float:
    digits = _canonical_digits(found)
    negative = "-" in (found["sign"] or "") + found["inner"] or "–" in (found["sign"] or "")
    shift = int(found["exponent"] or found["power"] or 0)
    if scaled and found["scale"]:
        shift += _SCALES[found["scale"]]
    exact = Decimal(f"{'-' if negative else ''}{digits}E{shift}")
    whole = "." not in digits and not (found["exponent"] or found["power"])
    if whole or (scaled and found["scale"] and exact == exact.to_integral_value()):
        return int(exact)
    return float(exact)


def _canonical_digits(found: re.Match[str]) -> str:
    """The digits with a dot for the decimal separator and nothing between thousands."""
    if text := found["comma"]:
        return text.replace(",", "")
    if text := found["dots"]:
        return text.replace(".", "").replace(",", ".")
    if text := found["decimal"]:
        return text.replace(",", ".")
    if text := found.groupdict().get("gaps"):
        return text.replace(found["gap"], "").replace(",", ".")
    return found["point"]
