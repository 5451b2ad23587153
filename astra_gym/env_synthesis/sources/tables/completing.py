"""A description with its gaps filled: names, words and phrases that follow from what is already said."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from astra_gym.env_synthesis.sources.tables.description import TableSet
from astra_gym.env_synthesis.sources.tables.units import unit_of
from astra_gym.errors import TableError
from astra_gym.records import JSON

_UNIT_ENDINGS = ("_ft", "_km", "_km2", "_m", "_mm", "_celsius", "_ms", "_percent", "_kg", "_usd", "_eur")


def complete(name: str, partial: Mapping[str, Any]) -> TableSet:
    """The full description for a partial one that gives at least each table's key and each column's type and role.

    Raises: TableError saying which part of the description is wrong.
    """
    tables = {key: _table(key, table) for key, table in partial.get("tables", {}).items()}
    topic = partial.get("topic") or " and ".join(table["plural"] for table in tables.values())
    nouns = [table["noun"] for table in tables.values()]
    register = f"{nouns[0] if len(nouns) == 1 else name.replace('_', ' ')} register"
    filled = {"name": name, "topic": topic, "register": register, **partial, "tables": tables}
    filled.setdefault("terms", {"dataset": name, "license": "NOASSERTION"})
    try:
        return TableSet.model_validate(filled)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(step) for step in first["loc"]) or "description"
        raise TableError(f"description of {name!r}, {where}: {first['msg']}") from error


def singular(noun: str) -> str:
    """A guess at the singular of an English plural ("cities" -> "city"); anything else is kept."""
    if noun.endswith("ies") and len(noun) > 4:
        return noun[:-3] + "y"
    if noun.endswith(("ches", "shes", "sses", "xes")):
        return noun[:-2]
    return noun[:-1] if noun.endswith("s") and not noun.endswith(("ss", "us", "is")) else noun


def plural_of(noun: str) -> str:
    """A guess at the English plural ("city" -> "cities")."""
    if noun.endswith("y") and noun[-2:-1] not in "aeiou":
        return noun[:-1] + "ies"
    return noun + ("es" if noun.endswith(("s", "x", "ch", "sh")) else "s")


def slug_of(text: str) -> str:
    """`text` as a part of an identifier."""
    return re.sub(r"[^a-z0-9]+", "_", text.casefold()).strip("_") or "value"


def _table(name: str, given: Mapping[str, JSON]) -> dict[str, JSON]:
    noun = given.get("noun") or singular(name.replace("_", " "))
    plural = given.get("plural") or plural_of(noun)
    table = {
        "name": name,
        "noun": noun,
        "plural": plural,
        "slug": slug_of(noun),
        "plural_slug": slug_of(plural),
        **given,
    }
    table["columns"] = {key: _column(name, key, column) for key, column in given.get("columns", {}).items()}
    return table


def _column(table: str, name: str, given: Mapping[str, JSON]) -> dict[str, JSON]:
    stem = next((name.removesuffix(end) for end in _UNIT_ENDINGS if name.endswith(end)), name)
    phrase = given.get("phrase") or stem.replace("_", " ")
    dated = given.get("role") == "date"
    if dated and "phrase" not in given and "date" not in phrase:
        phrase += " date"
    slug = slug_of(given.get("slug") or phrase)
    unit = given.get("unit", "")
    ending = f"_{unit_of(unit).slug}" if unit else ""
    column = {
        "name": name,
        "phrase": phrase,
        "slug": slug,
        "field": slug if slug.endswith(ending) else slug + ending,
        "quantity": phrase,
        "category": f"{table}.{name}",
        "of": (f"the {phrase} of {{x}}",),
        "members": (f"whose {phrase} is {{g}}",),
        "by": f"by_{slug}",
        **given,
    }
    if dated:
        column = {"high": "latest", "low": "earliest", **column}
    if column.get("type") == "integer":
        column.setdefault("decimals", 0)
    if column.get("role") == "measure":
        column.setdefault("aggregates", ("mean", "max", "min"))
    return column
