"""What the operators share: parameters for keys and groups, superlatives in words, rows of a group."""

from __future__ import annotations

import keyword
from collections.abc import Mapping
from string import Template
from textwrap import dedent

from astra_gym.env_synthesis.sources.tables.description import Column, Row, Table, TableSet
from astra_gym.env_synthesis.sources.tables.kinds import DATE, FLAG, Kind
from astra_gym.env_synthesis.sources.tables.operation import Parameter, Undecided, World
from astra_gym.records import JSON


def source(template: str, **names: object) -> str:
    """Tool source from an indented template with `$name` slots."""
    return Template(dedent(template).strip() + "\n").substitute({key: str(value) for key, value in names.items()})


def constant(table: Table) -> str:
    """The global name under which a tool finds the table."""
    return table.name.upper()


def entity(table: Table) -> Kind:
    return Kind("entity", table.name, dated=table.keyed_by_date)


def kind_of(tables: TableSet, column: Column) -> Kind:
    """The kind of the values of a column."""
    if column.role == "reference":
        return entity(tables.tables[column.references])
    if column.type in ("integer", "number"):
        return Kind("number", column.quantity, column.unit)
    if column.type == "date":
        return DATE
    return FLAG if column.type == "bool" else Kind("category", column.category)


_TAKEN = {
    *keyword.kwlist, *keyword.softkwlist, "row", "rows", "key", "value", "values", "own", "others", "found", "order",
    "position", "count", "total", "math", "date", "datetime", "a", "b", "h",
    "abs", "len", "list", "max", "min", "repr", "round", "sorted", "dict", "set", "str", "int", "float", "range", "sum",
}  # fmt: skip
"""Names that tool source uses itself."""


def argument_name(slug: str) -> str:
    """`slug` as the name of an argument that nothing in the source of a tool shadows."""
    return f"{slug}_name" if slug in _TAKEN else slug


def key_parameter(tables: TableSet, table: Table, name: str = "") -> Parameter:
    """An argument that names one row."""
    shape = "Date (YYYY-MM-DD)" if table.keyed_by_date else "Name"
    article = "one" if name else "the"
    words = f"{shape} of {article} {table.noun}, exactly as in the {tables.register_noun}."
    return Parameter(name or argument_name(table.slug), entity(table), words)


def group_parameter(tables: TableSet, table: Table, column: Column) -> Parameter:
    """An argument that names a group: a value of a category or the row that is referred to."""
    kind = kind_of(tables, column)
    words = f"The {column.phrase} that the {table.plural} must have, exactly as in the {tables.register_noun}."
    return Parameter(argument_name(column.slug), kind, words, (table.name, column.name))


def groupings(table: Table) -> list[Column]:
    """The columns by whose values rows are grouped."""
    return [column for column in table.columns.values() if column.role in ("category", "reference") and column.group]


def suffixes(column: Column) -> list[str]:
    """What follows the plural for the rows of a group, with the argument's slot in place of `{g}`."""
    return [words.replace("{g}", f"{{{argument_name(column.slug)}}}") for words in column.members]


def joined(first: str, second: str) -> str:
    """Two suffixes after one plural: "in {country}" and "whose time zone is {zone}"."""
    return f"{first} and {second}" if first.startswith("whose") and second.startswith("whose") else f"{first} {second}"


def best(table: Table, column: Column, largest: bool, suffix: str, ordinal: str = "") -> list[str]:
    """Noun phrases for the row with the largest (smallest) value among those that `suffix` names."""
    adjective, extreme = (column.most, column.high) if largest else (column.least, column.low)
    words = [f"the {table.noun} with the {ordinal}{extreme} {column.phrase} among the {table.plural} {suffix}"]
    if adjective:
        words.append(f"the {ordinal}{adjective} of the {table.plural} {suffix}")
    if adjective and not suffix.startswith("that "):
        words.append(f"the {ordinal}{adjective} {table.noun} {suffix}")
    return words


def in_unit(column: Column) -> str:
    """ " in feet", or nothing for a number without a unit."""
    return f" in {column.unit_words}" if column.unit else ""


def get_row(world: World, table: Table, key: JSON) -> Row:
    try:
        return world[table.name][key]
    except KeyError:
        raise Undecided from None


def group_values(world: World, table: Table, column: Column, group: Column, value: JSON) -> dict[str, JSON]:
    """Key to value of `column` for the rows of one group where it is recorded; at least two of them."""
    rows = world[table.name]
    found = {
        k: row[column.name] for k, row in rows.items() if row[group.name] == value and row[column.name] is not None
    }
    if len(found) < 2:
        raise Undecided
    return found


def ranked(values: Mapping[str, JSON], largest: bool = True) -> list[str]:
    """Keys from the largest value (smallest, when not `largest`). Raises Undecided when two values are equal."""
    if len(set(values.values())) < len(values):
        raise Undecided
    return sorted(values, key=lambda key: values[key], reverse=largest)


def placed(values: Mapping[str, JSON], position: int, largest: bool) -> str:
    """The key at a position (1 is first) of the ranking. Raises Undecided when it is shared or not there."""
    order = sorted(values, key=lambda key: values[key], reverse=largest)
    if not 1 <= position <= len(order):
        raise Undecided
    value = values[order[position - 1]]
    if sum(other == value for other in values.values()) > 1:
        raise Undecided
    return order[position - 1]
