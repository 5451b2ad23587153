"""Kinds of values that flow between the operations of a query program: what may be the input of what."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

SMALL = ("position", "count", "days")
"""Small whole numbers that only a question states."""

Base = Literal["entity", "entities", "category", "number", "date", "flag", "position", "count", "days"]


@dataclass(frozen=True, slots=True, order=True)
class Kind:
    """The type of one value.

    `entity` is the key of a row of table `of`, `entities` a list of such keys, `category` a text of category `of`,
    `number` a figure of quantity `of` in `unit`. `position` (third), `count` (the top 3) and `days` are small whole
    numbers that only a question states: no operation produces them.
    """

    base: Base
    of: str = ""
    unit: str = ""
    dated: bool = False
    """An entity whose key is an ISO date, so that it may stand where a date is asked for."""

    @property
    def stated(self) -> bool:
        """Whether a question can simply state such a value, so that it need not come from another operation."""
        return self.base in ("entity", "category", *SMALL)

    def accepts(self, other: Kind) -> bool:
        """Whether a value of kind `other` may be passed where this kind is asked for; "" stands for any."""
        if self.base == "date" and other.base == "entity":
            return other.dated
        return (
            self.base == other.base
            and self.of in ("", other.of)
            and (self.base != "number" or self.unit in ("", other.unit))
        )


FLAG = Kind("flag")
DATE = Kind("date")
POSITION = Kind("position")
COUNT = Kind("count")
DAYS = Kind("days")
