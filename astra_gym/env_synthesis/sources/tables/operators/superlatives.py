"""Superlatives in a group: the row with the largest or smallest value, the k-th one, the first k in order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from astra_gym.env_synthesis.sources.tables.completing import slug_of
from astra_gym.env_synthesis.sources.tables.description import Column, Table, TableSet
from astra_gym.env_synthesis.sources.tables.kinds import COUNT, POSITION, Kind
from astra_gym.env_synthesis.sources.tables.operation import Operation, Parameter, Undecided, World, tool_name
from astra_gym.env_synthesis.sources.tables.operators.parts import (
    best,
    constant,
    entity,
    group_parameter,
    group_values,
    groupings,
    placed,
    ranked,
    source,
    suffixes,
)
from astra_gym.records import JSON


def operations(tables: TableSet, table: Table) -> Iterator[Operation]:
    for group in groupings(table):
        for column in table.columns.values():
            if column.ordered:
                for largest in (True, False):
                    yield _extreme(tables, table, group, column, largest)
                    yield _nth(tables, table, group, column, largest)
                    yield _first(tables, table, group, column, largest)


def adjective(column: Column, largest: bool) -> str:
    """How tool names say "highest": by the superlative when there is one, else by the column."""
    word, extreme = (column.most, column.high) if largest else (column.least, column.low)
    return slug_of(word) if word else f"{slug_of(extreme)}_{column.slug}"


def _ordering(column: Column, largest: bool) -> str:
    extreme, other = (column.high, column.low) if largest else (column.low, column.high)
    return f"from the {extreme} to the {other} {column.phrase}"


def _sorting(column: Column, largest: bool) -> str:
    """The expression by which a tool sorts rows: larger first or smaller first, ties by name."""
    if largest and column.type in ("integer", "number"):
        return f'sorted(rows, key=lambda key: (-rows[key]["{column.name}"], key))'
    if largest:
        return f'sorted(rows, key=lambda key: rows[key]["{column.name}"], reverse=True)'
    return f'sorted(rows, key=lambda key: (rows[key]["{column.name}"], key))'


_TEMPLATE = """
    def $name($parameters):
        rows = {
            key: row for key, row in $TABLE.items()
            if row["$group"] == $given and row["$column"] is not None
        }
        if not rows:
            raise ValueError(f"no $noun in the $register has the $phrase {$given!r}")
        order = $sorting
        $result
"""


def _source(
    tables: TableSet,
    table: Table,
    group: Column,
    column: Column,
    largest: bool,
    name: str,
    parameters: str,
    result: str,
) -> str:
    return source(
        _TEMPLATE,
        name=name,
        parameters=parameters,
        TABLE=constant(table),
        group=group.name,
        given=parameters.split(",")[0],
        column=column.name,
        noun=table.noun,
        register=tables.register_noun,
        phrase=group.phrase,
        sorting=_sorting(column, largest),
        result=result,
    )


def _extreme(tables: TableSet, table: Table, group: Column, column: Column, largest: bool) -> Operation:
    given = group_parameter(tables, table, group)
    name = tool_name(adjective(column, largest), table.slug, group.by)
    extreme = column.high if largest else column.low

    def run(world: World, arguments: Mapping[str, JSON]) -> JSON:
        return placed(group_values(world, table, column, group, arguments[given.name]), 1, largest)

    return Operation(
        name=name,
        family="extreme",
        description=f"Finds, among the {table.plural} of the {tables.register_noun} that have a given {group.phrase}, "
        f"the one with the {extreme} {column.phrase}.",
        parameters=(given,),
        output=entity(table),
        field=table.slug,
        noun=table.noun,
        source=_source(tables, table, group, column, largest, name, given.name, f'return {{"{table.slug}": order[0]}}'),
        run=run,
        np=tuple(words for end in suffixes(group) for words in best(table, column, largest, end)),
        ask=tuple(f"Which of the {table.plural} {end} has the {extreme} {column.phrase}?" for end in suffixes(group)),
        needs={table.name: frozenset({group.name, column.name})},
        scoped=True,
    )


def _nth(tables: TableSet, table: Table, group: Column, column: Column, largest: bool) -> Operation:
    given = group_parameter(tables, table, group)
    position = Parameter("position", POSITION, f"Place in the order {_ordering(column, largest)}; 1 is the first.")
    name = tool_name("nth", adjective(column, largest), table.slug, group.by)
    extreme = column.high if largest else column.low

    def run(world: World, arguments: Mapping[str, JSON]) -> JSON:
        values = group_values(world, table, column, group, arguments[given.name])
        return placed(values, arguments["position"], largest)

    return Operation(
        name=name,
        family="nth",
        description=f"Orders the {table.plural} of the {tables.register_noun} that have a given {group.phrase} "
        f"{_ordering(column, largest)} and gives the one at a position.",
        parameters=(given, position),
        output=entity(table),
        field=table.slug,
        noun=table.noun,
        source=_source(
            tables,
            table,
            group,
            column,
            largest,
            name,
            f"{given.name}, position",
            'if not 1 <= position <= len(order):\n        raise ValueError(f"there are only {len(order)} of them")\n'
            f'    return {{"{table.slug}": order[position - 1]}}',
        ),
        run=run,
        np=tuple(words for end in suffixes(group) for words in best(table, column, largest, end, "{position} ")),
        ask=tuple(
            f"Which of the {table.plural} {end} has the {{position}} {extreme} {column.phrase}?"
            for end in suffixes(group)
        ),
        needs={table.name: frozenset({group.name, column.name})},
        scoped=True,
    )


def _first(tables: TableSet, table: Table, group: Column, column: Column, largest: bool) -> Operation:
    given = group_parameter(tables, table, group)
    count = Parameter("count", COUNT, f"How many {table.plural} to list.")
    name = tool_name("top" if largest else "bottom", table.plural_slug, "by", column.slug, group.by)
    extreme = column.high if largest else column.low

    def run(world: World, arguments: Mapping[str, JSON]) -> JSON:
        order = ranked(group_values(world, table, column, group, arguments[given.name]), largest)
        if not 2 <= arguments["count"] < len(order):
            raise Undecided
        return order[: arguments["count"]]

    return Operation(
        name=name,
        family="first",
        description=f"Lists, in order, the {table.plural} with the {extreme} {column.phrase} among those of the "
        f"{tables.register_noun} that have a given {group.phrase}.",
        parameters=(given, count),
        output=Kind("entities", table.name),
        field=table.plural_slug,
        noun=f"list of {table.plural}",
        source=_source(
            tables,
            table,
            group,
            column,
            largest,
            name,
            f"{given.name}, count",
            'if not 1 <= count <= len(order):\n        raise ValueError(f"there are only {len(order)} of them")\n'
            f'    return {{"{table.plural_slug}": order[:count]}}',
        ),
        run=run,
        np=tuple(
            f"the list of the {{count}} {table.plural} {end} with the {extreme} {column.phrase}, {extreme} first"
            for end in suffixes(group)
            if not end.startswith("whose")
        )
        or tuple(
            f"the list of the {{count}} {table.plural} with the {extreme} {column.phrase}, {extreme} first, among "
            f"those {end}"
            for end in suffixes(group)
        ),
        needs={table.name: frozenset({group.name, column.name})},
        scoped=True,
    )
