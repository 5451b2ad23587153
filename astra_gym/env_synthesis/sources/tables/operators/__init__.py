"""The operations that a set of tables gives rise to, one module for each group of families."""

from __future__ import annotations

from astra_gym.env_synthesis.sources.tables.description import TableSet
from astra_gym.env_synthesis.sources.tables.operation import Operation
from astra_gym.env_synthesis.sources.tables.operators import (
    aggregates,
    arithmetic,
    dates,
    filters,
    lists,
    lookups,
    ordering,
    places,
    superlatives,
)


def operations(tables: TableSet) -> tuple[Operation, ...]:
    """Every operation over `tables`, names unique, in an order that depends on the description only."""
    found: dict[str, Operation] = {}
    for table in tables.tables.values():
        if not table.focus:
            continue
        for module in (lookups, filters, aggregates, superlatives, ordering, lists, places):
            for operation in module.operations(tables, table):
                found.setdefault(operation.name, operation)
    for operation in (*arithmetic.operations(tables, tuple(found.values())), *dates.operations(tables)):
        found.setdefault(operation.name, operation)
    return tuple(found.values())
