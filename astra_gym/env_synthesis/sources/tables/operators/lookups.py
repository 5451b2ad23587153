"""Look-ups: a column of one row, a row by a value that only it holds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from astra_gym.env_synthesis.sources.tables.description import Column, Table, TableSet
from astra_gym.env_synthesis.sources.tables.operation import Operation, Parameter, Undecided, World, tool_name
from astra_gym.env_synthesis.sources.tables.operators.parts import (
    argument_name,
    constant,
    entity,
    get_row,
    in_unit,
    key_parameter,
    kind_of,
    source,
)
from astra_gym.records import JSON


def operations(tables: TableSet, table: Table) -> Iterator[Operation]:
    for column in table.columns.values():
        if column.role not in ("key", "ignored") and column.lookup:
            yield _look_up(tables, table, column)
        if column.unique and column.role == "attribute" and column.type == "text":
            yield _reverse(tables, table, column)


def _look_up(tables: TableSet, table: Table, column: Column) -> Operation:
    key = key_parameter(tables, table)

    def run(world: World, arguments: Mapping[str, JSON]) -> JSON:
        value = get_row(world, table, arguments[key.name])[column.name]
        if value is None:
            raise Undecided
        return value

    return Operation(
        name=tool_name(table.slug, column.slug),
        family="follow" if column.role == "reference" else "look_up",
        description=f"Gives the {column.phrase} of one {table.noun}{in_unit(column)}, as recorded in the "
        f"{tables.register_noun}. Fails for a {table.noun} that is not in it.",
        parameters=(key,),
        output=kind_of(tables, column),
        field=column.field,
        noun=column.phrase,
        source=source(
            """
            def $name($key):
                row = $TABLE.get($key)
                if row is None:
                    raise ValueError(f"no $noun in the $register is called {$key!r}")
                if row["$column"] is None:
                    raise ValueError(f"the $phrase of {$key!r} is not recorded")
                return {"$field": row["$column"]}
            """,
            name=tool_name(table.slug, column.slug),
            key=key.name,
            TABLE=constant(table),
            noun=table.noun,
            register=tables.register_noun,
            column=column.name,
            phrase=column.phrase,
            field=column.field,
        ),
        run=run,
        np=tuple(words.replace("{x}", f"{{{key.name}}}") for words in column.of),
        ask=tuple(words.replace("{x}", f"{{{key.name}}}") for words in column.ask),
        needs={table.name: frozenset({column.name})},
    )


def _reverse(tables: TableSet, table: Table, column: Column) -> Operation:
    given = Parameter(
        argument_name(column.slug),
        kind_of(tables, column),
        f"The {column.phrase} of the {table.noun} to find, exactly as in the {tables.register_noun}.",
        (table.name, column.name),
    )
    name = tool_name(table.slug, "with", column.slug)

    def run(world: World, arguments: Mapping[str, JSON]) -> JSON:
        found = [key for key, row in world[table.name].items() if row[column.name] == arguments[given.name]]
        if len(found) != 1:
            raise Undecided
        return found[0]

    return Operation(
        name=name,
        family="reverse",
        description=f"Finds the {table.noun} of the {tables.register_noun} that has the given {column.phrase}.",
        parameters=(given,),
        output=entity(table),
        field=table.slug,
        noun=table.noun,
        source=source(
            """
            def $name($given):
                for key in sorted($TABLE):
                    if $TABLE[key]["$column"] == $given:
                        return {"$field": key}
                raise ValueError(f"no $noun in the $register has the $phrase {$given!r}")
            """,
            name=name,
            given=given.name,
            TABLE=constant(table),
            noun=table.noun,
            register=tables.register_noun,
            column=column.name,
            phrase=column.phrase,
            field=table.slug,
        ),
        run=run,
        np=(f"the {table.noun} whose {column.phrase} is {{{given.name}}}",),
        ask=(
            f"Which {table.noun} has {{{given.name}}} as its {column.phrase}?",
            f"The {column.phrase} {{{given.name}}} belongs to which {table.noun}?",
        ),
        needs={table.name: frozenset({column.name})},
    )
