"""`strftime` and `strptime` in English and without the host's locale or time zone.

Covers the codes of the Python documentation and the `%-d` forms of glibc that tools are written with.
"""

from __future__ import annotations

import datetime as real
import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from astra_gym.sandbox.guards import text
from astra_gym.sandbox.meter import out

DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
MAX_FORMAT = 500


def _sunday_week(day: real.date) -> int:
    return (day.timetuple().tm_yday + 6 - (day.weekday() + 1) % 7) // 7


def _monday_week(day: real.date) -> int:
    return (day.timetuple().tm_yday + 6 - day.weekday()) // 7


def _offset(value: Any, separator: str = "") -> str:
    delta = value.utcoffset() if hasattr(value, "utcoffset") else None
    if delta is None:
        return ""
    seconds = int(delta.total_seconds())
    sign = "-" if seconds < 0 else "+"
    hours, rest = divmod(abs(seconds), 3600)
    shown = f"{sign}{hours:02}{separator}{rest // 60:02}"
    return shown + f"{separator}{rest % 60:02}" if rest % 60 else shown


def _hour12(value: Any) -> int:
    return getattr(value, "hour", 0) % 12 or 12


_CODES: dict[str, Callable[[Any], str]] = {
    "a": lambda t: DAYS[t.weekday()][:3],
    "A": lambda t: DAYS[t.weekday()],
    "b": lambda t: MONTHS[t.month - 1][:3],
    "h": lambda t: MONTHS[t.month - 1][:3],
    "B": lambda t: MONTHS[t.month - 1],
    "C": lambda t: f"{t.year // 100:02}",
    "d": lambda t: f"{t.day:02}",
    "e": lambda t: f"{t.day:2}",
    "f": lambda t: f"{getattr(t, 'microsecond', 0):06}",
    "g": lambda t: f"{t.isocalendar()[0] % 100:02}",
    "G": lambda t: f"{t.isocalendar()[0]:04}",
    "H": lambda t: f"{getattr(t, 'hour', 0):02}",
    "I": lambda t: f"{_hour12(t):02}",
    "j": lambda t: f"{t.timetuple().tm_yday:03}",
    "m": lambda t: f"{t.month:02}",
    "M": lambda t: f"{getattr(t, 'minute', 0):02}",
    "n": lambda _: "\n",
    "p": lambda t: "PM" if getattr(t, "hour", 0) >= 12 else "AM",
    "S": lambda t: f"{getattr(t, 'second', 0):02}",
    "t": lambda _: "\t",
    "u": lambda t: str(t.weekday() + 1),
    "U": lambda t: f"{_sunday_week(t):02}",
    "V": lambda t: f"{t.isocalendar()[1]:02}",
    "w": lambda t: str((t.weekday() + 1) % 7),
    "W": lambda t: f"{_monday_week(t):02}",
    "y": lambda t: f"{t.year % 100:02}",
    "Y": lambda t: f"{t.year:04}",
    "z": _offset,
    "Z": lambda t: (t.tzname() or "") if hasattr(t, "tzname") else "",
    "%": lambda _: "%",
}
_COMPOUND = {
    "c": "%a %b %e %H:%M:%S %Y",
    "D": "%m/%d/%y",
    "F": "%Y-%m-%d",
    "R": "%H:%M",
    "r": "%I:%M:%S %p",
    "T": "%H:%M:%S",
    "x": "%m/%d/%y",
    "X": "%H:%M:%S",
}
_DIRECTIVE = re.compile(r"%(-?)(:?)(.)", re.DOTALL)


def strftime(value: Any, pattern: str) -> str:
    """`value.strftime(pattern)`; an empty pattern gives `str(value)`."""
    if type(pattern) is not str:
        raise TypeError(f"strftime() argument must be str, not {type(pattern).__name__}")
    if len(pattern) > MAX_FORMAT:
        out()
    if not pattern:
        return str(value)

    def expand(match: re.Match[str]) -> str:
        bare, colon, code = match.groups()
        if code in _COMPOUND:
            return _DIRECTIVE.sub(expand, _COMPOUND[code])
        if colon and code == "z":
            return _offset(value, ":")
        write = _CODES.get(code)
        if write is None or colon:
            raise ValueError(f"Invalid format string: directive {match.group()!r} is not available")
        written = write(value)
        return (written.lstrip("0 ") or "0") if bare else written

    return _DIRECTIVE.sub(expand, pattern)


text.FORMAT_DATE = strftime
_NUMBER = {
    "d": ("day", r"3[01]|[12]\d|0?[1-9]| [1-9]"),
    "e": ("day", r"3[01]|[12]\d|0?[1-9]| [1-9]"),
    "f": ("fraction", r"\d{1,6}"),
    "H": ("hour", r"2[0-3]|[01]?\d"),
    "I": ("hour12", r"1[0-2]|0?[1-9]"),
    "j": ("yearday", r"36[0-6]|3[0-5]\d|[12]\d\d|0?[1-9]\d|0{0,2}[1-9]"),
    "m": ("month", r"1[0-2]|0?[1-9]"),
    "M": ("minute", r"[0-5]?\d"),
    "S": ("second", r"6[01]|[0-5]?\d"),
    "y": ("year2", r"\d\d"),
    "Y": ("year", r"\d{4}"),
    "w": ("weekday", r"[0-6]"),
    "u": ("weekday", r"[1-7]"),
    "U": ("week", r"5[0-3]|[0-4]?\d"),
    "W": ("week", r"5[0-3]|[0-4]?\d"),
    "p": ("half", r"am|pm"),
    "z": ("offset", r"[+-]\d\d:?[0-5]\d(?::?[0-5]\d(?:\.\d{1,6})?)?|Z"),
    "Z": ("zone", r"UTC|GMT"),
    "a": ("dayname", "|".join(day[:3] for day in DAYS)),
    "A": ("dayname", "|".join(DAYS)),
    "b": ("monthname", "|".join(month[:3] for month in MONTHS)),
    "h": ("monthname", "|".join(month[:3] for month in MONTHS)),
    "B": ("monthname", "|".join(MONTHS)),
}


@lru_cache(maxsize=512)
def _compile(pattern: str) -> re.Pattern[str]:
    """The regular expression of a strptime format. Raises: ValueError for an unknown or repeated directive."""
    if len(pattern) > MAX_FORMAT:
        out()

    def expand(match: re.Match[str]) -> str:
        code = match.group(1)
        if code == "%":
            return "%"
        if code in _COMPOUND:
            return directive.sub(expand, _COMPOUND[code])
        if code not in _NUMBER:
            raise ValueError(f"'{code}' is a bad directive in format '{pattern}'")
        group, expression = _NUMBER[code]
        return f"(?P<{group}>{expression})"

    directive = re.compile(r"%(.|$)", re.DOTALL)
    escaped = re.sub(r"([\\.^$*+?(){}\[\]|])", r"\\\1", pattern)
    escaped = re.sub(r"\s+", r"\\s+", escaped)
    try:
        return re.compile(directive.sub(expand, escaped), re.IGNORECASE)
    except re.error:
        raise ValueError(f"a directive stands twice in format '{pattern}'") from None


def parse(value: Any, pattern: Any) -> dict[str, Any]:
    """The parts of a date written as `pattern` says, as arguments of `datetime.datetime`.

    Raises: ValueError when it is written otherwise or is no date.
    """
    if type(value) is not str or type(pattern) is not str:
        raise TypeError("strptime() takes two texts")
    if len(value) > MAX_FORMAT:
        out()
    match = _compile(pattern).match(value)
    if match is None:
        raise ValueError(f"time data {value!r} does not match format {pattern!r}")
    if match.end() != len(value):
        raise ValueError(f"unconverted data remains: {value[match.end() :]}")
    found = {name: part for name, part in match.groupdict().items() if part is not None}
    parts: dict[str, Any] = {"year": 1900, "month": 1, "day": 1}
    for name in ("year", "month", "day", "hour", "minute", "second"):
        if name in found:
            parts[name] = int(found[name])
    _finish(found, parts)
    return parts


def _finish(found: dict[str, str], parts: dict[str, Any]) -> None:
    if "year2" in found:
        short = int(found["year2"])
        parts["year"] = short + (2000 if short < 69 else 1900)
    if "monthname" in found:
        names = [month[:3].lower() for month in MONTHS]
        parts["month"] = names.index(found["monthname"][:3].lower()) + 1
    if "hour12" in found:
        afternoon = found.get("half", "am").lower() == "pm"
        parts["hour"] = int(found["hour12"]) % 12 + 12 * afternoon
    if "fraction" in found:
        parts["microsecond"] = int(found["fraction"].ljust(6, "0"))
    if "yearday" in found and "month" not in found and "monthname" not in found:
        day = real.date(parts["year"], 1, 1) + real.timedelta(int(found["yearday"]) - 1)
        parts["month"], parts["day"] = day.month, day.day
    if "offset" in found:
        parts["tzinfo"] = _zone(found["offset"])


def _zone(offset: str) -> real.timezone:
    if offset in "Zz":
        return real.UTC
    digits = offset[1:].replace(":", "")
    whole, _, fraction = digits.partition(".")
    delta = real.timedelta(
        hours=int(whole[:2]),
        minutes=int(whole[2:4]),
        seconds=int(whole[4:6] or 0),
        microseconds=int(fraction.ljust(6, "0") or 0),
    )
    return real.timezone(-delta if offset[0] == "-" else delta)
