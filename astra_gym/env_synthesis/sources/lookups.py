"""Look-up tools over a table of facts: one tool a relation, its rows the facts asked for and others like them.

A tool is a few generic lines; the facts are in the env's `data`. Names are found whatever their case, accents,
punctuation and spacing. A name that the table does not have is an error that names it and nothing else, so that no
call can fish for answers.
"""

from __future__ import annotations

import random
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache

from astra_gym.env_synthesis.sources.naming import content_words, is_plain_name, snake, words
from astra_gym.records import JSON
from astra_gym.types import ToolFunction

LETTERS = "LETTERS"
"""Name of the table that turns accented letters into plain ones for `fold`."""
LIBRARY = """\
def fold(text):
    plain = "".join([LETTERS.get(c, c) for c in text.lower()])
    return " ".join("".join([c if c.isalnum() else " " for c in plain]).split())
"""
"""Shared source of every env with look-up tools: how names are compared."""

OTHERS = 40
"""Rows of a table besides those that the questions ask for, where the data has as many."""


@dataclass(frozen=True, slots=True)
class Relation:
    """What a look-up tool gives, and of what."""

    noun: str
    """What is looked up ("date of birth"): names the tool and the field of its result."""
    subjects: tuple[str, ...]
    """What it is looked up by ("film"): the names of the arguments."""
    question: str = ""
    """The question it answers, with `{}` for each subject, where a noun does not say it."""
    name: str = ""
    """The tool's name where it is not to be made from the noun or question."""

    @property
    def tool_name(self) -> str:
        if self.name:
            return self.name
        name = snake(content_words(self.question)) if self.question else snake(words(self.noun), limit=8)
        return f"{'find' if self.question else 'get'}_{name or 'answer'}"

    @property
    def field(self) -> str:
        name = snake(words(self.noun), limit=8)
        return name if is_plain_name(name) and name not in self.subjects else f"{name}_found".lstrip("_")

    @property
    def table(self) -> str:
        """The name of its table among the env's data."""
        return f"{self.tool_name.partition('_')[2]}_by_{'_and_'.join(self.subjects)}".upper()


@dataclass(frozen=True, slots=True)
class Row:
    """One fact: its subjects under all their spellings (the first is shown), and the value."""

    names: tuple[tuple[str, ...], ...]
    """Spellings; each has one text for each subject of the relation."""
    value: JSON
    same: frozenset[str] = frozenset()
    """Folded spellings of the value: two rows that share one have equal values."""

    keys: tuple[str, ...] = field(init=False)
    """What the row stands under in its table."""

    def __post_init__(self) -> None:
        keys = dict.fromkeys(key for name in self.names if (key := key_of(name)).strip("|"))
        object.__setattr__(self, "keys", tuple(keys))


def key_of(name: Sequence[str]) -> str:
    """The key under which a table holds the fact about these subjects."""
    return "|".join(map(fold, name))


@lru_cache(maxsize=65536)
def fold(text: str) -> str:
    """A name without case, accents and punctuation; the env's own `fold` agrees on every name in its tables."""
    plain = "".join(plain_letter(c) for c in text.lower())
    return " ".join("".join(c if c.isalnum() else " " for c in plain).split())


@lru_cache(maxsize=4096)
def plain_letter(c: str) -> str:
    """A lower case letter without its accent; any other character as it is."""
    if c.isascii():
        return c
    return "".join(part for part in unicodedata.normalize("NFKD", c) if not unicodedata.combining(part)).lower() or " "


def letters(texts: Iterable[str]) -> dict[str, str]:
    """The `LETTERS` table for these texts: every character that `fold` changes."""
    found = {c for text in texts for c in text.lower() if not c.isascii() and plain_letter(c) != c}
    return {c: plain_letter(c) for c in sorted(found)}


def told_apart(rows: Sequence[Row]) -> list[Row] | None:
    """The rows without the spellings that two of them share; None when two are shown under the same name."""
    shared = {key for i, row in enumerate(rows) for other in rows[:i] for key in set(row.keys) & set(other.keys)}
    if any(key_of(row.names[0]) in shared for row in rows):
        return None
    return [replace(row, names=tuple(name for name in row.names if key_of(name) not in shared)) for row in rows]


def choose_rows(asked: Sequence[Row], known: Sequence[Row], seed: str) -> list[Row]:
    """The rows asked for and up to `OTHERS` more, in an order that tells nothing.

    A row is left out when it shares a name with one already in, or a value with one asked for: looking up the wrong
    subject must not give a right answer.
    """
    rows = list(asked)
    taken = {key for row in asked for key in row.keys}
    answers = frozenset().union(*(row.same for row in asked))
    order = random.Random(seed)
    for row in order.sample(known, len(known)):
        if len(rows) == len(asked) + OTHERS:
            break
        if row.keys and not taken.intersection(row.keys) and not answers & row.same:
            rows.append(row)
            taken.update(row.keys)
    return sorted(rows, key=lambda row: row.keys)


def table_of(relation: Relation, rows: Sequence[Row]) -> dict[str, JSON]:
    """Folded name -> the result of looking it up; a row stands under each of its names."""
    table: dict[str, JSON] = {}
    result = relation.field
    for row in rows:
        found = {**dict(zip(relation.subjects, row.names[0], strict=True)), result: row.value}
        table.update(dict.fromkeys(row.keys, found))
    return table


def lookup_tool(relation: Relation) -> ToolFunction:
    """The tool over `relation.table`; its result holds the subjects and, at `/<field>`, what was looked up."""
    name, subjects = relation.tool_name, relation.subjects
    key = ' + "|" + '.join(f"fold({subject})" for subject in subjects)
    shown = " with ".join(f"{subject.replace('_', ' ')} {{{subject}[:80]!r}}" for subject in subjects)
    source = (
        f"def {name}({', '.join(subjects)}):\n"
        f"    row = {relation.table}.get({key})\n"
        "    if row is None:\n"
        f'        raise ValueError(f"nothing on record for {shown}")\n'
        "    return row\n"
    )
    properties = {
        subject: {"type": "string", "minLength": 1, "description": f"Name of the {subject.replace('_', ' ')}."}
        for subject in subjects
    }
    return ToolFunction(
        name=name,
        description=_about(relation),
        parameters={
            "type": "object",
            "properties": properties,
            "required": list(subjects),
            "additionalProperties": False,
        },
        source=source,
    )


def lookup_data(tables: Mapping[Relation, Sequence[Row]]) -> dict[str, JSON]:
    """The `data` of an env with these tables."""
    data: dict[str, JSON] = {relation.table: table_of(relation, rows) for relation, rows in tables.items()}
    names = (part for rows in tables.values() for row in rows for name in row.names for part in name)
    data[LETTERS] = letters(names)
    return data


def stands_in(name: str, text: str) -> bool:
    """Whether `name` stands in `text` as whole words, spelling aside."""
    return bool(key := fold(name)) and f" {key} " in f" {fold(text)} "


def without_aside(name: str) -> str:
    """A title without the bracketed remark that tells namesakes apart: "Sasi (director)" -> "Sasi"."""
    return re.sub(r"\s*\([^()]*\)\s*$", "", name) or name


def _about(relation: Relation) -> str:
    if relation.question:
        asked = relation.question
        for subject in relation.subjects:
            asked = asked.replace("{}", f"<{subject.replace('_', ' ')}>", 1)
        return f"Answers: {asked}"
    subject = relation.subjects[0].replace("_", " ")
    return f"Looks up the {relation.noun} of {'an' if subject[0] in 'aeiou' else 'a'} {subject}, by name."
