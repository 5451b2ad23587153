"""Filters: how many rows belong to a group or to two groups at once, which ones, and how many exceed a figure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import combinations

from astra_gym.env_synthesis.sources.tables.description import Column, Table, TableSet
from astra_gym.env_synthesis.sources.tables.kinds import Kind
from astra_gym.env_synthesis.sources.tables.operation import Operation, Parameter, Undecided, World, tool_name
from astra_gym.env_synthesis.sources.tables.operators.parts import (
    constant,
    group_parameter,
    group_values,
    groupings,
    in_unit,
    joined,
    kind_of,
    source,
    suffixes,
)
from astra_gym.records import JSON


def count_kind(table: Table) -> Kind:
    """The kind of a number of rows of one table."""
    return Kind("number", f"number of {table.plural}", "")


def operations(tables: TableSet, table: Table) -> Iterator[Operation]:
    for group in groupings(table):
        yield _count(tables, table, group)
        yield _members(tables, table, group)
        for column in table.columns.values():
            if column.role == "measure":
                yield _count_above(tables, table, group, column)
    for first, second in combinations(groupings(table), 2):
        yield _count_both(tables, table, first, second)


def _count(tables: TableSet, table: Table, group: Column) -> Operation:
    given = group_parameter(tables, table, group)
    name = tool_name("count", table.plural_slug, group.by)

    def run(world: World, arguments: Mapping[str, JSON]) -> JSON:
        return sum(row[group.name] == arguments[given.name] for row in world[table.name].values())

    ends = suffixes(group)
    return Operation(
        name=name,
        family="count",
        description=f"Counts the {table.plural} of the {tables.register_noun} that have a given {group.phrase}.",
        parameters=(given,),
        output=count_kind(table),
        field=f"number_of_{table.plural_slug}",
        noun="count",
        source=source(
            """
            def $name($given):
                found = [key for key, row in $TABLE.items() if row["$group"] == $given]
                if not found:
                    raise ValueError(f"no $noun in the $register has the $phrase {$given!r}")
                return {"$field": len(found)}
            """,
            name=name,
            given=given.name,
            TABLE=constant(table),
            group=group.name,
            noun=table.noun,
            register=tables.register_noun,
            phrase=group.phrase,
            field=f"number_of_{table.plural_slug}",
        ),
        run=run,
        np=tuple(f"the number of {table.plural} {end}" for end in ends),
        ask=tuple(f"How many {table.plural} {_verb(end)}?" for end in ends if not end.startswith("of ")),
        needs={table.name: frozenset({group.name})},
        scoped=True,
    )


def _verb(suffix: str) -> str:
    """The suffix as a predicate: "how many airports are in {country}", "how many orders have a status of {status}"."""
    if suffix.startswith("that "):
        return suffix.removeprefix("that ")
    return f"are there {suffix}" if suffix.startswith("whose") else f"are {suffix}"


def _members(tables: TableSet, table: Table, group: Column) -> Operation:
    given = group_parameter(tables, table, group)
    name = tool_name("list", table.plural_slug, group.by)

    def run(world: World, arguments: Mapping[str, JSON]) -> JSON:
        found = sorted(key for key, row in world[table.name].items() if row[group.name] == arguments[given.name])
        if not 2 <= len(found) <= 8:
            raise Undecided
        return found

    ends = suffixes(group)
    return Operation(
        name=name,
        family="members",
        description=f"Lists the {table.plural} of the {tables.register_noun} that have a given {group.phrase}, "
        "in alphabetical order.",
        parameters=(given,),
        output=Kind("entities", table.name),
        field=table.plural_slug,
        noun=f"set of {table.plural}",
        source=source(
            """
            def $name($given):
                found = sorted(key for key, row in $TABLE.items() if row["$group"] == $given)
                if not found:
                    raise ValueError(f"no $noun in the $register has the $phrase {$given!r}")
                return {"$field": found}
            """,
            name=name,
            given=given.name,
            TABLE=constant(table),
            group=group.name,
            noun=table.noun,
            register=tables.register_noun,
            phrase=group.phrase,
            field=table.plural_slug,
        ),
        run=run,
        np=tuple(f"the set of all {table.plural} {end}" for end in ends),
        ask=tuple(f"Which {table.plural} {_verb(end)}?" for end in ends if not end.startswith(("whose", "of "))),
        needs={table.name: frozenset({group.name})},
        scoped=True,
    )


def _count_above(tables: TableSet, table: Table, group: Column, column: Column) -> Operation:
    given = group_parameter(tables, table, group)
    words = f"The {column.phrase}{in_unit(column)} that must be exceeded."
    limit = Parameter(f"{column.slug}_limit", kind_of(tables, column), words)
    name = tool_name("count", table.plural_slug, group.by, "above", column.slug)

    def run(world: World, arguments: Mapping[str, JSON]) -> JSON:
        values = group_values(world, table, column, group, arguments[given.name])
        found = sum(value > arguments[limit.name] for value in values.values())
        if found == len(values):
            raise Undecided
        return found

    return Operation(
        name=name,
        family="count_above",
        description=f"Counts the {table.plural} of the {tables.register_noun} that have a given {group.phrase} and "
        f"whose {column.phrase} is strictly above a limit{in_unit(column)}.",
        parameters=(given, limit),
        output=count_kind(table),
        field=f"number_of_{table.plural_slug}",
        noun="count",
        source=source(
            """
            def $name($given, $limit):
                values = [row["$column"] for row in $TABLE.values() if row["$group"] == $given]
                if not values:
                    raise ValueError(f"no $noun in the $register has the $phrase {$given!r}")
                return {"$field": len([value for value in values if value is not None and value > $limit])}
            """,
            name=name,
            given=given.name,
            limit=limit.name,
            TABLE=constant(table),
            group=group.name,
            column=column.name,
            noun=table.noun,
            register=tables.register_noun,
            phrase=group.phrase,
            field=f"number_of_{table.plural_slug}",
        ),
        run=run,
        np=tuple(
            f"the number of {table.plural} {end} with {_article(column.phrase)} above {{{limit.name}}}"
            for end in suffixes(group)
        ),
        needs={table.name: frozenset({group.name, column.name})},
        scoped=True,
    )


def _article(noun: str) -> str:
    return f"{'an' if noun[:1].casefold() in 'aeiou' else 'a'} {noun}"


def _count_both(tables: TableSet, table: Table, first: Column, second: Column) -> Operation:
    one, two = group_parameter(tables, table, first), group_parameter(tables, table, second)
    name = tool_name("count", table.plural_slug, first.by, second.by)

    def run(world: World, arguments: Mapping[str, JSON]) -> JSON:
        a, b = arguments[one.name], arguments[two.name]
        return sum(row[first.name] == a and row[second.name] == b for row in world[table.name].values())

    ends = [joined(a, b) for a in suffixes(first) for b in suffixes(second)]
    return Operation(
        name=name,
        family="count_both",
        description=f"Counts the {table.plural} of the {tables.register_noun} that have both a given {first.phrase} "
        f"and a given {second.phrase}.",
        parameters=(one, two),
        output=count_kind(table),
        field=f"number_of_{table.plural_slug}",
        noun="count",
        source=source(
            """
            def $name($one, $two):
                found = [row for row in $TABLE.values() if row["$first"] == $one and row["$second"] == $two]
                if not found:
                    raise ValueError(f"no $noun in the $register has {$one!r} and {$two!r} together")
                return {"$field": len(found)}
            """,
            name=name,
            one=one.name,
            two=two.name,
            TABLE=constant(table),
            first=first.name,
            second=second.name,
            noun=table.noun,
            register=tables.register_noun,
            field=f"number_of_{table.plural_slug}",
        ),
        run=run,
        np=tuple(f"the number of {table.plural} {end}" for end in ends),
        ask=tuple(f"How many {table.plural} {_verb(end)}?" for end in ends),
        needs={table.name: frozenset({first.name, second.name})},
        scoped=True,
    )
