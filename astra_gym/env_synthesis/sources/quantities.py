"""The numbers that a sentence states, in digits or in English words, each with the words that follow it.

Used to tell whether a number of a calculation comes from the question, and what it counts. It reads; what follows from
it is decided in `value_flow.py` and `naming.py`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from itertools import pairwise
from typing import Literal

from astra_gym.env_synthesis.sources.arithmetic import NUMBER, written_value

Form = Literal["plain", "money", "percent", "factor", "part"]

_SMALL_NUMBERS = """
    zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen
    seventeen eighteen nineteen
"""
_UNITS = {word: number for number, word in enumerate(_SMALL_NUMBERS.split())}
_TENS = {"twenty": 20, "thirty": 30, "forty": 40, "fifty": 50, "sixty": 60, "seventy": 70, "eighty": 80, "ninety": 90}
_SCALES = {"hundred": 100, "thousand": 1000, "million": 10**6, "billion": 10**9, "dozen": 12}
_FACTORS = {"once": 1, "twice": 2, "double": 2, "doubles": 2, "doubled": 2, "triple": 3, "triples": 3, "tripled": 3}
_FACTORS |= {"thrice": 3, "quadruple": 4, "quadruples": 4, "quadrupled": 4, "pair": 2, "couple": 2}
_PARTS = {"half": 2, "halves": 2, "third": 3, "quarter": 4, "fourth": 4, "fifth": 5, "sixth": 6, "seventh": 7}
_PARTS |= {"eighth": 8, "ninth": 9, "tenth": 10, "twelfth": 12, "twentieth": 20, "hundredth": 100}
_PARTS |= {f"{word}s": parts for word, parts in _PARTS.items() if not word.endswith("s")}

_WORDS = "|".join(sorted({*_UNITS, *_TENS, *_SCALES, *_FACTORS, *_PARTS}, key=lambda word: (-len(word), word)))
_TOKEN = re.compile(
    rf"(?P<money>[$€£]\s*)?(?P<number>{NUMBER})(?P<percent>\s*(?:%|percent\b|per cent\b))?|\b(?P<word>{_WORDS})\b",
    re.IGNORECASE,
)
_JOINT = re.compile(r"[\s-]+")
_AND = re.compile(r"\s+and\s+")


@dataclass(frozen=True, slots=True)
class Quantity:
    """One stated number."""

    value: Fraction
    form: Form
    """money: with a currency sign; percent: 20 of "20%"; factor: 2 of "twice"; part: 3 of "a third"."""
    start: int
    end: int


@lru_cache(maxsize=4096)
def find_quantities(text: str) -> tuple[Quantity, ...]:
    """Every number stated in `text`, in order of appearance; "2 million" and "3 dozen" count whole and in parts."""
    found: list[Quantity] = []
    matches = list(_TOKEN.finditer(text))
    i = 0
    while i < len(matches):
        match = matches[i]
        if match["number"]:
            form: Form = "percent" if match["percent"] else "money" if match["money"] else "plain"
            value = written_value(match["number"])
            if i + 1 < len(matches) and (scale := _SCALES.get((matches[i + 1]["word"] or "").lower())):
                found.append(Quantity(value * scale, form, match.start(), matches[i + 1].end()))
            found.append(Quantity(value, form, match.start(), match.end()))
            i += 1
        else:
            quantity, used = _in_words(text, matches[i:])
            found.append(quantity)
            i += used
    return tuple(found)


def stated_values(quantities: Sequence[Quantity]) -> set[Fraction]:
    """The numbers as stated, the parts of "2/3" or "two-thirds" each for itself."""
    return {quantity.value for quantity in quantities}


def derived_values(quantities: Sequence[Quantity]) -> set[Fraction]:
    """What a reader makes of stated numbers without a calculation worth a tool.

    20% gives 0.2, 0.8, 1.2, 80 and 120; a third gives 1/3 and 2/3; neighbouring numbers give their ratio (2/3).
    """
    derived: set[Fraction] = set()
    for quantity in quantities:
        value = quantity.value
        if quantity.form == "percent":
            derived |= {value / 100, 1 + value / 100, 1 - value / 100, 100 - value, 100 + value}
        elif quantity.form == "part" and value:
            derived |= {1 / value, 1 - 1 / value, 1 + 1 / value, value - 1, value + 1}
        elif quantity.form == "factor":
            derived |= {value + 1}
    for left, right in pairwise(quantities):
        if right.value and 0 <= right.start - left.end <= 4:
            ratio = left.value / right.value
            derived |= {ratio, 1 - ratio, 1 + ratio, right.value - left.value}
    return derived


def _in_words(text: str, matches: Sequence[re.Match[str]]) -> tuple[Quantity, int]:
    """The number in words that begins with the first match, and how many matches it takes."""
    first = matches[0]
    word = first["word"].lower()
    if word in _FACTORS:
        return Quantity(Fraction(_FACTORS[word]), "factor", *first.span()), 1
    if word in _PARTS:
        return Quantity(Fraction(_PARTS[word]), "part", *first.span()), 1
    total, current, end, used = 0, 0, first.start(), 0
    for match in matches:
        word = (match["word"] or "").lower()
        between = text[end : match.start()] if used else ""
        round_so_far = (current and current % 100 == 0) or (total >= 1000 and not current)
        if used and not (_JOINT.fullmatch(between) or (round_so_far and _AND.fullmatch(between))):
            break
        if word in _UNITS and (used == 0 or current % 100 == 0 or (current % 10 == 0 and _UNITS[word] < 10)):
            current += _UNITS[word]
        elif word in _TENS and current % 100 == 0:
            current += _TENS[word]
        elif word in _SCALES and _SCALES[word] == 100 and current < 100:
            current = max(current, 1) * 100
        elif word in _SCALES and current < 1000:
            total, current = total + max(current, 1) * _SCALES[word], 0
        else:
            break
        end, used = match.end(), used + 1
    return Quantity(Fraction(total + current), "plain", first.start(), end), max(used, 1)
