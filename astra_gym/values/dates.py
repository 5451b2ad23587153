"""Dates as they are written, read into ISO 8601: a day, a month (`1987-06`) or a year (`1987`).

Read are ISO (`1987-10-05`, `1987/10/05`, a timestamp at midnight), English in words (`October 5, 1987`,
`5th of Oct. 1987`, `June 1987`), Chinese (`1987年10月5日`), and numeric day and month (`25/12/1987`) only where one
order is possible: `10/05/1987` is two dates, so it is none. A year alone is four digits. Dates of different precision
differ.
"""

from __future__ import annotations

import re
from datetime import date
from functools import lru_cache

from astra_gym.values.texts import plain

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTH_NUMBER = {name: number for number, name in enumerate(_MONTHS, start=1)}
_MONTH = r"(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?"
_MONTH += r"|nov(?:ember)?|dec(?:ember)?)\b\.?"
_DAY = r"[0-3]?[0-9]"
_WEEKDAY = r"(?:(?:mon|tues|wednes|thurs|fri|satur|sun)day,?\s)?"
_MIDNIGHT = r"(?:[t ]00:00(?::00(?:\.0+)?)?(?:z|\+00:?00)?)?"
_PATTERNS = (
    rf"(?P<y1>[0-9]{{4}})(?P<sep>[-/])(?P<m1>[01]?[0-9])(?P=sep)(?P<d1>{_DAY}){_MIDNIGHT}",
    r"(?P<y2>[0-9]{4})-(?P<m2>[01][0-9])",
    rf"{_WEEKDAY}(?P<M3>{_MONTH})\s?(?P<d3>{_DAY})(?:st|[nr]d|th)?,?\s(?P<y3>[0-9]{{4}})",
    rf"{_WEEKDAY}(?P<d4>{_DAY})(?:st|[nr]d|th)?\s(?:of\s)?(?P<M4>{_MONTH}),?\s(?P<y4>[0-9]{{4}})",
    rf"(?P<M5>{_MONTH}),?\s(?:of\s)?(?P<y5>[0-9]{{4}})",
    r"(?P<a6>[0-3]?[0-9])(?P<dot>[/.-])(?P<b6>[0-3]?[0-9])(?P=dot)(?P<y6>[0-9]{4})",
    rf"(?P<y7>[0-9]{{4}})\s?年(?:\s?(?P<m7>[01]?[0-9])\s?月(?:\s?(?P<d7>{_DAY})\s?[日号])?)?",
    r"(?P<y8>[0-9]{4})",
)
_ANY = "|".join(f"(?:{pattern})" for pattern in _PATTERNS)
_WHOLE = re.compile(_ANY, re.IGNORECASE)
_HAN = next(pattern for pattern in _PATTERNS if "年" in pattern)
_OTHERS = "|".join(f"(?:{pattern})" for pattern in _PATTERNS if pattern != _HAN)
# A Chinese date stands among characters and commas without spaces; its 年 says that it is one.
_START = rf"(?:(?<![0-9.])(?:{_HAN})|(?<![\w.,/$€£-])(?:{_OTHERS}))"
_WITHIN = re.compile(rf"{_START}(?![0-9])(?![/.,-][0-9])", re.IGNORECASE)
_ISO = re.compile(r"[0-9]{4}(?:-[0-9]{2}(?:-[0-9]{2})?)?")
MAX_CHARS = 64


def is_iso_date(text: str) -> bool:
    """Whether `text` is a day, month or year in ISO 8601 that exists."""
    return bool(_ISO.fullmatch(text)) and read_date(text) == text


def read_date(text: str) -> str | None:
    """The ISO form of a text that is a date and nothing else, or None."""
    return _read_short(text) if len(text) <= MAX_CHARS else None


@lru_cache(maxsize=4096)
def _read_short(text: str) -> str | None:
    found = _WHOLE.fullmatch(" ".join(plain(text).split()))
    return _iso(found) if found else None


def scan_dates(text: str) -> list[str]:
    """The ISO forms of the dates that stand in `text`, in order; a number of four digits counts as a year."""
    return [iso for found in _WITHIN.finditer(plain(text)) if (iso := _iso(found))]


def _iso(found: re.Match[str]) -> str | None:
    groups = {name[0]: value for name, value in found.groupdict().items() if value is not None and name[-1].isdigit()}
    year = int(groups["y"])
    if "a" in groups:
        return _day_and_month(year, int(groups["a"]), int(groups["b"]))
    month = _MONTH_NUMBER[groups["M"][:3].lower()] if "M" in groups else int(groups.get("m", 0))
    if "d" in groups:
        return _day(year, month, int(groups["d"]))
    if "m" in groups or "M" in groups:
        return f"{year:04}-{month:02}" if year and 1 <= month <= 12 else None
    return f"{year:04}" if year else None


def _day(year: int, month: int, day: int) -> str | None:
    try:
        return date(year, month, day).isoformat()
    except ValueError:
        return None


def _day_and_month(year: int, first: int, second: int) -> str | None:
    """The one day that `first/second/year` can be in either order; None when there are two, or none."""
    possible = {_day(year, first, second), _day(year, second, first)} - {None}
    return possible.pop() if len(possible) == 1 else None
