"""Aggregates of one measure over the rows of a group, and the share of one row in its group's total."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence

from astra_gym.env_synthesis.sources.tables.description import Aggregate, Column, Table, TableSet
from astra_gym.env_synthesis.sources.tables.kinds import Kind
from astra_gym.env_synthesis.sources.tables.operation import Operation, Undecided, World, tool_name
from astra_gym.env_synthesis.sources.tables.operators.parts import (
    constant,
    get_row,
    group_parameter,
    group_values,
    groupings,
    in_unit,
    key_parameter,
    kind_of,
    source,
    suffixes,
)
from astra_gym.records import JSON

Function = Callable[[Sequence[float]], float]
_FUNCTIONS: Mapping[Aggregate, tuple[str, str, Function, str]] = {
    "sum": ("total", "total", math.fsum, "math.fsum(values)"),
    "mean": ("average", "average", statistics.fmean, "math.fsum(values) / len(values)"),
    "max": ("highest", "largest", max, "max(values)"),
    "min": ("lowest", "smallest", min, "min(values)"),
    "median": (
        "median",
        "median",
        statistics.median,
        "(values[(len(values) - 1) // 2] + values[len(values) // 2]) / 2",
    ),
}
"""Aggregate to its slug, its word, its computation, and the expression over sorted `values` that a tool uses."""
_SYNONYMS = {"total": ("total", "combined", "summed"), "average": ("average", "mean", "arithmetic mean")}


def operations(tables: TableSet, table: Table) -> Iterator[Operation]:
    for group in groupings(table):
        for column in table.columns.values():
            if column.role == "measure":
                for aggregate in column.aggregates:
                    yield _aggregate(tables, table, group, column, aggregate)
                if "sum" in column.aggregates:
                    yield _share(tables, table, group, column)


def decimals_of(column: Column, aggregate: Aggregate) -> int:
    """A mean of whole numbers still has decimals; the other aggregates keep those of the column."""
    return max(2, column.decimals) if aggregate in ("mean", "median") else column.decimals


def _aggregate(tables: TableSet, table: Table, group: Column, column: Column, aggregate: Aggregate) -> Operation:
    given = group_parameter(tables, table, group)
    slug, word, function, expression = _FUNCTIONS[aggregate]
    if aggregate in ("max", "min"):
        slug = word = column.high if aggregate == "max" else column.low
    name = tool_name(slug, column.slug, "of", table.plural_slug, group.by)
    decimals = decimals_of(column, aggregate)

    def run(world: World, arguments: Mapping[str, JSON]) -> JSON:
        values = sorted(group_values(world, table, column, group, arguments[given.name]).values())
        return rounded(function(values), decimals)

    words = _SYNONYMS.get(word, (word,))
    return Operation(
        name=name,
        family=aggregate,
        description=f"Gives the {word} {column.phrase}{in_unit(column)} over the {table.plural} of the "
        f"{tables.register_noun} that have a given {group.phrase}, {precision(decimals)}.",
        parameters=(given,),
        output=kind_of(tables, column),
        field=f"{word}_{column.field}".replace(" ", "_"),
        noun=f"{word} {column.phrase}",
        source=source(
            """
            import math

            def $name($given):
                values = sorted(
                    row["$column"] for row in $TABLE.values()
                    if row["$group"] == $given and row["$column"] is not None
                )
                if not values:
                    raise ValueError(f"no $noun in the $register has the $phrase {$given!r}")
                return {"$field": $expression}
            """,
            name=name,
            given=given.name,
            TABLE=constant(table),
            group=group.name,
            column=column.name,
            noun=table.noun,
            register=tables.register_noun,
            phrase=group.phrase,
            field=f"{word}_{column.field}".replace(" ", "_"),
            expression=rounding(expression, decimals),
        ),
        run=run,
        np=tuple(
            f"the {word} {column.phrase} of the {table.plural} {end}" for word in words for end in suffixes(group)
        ),
        ask=tuple(
            f"Over all {table.plural} {end}, what is the {word} {column.phrase}?"
            for word in words
            for end in suffixes(group)
        ),
        needs={table.name: frozenset({group.name, column.name})},
        decimals=decimals or None,
        scoped=True,
    )


def rounded(value: float, decimals: int) -> float | int:
    """`value` to so many decimals, -0.0 as 0.0; a whole number when there are none."""
    return round(value, decimals) + 0 if decimals else round(value)


def rounding(expression: str, decimals: int) -> str:
    """The expression by which a tool does the same."""
    return f"round({expression}, {decimals})" if decimals else f"round({expression})"


def precision(decimals: int) -> str:
    """How a tool's documentation says so."""
    return (
        f"rounded to {decimals} decimals"
        if decimals > 1
        else "rounded to 1 decimal"
        if decimals
        else "as a whole number"
    )


def _share(tables: TableSet, table: Table, group: Column, column: Column) -> Operation:
    key = key_parameter(tables, table)
    name = tool_name(table.slug, "percent_of", group.slug, column.slug)

    def run(world: World, arguments: Mapping[str, JSON]) -> JSON:
        own = get_row(world, table, arguments[key.name])
        values = group_values(world, table, column, group, own[group.name])
        if arguments[key.name] not in values or math.fsum(values.values()) <= 0:
            raise Undecided
        return rounded(100 * values[arguments[key.name]] / math.fsum(values.values()), 2)

    return Operation(
        name=name,
        family="share",
        description=f"Gives what percentage of the total {column.phrase} of all {table.plural} of the "
        f"{tables.register_noun} with the same {group.phrase} one {table.noun} accounts for, rounded to 2 decimals.",
        parameters=(key,),
        output=Kind("number", f"share of {column.quantity}", "%"),
        field=f"percent_of_{column.slug}",
        noun="percentage",
        source=source(
            """
            import math

            def $name($key):
                own = $TABLE.get($key)
                if own is None or own["$column"] is None:
                    raise ValueError(f"no $noun in the $register with a $phrase is called {$key!r}")
                values = [
                    row["$column"] for row in $TABLE.values()
                    if row["$group"] == own["$group"] and row["$column"] is not None
                ]
                total = math.fsum(values)
                if total <= 0:
                    raise ValueError("the total is not positive")
                return {"$field": round(100 * own["$column"] / total, 2)}
            """,
            name=name,
            key=key.name,
            TABLE=constant(table),
            column=column.name,
            group=group.name,
            noun=table.noun,
            register=tables.register_noun,
            phrase=column.phrase,
            field=f"percent_of_{column.slug}",
        ),
        run=run,
        np=(
            f"the percentage that {{{key.name}}} contributes to the total {column.phrase} of all {table.plural} with "
            f"the same {group.phrase}",
            f"the share, in percent, of {{{key.name}}} in the summed {column.phrase} of the {table.plural} that have "
            f"its {group.phrase}",
        ),
        ask=(
            f"Of the total {column.phrase} of all {table.plural} that share its {group.phrase}, what percentage does "
            f"{{{key.name}}} account for?",
        ),
        needs={table.name: frozenset({group.name, column.name})},
        decimals=2,
        scoped=True,
    )
