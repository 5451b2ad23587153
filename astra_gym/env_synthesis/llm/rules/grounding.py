"""Rule of grounding: where the answers must stand in a given text, they do.

A step that calculates has an answer that stands nowhere, so that of steps with dependencies only names are looked for;
so are no counts ("how many"), which stand in a text as the things that are counted.
"""

from __future__ import annotations

import re

from astra_gym.answers import QUANTITIES
from astra_gym.env_synthesis.llm.drafted import Drafted
from astra_gym.env_synthesis.llm.rules.stated import numbers_in
from astra_gym.leaks import stands_in
from astra_gym.records import JSON
from astra_gym.types import SubQuestion
from astra_gym.values.dates import read_date, scan_dates
from astra_gym.values.numbers import read_quantity

_COUNT = re.compile(r"\bhow many\b|\bnumber of\b|\bcount\b|多少|几", re.IGNORECASE)
_MOST_COUNTED = 20


def ungrounded(drafted: Drafted) -> list[str]:
    """Every looked-up answer stands in the knowledge, where the item's mode asks for that."""
    if not drafted.item.grounded:
        return []
    text = Text(drafted.item.knowledge)
    return [
        f"the answer of {sub.id} ({sub.answer.render()!r}) does not stand in the given text"
        for sub in drafted.decomposition.sub_questions
        if not _grounded(sub, text)
    ]


class Text:
    """A given text with the numbers and dates that stand in it."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._dates = frozenset(scan_dates(text))
        self._numbers = numbers_in(text)

    def holds(self, value: JSON) -> bool:
        """Whether a value, or each item of a list, stands in the text."""
        if isinstance(value, bool) or value is None:
            return True
        if isinstance(value, int | float):
            return float(value) in self._numbers
        if isinstance(value, list | dict):
            return all(self.holds(item) for item in (value.values() if isinstance(value, dict) else value))
        if stands_in(value, self._text):
            return True
        if (date := read_date(value)) is not None:
            return any(found.startswith(date) for found in self._dates)
        quantity = read_quantity(value)
        return quantity is not None and float(quantity.value) in self._numbers


def _grounded(sub: SubQuestion, text: Text) -> bool:
    answer = sub.answer
    if answer.kind == "bool" or (answer.kind in QUANTITIES | {"date"} and sub.depends_on):
        return True
    if answer.kind in QUANTITIES:
        counted = isinstance(answer.value, int) and 0 <= answer.value <= _MOST_COUNTED and _COUNT.search(sub.question)
        return bool(counted) or text.holds(answer.value)
    if sub.depends_on and not isinstance(answer.value, str):
        names = [item for item in answer.value if isinstance(item, str)] if isinstance(answer.value, list) else []
        return all(text.holds(name) for name in names)
    return text.holds(answer.value)
