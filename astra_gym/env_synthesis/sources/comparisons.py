"""Tools that compare looked-up values: which of several dates is first or last, and whether two places are the same.

They refuse what they cannot read, so that a made-up value never earns an answer.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Literal

from astra_gym.env_synthesis.sources.lookups import fold
from astra_gym.types import ToolFunction

Pick = Literal["earliest", "latest"]

COMPARE_DATES = "compare_dates"
_EARLIEST = frozenset(["first", "earlier", "earliest", "older", "oldest", "sooner"])
_LATEST = frozenset(["later", "latest", "last", "younger", "youngest", "recent", "recently", "newer", "newest"])

_COMPARE_DATES_SOURCE = """\
MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]

def read_date(text):
    found = re.fullmatch(r"(\\d{4})(?:-(\\d{2})(?:-(\\d{2}))?)?", text.strip())
    if found:
        parts = [int(part) for part in found.groups() if part]
    else:
        tokens = re.findall(r"[a-z]+|\\d+", text.lower())
        months = [MONTHS.index(token[:3]) + 1 for token in tokens if token[:3] in MONTHS]
        years = [int(token) for token in tokens if len(token) == 4 and token.isdigit()]
        days = [int(token) for token in tokens if len(token) < 3 and token.isdigit()]
        if len(months) != 1 or len(years) != 1 or len(days) > 1 or len(tokens) > 3:
            raise ValueError(f"{text[:60]!r} is not a date; write it as YYYY-MM-DD, YYYY-MM or YYYY")
        parts = years + months + days
    if len(parts) > 1 and not 1 <= parts[1] <= 12 or len(parts) > 2 and not 1 <= parts[2] <= 31:
        raise ValueError(f"{text[:60]!r} is not a date of the calendar")
    return parts

def compare_dates(candidates, pick):
    dates = [read_date(candidate["date"]) for candidate in candidates]
    shared = min([len(date) for date in dates])
    dates = [date[:shared] for date in dates]
    best = min(dates) if pick == "earliest" else max(dates)
    if dates.count(best) > 1:
        raise ValueError("two of these dates are the same, as far as they are given")
    return {"name": candidates[dates.index(best)]["name"], "pick": pick}
"""


def asked_for(question: str, names: Collection[str]) -> Pick | None:
    """Whether the question wants the first or the last, by its words outside `names`; None when it does not say."""
    text = f" {fold(question)} "
    for name in sorted(names, key=lambda name: -len(name)):
        text = text.replace(f" {fold(name)} ", "  ")
    asked = set(text.split())
    if bool(asked & _EARLIEST) == bool(asked & _LATEST):
        return None
    return "earliest" if asked & _EARLIEST else "latest"


def pick_date(dates: Mapping[str, str], pick: Pick) -> str | None:
    """The name whose ISO date is the first or last; None when the dates do not tell, as far as they are given."""
    shared = min(len(date) for date in dates.values())
    cut = {name: date[:shared] for name, date in dates.items()}
    best = min(cut.values()) if pick == "earliest" else max(cut.values())
    winners = [name for name, date in cut.items() if date == best]
    return winners[0] if len(winners) == 1 else None


def compare_dates_tool() -> ToolFunction:
    """Of named dates the earliest or latest; its answer stands at `/name`."""
    candidate = {
        "type": "object",
        "properties": {
            "name": {"type": "string", "minLength": 1, "description": "Whose or which date it is."},
            "date": {"type": "string", "description": "A date as YYYY-MM-DD, YYYY-MM or YYYY."},
        },
        "required": ["name", "date"],
        "additionalProperties": False,
    }
    parameters = {
        "type": "object",
        "properties": {
            "candidates": {"type": "array", "minItems": 2, "maxItems": 12, "items": candidate},
            "pick": {"type": "string", "enum": ["earliest", "latest"], "description": "Which one to give."},
        },
        "required": ["candidates", "pick"],
        "additionalProperties": False,
    }
    return ToolFunction(
        name=COMPARE_DATES,
        description="Compares dates and gives the name that has the earliest or the latest of them.",
        parameters=parameters,
        source="import re\n\n" + _COMPARE_DATES_SOURCE,
    )


def same_value_tool(noun: str) -> ToolFunction:
    """Whether two spellings mean the same `noun` ("country"), by the table `<NOUN>_NAMES`; answer at `/same`."""
    word = re.sub(r"\W+", "_", noun)
    source = (
        f"def same_{word}(first, second):\n"
        "    for name in (first, second):\n"
        f"        if fold(name) not in {word.upper()}_NAMES:\n"
        f'            raise ValueError(f"{{name[:80]!r}} is not a known {noun}")\n'
        f'    return {{"same": {word.upper()}_NAMES[fold(first)] == {word.upper()}_NAMES[fold(second)]}}\n'
    )
    properties = {
        which: {"type": "string", "minLength": 1, "description": f"The {which} {noun}."}
        for which in ("first", "second")
    }
    return ToolFunction(
        name=f"same_{word}",
        description=f"Tells whether two names mean the same {noun} (a nationality stands for its country).",
        parameters={
            "type": "object",
            "properties": properties,
            "required": ["first", "second"],
            "additionalProperties": False,
        },
        source=source,
    )


def names_table(noun: str) -> str:
    """Name of the table that `same_value_tool(noun)` reads: folded spelling -> one spelling for all."""
    return re.sub(r"\W+", "_", noun).upper() + "_NAMES"
