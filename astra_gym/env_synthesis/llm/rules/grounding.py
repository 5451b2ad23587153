"""Rule of grounding: where the answers must stand in a given text, they do.

A step that calculates has an answer that stands nowhere, so that of a draft's steps with dependencies only names are
looked for; whether such a step calculates is known when its tool is there (`made_up`). Counts ("how many") are not
looked for: they stand in a text as the things that are counted.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

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


def made_up(drafted: Drafted, sub: SubQuestion, tables: Mapping[str, JSON]) -> str | None:
    """The table in which the answer of a step stands as it is, although the knowledge that must hold it does not.

    None when there is no such table: the tool computes its answer, or the answer is grounded or need not be.
    """
    if not drafted.item.grounded or _grounded(sub.model_copy(update={"depends_on": ()}), Text(drafted.item.knowledge)):
        return None
    return next((name for name, table in tables.items() if any(map(sub.answer.matches, _cells(table)))), None)


def _cells(table: JSON) -> Iterator[JSON]:
    """Every value in a table, with the keys, and the lists and objects that hold others."""
    yield table
    if isinstance(table, dict):
        yield from table
    if isinstance(table, dict | list):
        for cell in table.values() if isinstance(table, dict) else table:
            yield from _cells(cell)


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
