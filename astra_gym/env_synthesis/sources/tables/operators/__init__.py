"""The operations that a set of tables gives rise to, one module for each group of families."""

from __future__ import annotations

from collections.abc import Collection

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

GROUPS = (
    "lookups",
    "filters",
    "aggregates",
    "superlatives",
    "ordering",
    "lists",
    "places",
    "arithmetic",
    "dates",
)
"""What operations do, simplest first; `operations` can be held to some of them."""
_OF_ONE_TABLE = {
    "lookups": lookups,
    "filters": filters,
    "aggregates": aggregates,
    "superlatives": superlatives,
    "ordering": ordering,
    "lists": lists,
    "places": places,
}


def operations(tables: TableSet, groups: Collection[str] = GROUPS) -> tuple[Operation, ...]:
    """The operations of `groups` over `tables`, names unique, in an order that depends on the description only.

    Arithmetic works on what the other groups give.
    """
    found: dict[str, Operation] = {}
    for table in tables.tables.values():
        if not table.focus:
            continue
        for group, module in _OF_ONE_TABLE.items():
            for operation in module.operations(tables, table) if group in groups else ():
                found.setdefault(operation.name, operation)
    more = [*arithmetic.operations(tables, tuple(found.values()))] if "arithmetic" in groups else []
    more += dates.operations(tables) if "dates" in groups else ()
    for operation in more:
        found.setdefault(operation.name, operation)
    return tuple(found.values())
