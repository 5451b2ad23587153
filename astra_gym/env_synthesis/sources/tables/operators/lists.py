"""Operations on a list of rows that another operation found: a total, an average, the first by some measure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

from astra_gym.env_synthesis.sources.tables.description import Column, Table, TableSet
from astra_gym.env_synthesis.sources.tables.kinds import Kind
from astra_gym.env_synthesis.sources.tables.operation import Operation, Parameter, Undecided, World, tool_name
from astra_gym.env_synthesis.sources.tables.operators.aggregates import decimals_of, precision, rounded, rounding
from astra_gym.env_synthesis.sources.tables.operators.parts import (
    argument_name,
    constant,
    entity,
    get_row,
    in_unit,
    kind_of,
    placed,
    source,
)
from astra_gym.env_synthesis.sources.tables.operators.superlatives import adjective
from astra_gym.records import JSON


def operations(tables: TableSet, table: Table) -> Iterator[Operation]:
    for column in table.columns.values():
        if column.role == "measure":
            for mean in (True, False):
                if ("mean" if mean else "sum") in column.aggregates:
                    yield _summary(tables, table, column, mean)
        if column.ordered:
            for largest in (True, False):
                yield _best(tables, table, column, largest)


def _parameter(tables: TableSet, table: Table) -> Parameter:
    words = f"The {table.plural}, each exactly as in the {tables.register_noun}."
    return Parameter(argument_name(table.plural_slug), Kind("entities", table.name), words)


def _values(world: World, table: Table, column: Column, keys: JSON) -> dict[str, JSON]:
    values = {key: get_row(world, table, key)[column.name] for key in keys}
    if None in values.values() or len(values) < 2:
        raise Undecided
    return values


_TEMPLATE = """
    import math

    def $name($given):
        rows = {}
        for key in $given:
            if key not in $TABLE or $TABLE[key]["$column"] is None:
                raise ValueError(f"no $noun in the $register with a $phrase is called {key!r}")
            rows[key] = $TABLE[key]
        $result
"""


def _source(tables: TableSet, table: Table, column: Column, name: str, given: Parameter, result: str) -> str:
    text = source(
        _TEMPLATE,
        name=name,
        given=given.name,
        TABLE=constant(table),
        column=column.name,
        noun=table.noun,
        register=tables.register_noun,
        phrase=column.phrase,
        result=result,
    )
    return text if "math." in result else text.removeprefix("import math\n\n")


def _summary(tables: TableSet, table: Table, column: Column, mean: bool) -> Operation:
    given = _parameter(tables, table)
    word = "average" if mean else "total"
    name = tool_name(word, column.slug, "of_listed", table.plural_slug)
    decimals = decimals_of(column, "mean" if mean else "sum")

    def run(world: World, arguments: Mapping[str, JSON]) -> JSON:
        values = _values(world, table, column, arguments[given.name])
        total = math.fsum(values.values())
        return rounded(total / len(values) if mean else total, decimals)

    total = f'math.fsum(row["{column.name}"] for row in rows.values())'
    expression = rounding(f"{total} / len(rows)" if mean else total, decimals)
    slot = f"{{{given.name}}}"
    return Operation(
        name=name,
        family="summary_of_list",
        description=f"Gives the {word} {column.phrase}{in_unit(column)} of the listed {table.plural}, each counted "
        f"once, {precision(decimals)}.",
        parameters=(given,),
        output=kind_of(tables, column),
        field=f"{word}_{column.field}",
        noun=f"{word} {column.phrase}",
        source=_source(tables, table, column, name, given, f'return {{"{word}_{column.field}": {expression}}}'),
        run=run,
        np=(f"the {word} {column.phrase} over {slot}", f"the {word} {column.phrase} taken across {slot}"),
        ask=(f"Across {slot}, what is the {word} {column.phrase}?",),
        needs={table.name: frozenset({column.name})},
        decimals=decimals or None,
    )


def _best(tables: TableSet, table: Table, column: Column, largest: bool) -> Operation:
    given = _parameter(tables, table)
    name = tool_name(adjective(column, largest), "of_listed", table.plural_slug)
    word, extreme = (column.most, column.high) if largest else (column.least, column.low)

    def run(world: World, arguments: Mapping[str, JSON]) -> JSON:
        return placed(_values(world, table, column, arguments[given.name]), 1, largest)

    slot = f"{{{given.name}}}"
    pick = "max" if largest else "min"
    return Operation(
        name=name,
        family="best_of_list",
        description=f"Finds, among the listed {table.plural}, the one with the {extreme} {column.phrase}.",
        parameters=(given,),
        output=entity(table),
        field=table.slug,
        noun=table.noun,
        source=_source(
            tables,
            table,
            column,
            name,
            given,
            f'return {{"{table.slug}": {pick}(sorted(rows), key=lambda key: rows[key]["{column.name}"])}}',
        ),
        run=run,
        np=(
            f"the {table.noun} with the {extreme} {column.phrase} in {slot}",
            *((f"the {word} {table.noun} in {slot}",) if word else ()),
        ),
        ask=(f"Which {table.noun} in {slot} has the {extreme} {column.phrase}?",),
        needs={table.name: frozenset({column.name})},
    )
