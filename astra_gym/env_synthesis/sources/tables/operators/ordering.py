"""Ordering the whole table by one column: the next row, the rank of a row, the larger of two rows, yes or no."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from astra_gym.env_synthesis.sources.tables.completing import slug_of
from astra_gym.env_synthesis.sources.tables.description import Column, Table, TableSet
from astra_gym.env_synthesis.sources.tables.kinds import FLAG, Kind
from astra_gym.env_synthesis.sources.tables.operation import Operation, Undecided, World, tool_name
from astra_gym.env_synthesis.sources.tables.operators.parts import (
    constant,
    entity,
    get_row,
    key_parameter,
    source,
)
from astra_gym.records import JSON


def operations(tables: TableSet, table: Table) -> Iterator[Operation]:
    for column in table.columns.values():
        if column.ordered:
            for upward in (True, False):
                yield _next(tables, table, column, upward)
                yield _compare(tables, table, column, upward)
            yield _rank(tables, table, column)
            yield _is_more(tables, table, column)


def _value(world: World, table: Table, column: Column, key: JSON) -> JSON:
    value = get_row(world, table, key)[column.name]
    if value is None:
        raise Undecided
    return value


def _next(tables: TableSet, table: Table, column: Column, upward: bool) -> Operation:
    key = key_parameter(tables, table)
    name = tool_name("next", table.slug, "above" if upward else "below", "by", column.slug)
    above = _beyond(column, upward)

    def run(world: World, arguments: Mapping[str, JSON]) -> JSON:
        own = _value(world, table, column, arguments[key.name])
        rows = {k: row[column.name] for k, row in world[table.name].items() if row[column.name] is not None}
        beyond = {k: value for k, value in rows.items() if (value > own if upward else value < own)}
        if not beyond:
            raise Undecided
        goal = min(beyond.values()) if upward else max(beyond.values())
        found = [k for k, value in beyond.items() if value == goal]
        if len(found) > 1:
            raise Undecided
        return found[0]

    near, far = (column.low, column.least) if upward else (column.high, column.most)
    comparative = column.more if upward else column.less
    slot = f"{{{key.name}}}"
    words = [
        f"the {table.noun} whose {column.phrase} comes immediately {above} that of {slot}",
        f"the {table.noun} that comes directly {above} {slot} when all {table.plural} are ranked by {column.phrase}",
        f"the {table.noun} with the {near} {column.phrase} {above} that of {slot}",
    ]
    if comparative and far:
        words.append(f"the {far} of all {table.plural} {comparative} than {slot}")
    return Operation(
        name=name,
        family="next",
        description=f"Finds, among all {table.plural} of the {tables.register_noun}, the one whose {column.phrase} is "
        f"next {above} that of a given {table.noun}.",
        parameters=(key,),
        output=entity(table),
        field=table.slug,
        noun=table.noun,
        source=source(
            """
            def $name($key):
                own = $TABLE.get($key)
                if own is None or own["$column"] is None:
                    raise ValueError(f"no $noun in the $register with a $phrase is called {$key!r}")
                others = [
                    (row["$column"], key) for key, row in $TABLE.items()
                    if row["$column"] is not None and row["$column"] $sign own["$column"]
                ]
                if not others:
                    raise ValueError(f"no $noun comes $above {$key!r}")
                return {"$slug": $pick(others)[1]}
            """,
            name=name,
            key=key.name,
            TABLE=constant(table),
            column=column.name,
            noun=table.noun,
            register=tables.register_noun,
            phrase=column.phrase,
            sign=">" if upward else "<",
            above=above,
            slug=table.slug,
            pick="min" if upward else "max",
        ),
        run=run,
        np=tuple(words),
        needs={table.name: frozenset({column.name})},
        scoped=True,
    )


def _beyond(column: Column, upward: bool) -> str:
    if column.role == "date":
        return "after" if upward else "before"
    return "above" if upward else "below"


def _rank(tables: TableSet, table: Table, column: Column) -> Operation:
    key = key_parameter(tables, table)
    name = tool_name("rank_of", table.slug, "by", column.slug)
    slot = f"{{{key.name}}}"

    def run(world: World, arguments: Mapping[str, JSON]) -> JSON:
        own = _value(world, table, column, arguments[key.name])
        values = [row[column.name] for row in world[table.name].values() if row[column.name] is not None]
        if values.count(own) > 1:
            raise Undecided
        return 1 + sum(value > own for value in values)

    order = f"from the {column.high} to the {column.low} {column.phrase}"
    return Operation(
        name=name,
        family="rank",
        description=f"Gives the rank of one {table.noun} when all {table.plural} of the {tables.register_noun} are "
        f"ordered {order}; 1 is the {column.high}.",
        parameters=(key,),
        output=Kind("number", f"rank of {table.plural} by {column.slug}"),
        field="rank",
        noun="rank",
        source=source(
            """
            def $name($key):
                own = $TABLE.get($key)
                if own is None or own["$column"] is None:
                    raise ValueError(f"no $noun in the $register with a $phrase is called {$key!r}")
                values = [row["$column"] for row in $TABLE.values() if row["$column"] is not None]
                return {"rank": 1 + len([value for value in values if value > own["$column"]])}
            """,
            name=name,
            key=key.name,
            TABLE=constant(table),
            column=column.name,
            noun=table.noun,
            register=tables.register_noun,
            phrase=column.phrase,
        ),
        run=run,
        np=(
            f"the rank of {slot} when all {table.plural} are ordered {order}",
            f"the position that {slot} takes among all {table.plural} ordered {order}",
        ),
        ask=(
            f"If all {table.plural} are ordered {order}, at which position does {slot} stand?",
            f"Where does {slot} rank among all {table.plural} by {column.phrase}, counting {order}?",
        ),
        needs={table.name: frozenset({column.name})},
        scoped=True,
    )


def _compare(tables: TableSet, table: Table, column: Column, larger: bool) -> Operation:
    first = key_parameter(tables, table, f"first_{table.slug}")
    second = key_parameter(tables, table, f"second_{table.slug}")
    name = tool_name(
        "which", table.slug, "has", slug_of(_comparative(column.high if larger else column.low)), column.slug
    )
    comparative, extreme = (column.more, column.high) if larger else (column.less, column.low)
    one, two = f"{{{first.name}}}", f"{{{second.name}}}"

    def run(world: World, arguments: Mapping[str, JSON]) -> JSON:
        values = {arguments[p.name]: _value(world, table, column, arguments[p.name]) for p in (first, second)}
        if len(set(values.values())) < 2:
            raise Undecided
        return max(values, key=lambda key: values[key] if larger else _negative(values, key))

    words = [f"whichever of {one} and {two} has the {_comparative(extreme)} {column.phrase}"]
    asks = [
        f"Which has the {_comparative(extreme)} {column.phrase}, {one} or {two}?",
        f"Comparing {one} with {two}, which one has the {_comparative(extreme)} {column.phrase}?",
    ]
    if comparative:
        words.append(f"the {comparative} of the two {table.plural} {one} and {two}")
        asks.append(f"Which is {comparative}, {one} or {two}?")
    return Operation(
        name=name,
        family="compare",
        description=f"Compares two {table.plural} of the {tables.register_noun} and names the one with the "
        f"{_comparative(extreme)} {column.phrase}.",
        parameters=(first, second),
        output=entity(table),
        field=table.slug,
        noun=table.noun,
        source=source(
            """
            def $name($first, $second):
                for key in ($first, $second):
                    if key not in $TABLE or $TABLE[key]["$column"] is None:
                        raise ValueError(f"no $noun in the $register with a $phrase is called {key!r}")
                a, b = $TABLE[$first]["$column"], $TABLE[$second]["$column"]
                if a == b:
                    raise ValueError("both have the same $phrase")
                return {"$slug": $first if a $sign b else $second}
            """,
            name=name,
            first=first.name,
            second=second.name,
            TABLE=constant(table),
            column=column.name,
            noun=table.noun,
            register=tables.register_noun,
            phrase=column.phrase,
            slug=table.slug,
            sign=">" if larger else "<",
        ),
        run=run,
        np=tuple(words),
        ask=tuple(asks),
        needs={table.name: frozenset({column.name})},
        chooses=True,
    )


def _negative(values: Mapping[str, JSON], key: str) -> int:
    """Sorts the smaller of two values last, whatever their type."""
    return -sum(bool(values[key] > other) for other in values.values())


def _comparative(superlative: str) -> str:
    """ "highest" -> "higher": the comparative of a regular superlative."""
    irregular = {"latest": "later", "earliest": "earlier", "most": "more", "least": "less"}
    return irregular.get(superlative) or (
        superlative[:-2] + "r" if superlative.endswith("est") else f"more {superlative}"
    )


def _is_more(tables: TableSet, table: Table, column: Column) -> Operation:
    first = key_parameter(tables, table, f"first_{table.slug}")
    second = key_parameter(tables, table, f"second_{table.slug}")
    name = tool_name("is", table.slug, slug_of(_comparative(column.high)), "by", column.slug)
    one, two = f"{{{first.name}}}", f"{{{second.name}}}"
    higher = _comparative(column.high)

    def run(world: World, arguments: Mapping[str, JSON]) -> JSON:
        a, b = (_value(world, table, column, arguments[p.name]) for p in (first, second))
        if a == b:
            raise Undecided
        return bool(a > b)

    asks = [
        f"Does {one} have a {higher} {column.phrase} than {two}?",
        f"Is the {column.phrase} of {one} {higher} than that of {two}?",
    ]
    words = [f"whether {one} has a {higher} {column.phrase} than {two}"]
    if column.more:
        asks.append(f"Is {one} {column.more} than {two}?")
        words.append(f"whether {one} is {column.more} than {two}")
    return Operation(
        name=name,
        family="is_more",
        description=f"Tells whether the first of two {table.plural} of the {tables.register_noun} has a strictly "
        f"{higher} {column.phrase} than the second.",
        parameters=(first, second),
        output=FLAG,
        field=f"has_{slug_of(higher)}_{column.slug}",
        noun="verdict",
        source=source(
            """
            def $name($first, $second):
                for key in ($first, $second):
                    if key not in $TABLE or $TABLE[key]["$column"] is None:
                        raise ValueError(f"no $noun in the $register with a $phrase is called {key!r}")
                return {"$field": $TABLE[$first]["$column"] > $TABLE[$second]["$column"]}
            """,
            name=name,
            first=first.name,
            second=second.name,
            TABLE=constant(table),
            column=column.name,
            noun=table.noun,
            register=tables.register_noun,
            phrase=column.phrase,
            field=f"has_{slug_of(higher)}_{column.slug}",
        ),
        run=run,
        np=tuple(words),
        ask=tuple(asks),
        needs={table.name: frozenset({column.name})},
    )
