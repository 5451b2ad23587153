"""What a set of tables means: columns with types, roles, units and words, relations between tables, terms of use.

A description is data (TOML for people, these records in memory). Whatever it leaves open is inferred from the rows
(`inference.py`); reading and checking the rows themselves is `reading.py` and `conforming.py`.
"""

from __future__ import annotations

import re
from functools import cached_property
from typing import Literal

from pydantic import Field, model_validator

from astra_gym.env_synthesis.sources.tables.units import unit_of
from astra_gym.records import JSON, Record

NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
WORDS = re.compile(r"[^\"\\{}\x00-\x1f]{1,60}")
"""Words that may stand in tool source and documents: no quotes, braces, backslashes or line breaks."""

ColumnType = Literal["text", "integer", "number", "date", "bool"]
Role = Literal["key", "attribute", "category", "reference", "measure", "date", "latitude", "longitude", "ignored"]
Aggregate = Literal["sum", "mean", "max", "min", "median"]


def _check_names(*names: str) -> None:
    for name in names:
        if not NAME.fullmatch(name):
            raise ValueError(f"{name!r} is no usable name: a letter, then a-z, 0-9 and _, 40 characters at most")


def _check_words(*words: str) -> None:
    for text in words:
        if not WORDS.fullmatch(text):
            raise ValueError(
                f"{text!r}: expected 1 to 60 characters without quotes, braces, backslashes or line breaks"
            )


def _check_wordings(wordings: tuple[str, ...], slot: str) -> None:
    for words in wordings:
        if re.findall(r"\{[^{}]*\}", words) != [slot] or words.count("{") + words.count("}") != 2:
            raise ValueError(f"{words!r}: expected {slot} exactly once and no other braces")


class Column(Record):
    """One column. In the wordings `{x}` stands for a row of the table, `{g}` for a value of this column."""

    name: str
    type: ColumnType
    role: Role
    phrase: str
    """The noun of its values: "elevation", "country"."""
    slug: str
    """How it appears in tool names: `elevation`."""
    field: str
    """How it appears in tool outputs: `elevation_ft`."""
    unit: str = ""
    decimals: int = Field(default=2, ge=0, le=6)
    """To how many decimals computed values are rounded."""
    quantity: str
    """What is measured: figures of one quantity and unit may be added and compared."""
    references: str = ""
    """The table whose key the values are (role "reference")."""
    category: str
    """The name of the set of values (roles "category" and "attribute"): columns that share it may be matched."""
    of: tuple[str, ...]
    """Noun phrases for the value: "the elevation of {x}"."""
    ask: tuple[str, ...] = ()
    """Questions for the value: "How high above sea level is {x}?"."""
    members: tuple[str, ...]
    """What follows the plural for the rows that hold {g}: "in {g}", "whose status is {g}"."""
    by: str
    """The same in tool names: `in_country`."""
    most: str = ""
    """Superlative for the largest value: "highest"."""
    least: str = ""
    more: str = ""
    """Comparative: "higher"."""
    less: str = ""
    high: str = "highest"
    """What a large value itself is called: "the highest elevation", "the largest area"."""
    low: str = "lowest"
    aggregates: tuple[Aggregate, ...] = ()
    lookup: bool = True
    """Whether there is a tool that gives this column of one row."""
    group: bool = True
    """Whether rows are grouped by it (roles "category" and "reference"): not by one that holds each value once."""
    unique: bool = False
    """Whether a value identifies the row, so that it can be looked up in reverse."""

    @model_validator(mode="after")
    def _check(self) -> Column:
        _check_names(self.name, self.slug, self.field, self.by)
        _check_wordings((*self.of, *self.ask), "{x}")
        _check_wordings(self.members, "{g}")
        if not self.of or not self.members:
            raise ValueError("`of` and `members` need at least one wording each")
        _check_wordings((*self.of, *self.ask), "{x}")
        _check_wordings(self.members, "{g}")
        if not self.of or not self.members:
            raise ValueError("`of` and `members` need at least one wording each")
        _check_words(
            self.phrase, *filter(None, (self.unit, self.most, self.least, self.more, self.less, self.high, self.low))
        )
        return self

    @property
    def ordered(self) -> bool:
        """Whether rows can be ranked by it."""
        return self.role in ("measure", "date")

    @property
    def unit_words(self) -> str:
        return unit_of(self.unit).words if self.unit else ""


class Table(Record):
    """One table: rows of one kind of thing, found by a key."""

    name: str
    noun: str
    plural: str
    slug: str
    """The noun in tool and parameter names."""
    plural_slug: str
    key: str
    columns: dict[str, Column]
    sample: int = Field(default=40, ge=3)
    """About how many rows one env holds."""
    spread: str = ""
    """The column by whose values the rows of an env are chosen, so that groups have several members."""
    focus: bool = True
    """Whether a question may be about this table; one that is not focused only serves as a join."""

    @model_validator(mode="after")
    def _check(self) -> Table:
        _check_names(self.name, self.slug, self.plural_slug, *self.columns)
        _check_words(self.noun, self.plural)
        for name in filter(None, (self.key, self.spread)):
            if name not in self.columns:
                raise ValueError(f"table {self.name!r}: there is no column {name!r}, only {list(self.columns)}")
        return self

    @property
    def keyed_by_date(self) -> bool:
        return self.columns[self.key].type == "date"

    @property
    def location(self) -> tuple[str, str] | None:
        """The columns of latitude and longitude in degrees, when there are both."""
        found = {column.role: column.name for column in self.columns.values()}
        if "latitude" in found and "longitude" in found:
            return found["latitude"], found["longitude"]
        return None


class RatioRule(Record):
    """A quotient of two quantities that has a name of its own, such as a population density: a / b * factor."""

    name: str
    phrase: str
    over: tuple[str, str]
    """Quantity of the numerator and of the denominator."""
    parameters: tuple[str, str]
    """Names of the tool's two arguments."""
    unit: str
    factor: float = 1.0
    decimals: int = 2

    @model_validator(mode="after")
    def _check(self) -> RatioRule:
        _check_names(self.name, *self.parameters)
        _check_words(self.phrase)
        return self


class Terms(Record):
    """Where the tables come from and under which terms they may be used."""

    dataset: str
    license: str
    """SPDX expression for the data."""
    version: str | None = None
    url: str | None = None
    attribution: str | None = None
    packages: tuple[str, ...] = ()
    """The PyPI packages that carry the data."""


class TableSet(Record):
    """A domain: its tables, how to speak of them, and the terms of their data."""

    name: str
    register_noun: str = Field(alias="register")
    """What the collection is called in questions: "airport register"."""
    topic: str
    """What questions are about: "airports"."""
    tables: dict[str, Table]
    ratios: tuple[RatioRule, ...] = ()
    terms: Terms

    @model_validator(mode="after")
    def _check(self) -> TableSet:
        _check_words(self.register_noun, self.topic)
        if not re.fullmatch(r"[a-z][a-z0-9_-]{0,30}", self.name):
            raise ValueError(f"domain name {self.name!r}: expected a-z, 0-9, _ and -, 31 characters at most")
        for table in self.tables.values():
            for column in table.columns.values():
                if column.role == "reference" and column.references not in self.tables:
                    raise ValueError(
                        f"table {table.name!r}, column {column.name!r}: references {column.references!r}, "
                        f"but the tables are {sorted(self.tables)}"
                    )
        return self

    @cached_property
    def joining_order(self) -> tuple[str, ...]:
        """Table names, one that refers to another before the one it refers to (cycles are cut by name order)."""
        order: list[str] = []
        waiting = sorted(self.tables)
        while waiting:
            aimed_at = {
                column.references
                for name in waiting
                for column in self.tables[name].columns.values()
                if column.role == "reference" and column.references != name
            }
            free = [name for name in waiting if name not in aimed_at] or waiting[:1]
            order += free
            waiting = [name for name in waiting if name not in free]
        return tuple(order)


Row = dict[str, JSON]
"""One row: column name to value; None where nothing is recorded."""
