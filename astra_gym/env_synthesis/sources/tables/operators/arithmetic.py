"""Arithmetic on figures that other operations found: differences, sums, ratios, percentages, unit conversions."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence

from astra_gym.env_synthesis.sources.tables.completing import slug_of
from astra_gym.env_synthesis.sources.tables.description import RatioRule, TableSet
from astra_gym.env_synthesis.sources.tables.kinds import Kind
from astra_gym.env_synthesis.sources.tables.operation import Operation, Parameter, Undecided, World, tool_name
from astra_gym.env_synthesis.sources.tables.operators.aggregates import precision, rounded, rounding
from astra_gym.env_synthesis.sources.tables.operators.parts import source
from astra_gym.env_synthesis.sources.tables.units import CONVERSIONS, Conversion, unit_of
from astra_gym.records import JSON

_COUNTED = ("number of ",)


def operations(tables: TableSet, found: Sequence[Operation]) -> Iterator[Operation]:
    """Arithmetic for each quantity that an operation of `found` can produce."""
    quantities = {operation.output: None for operation in found if operation.output.base == "number"}
    summable = _summable(tables)
    coordinates = _coordinates(tables)
    for kind in quantities:
        if kind.unit == "%" or kind.of.startswith("rank of"):
            continue
        decimals = 0 if kind.of.startswith(_COUNTED) else max(2, _decimals(tables, kind))
        yield _difference(kind, decimals)
        if kind.of in coordinates:
            continue
        if not kind.unit.startswith("°") and not kind.of.startswith(_COUNTED):
            yield _ratio(kind)
        if kind.of in summable or kind.of == "distance" or kind.of.startswith(_COUNTED):
            yield _sum(kind, decimals, 2)
            yield _sum(kind, decimals, 3)
        if kind.of in summable:
            yield _percentage(kind)
        else:
            yield _mean(kind, max(decimals, 2))
    for conversion in CONVERSIONS:
        if any(kind.unit == conversion.source for kind in quantities):
            yield _convert(conversion)
    by_quantity = {kind.of: kind for kind in quantities}
    for rule in tables.ratios:
        if rule.over[0] in by_quantity and rule.over[1] in by_quantity:
            yield _named_ratio(rule, by_quantity[rule.over[0]], by_quantity[rule.over[1]])


def _columns_of(tables: TableSet, quantity: str) -> list[tuple[int, bool]]:
    return [
        (column.decimals, "sum" in column.aggregates)
        for table in tables.tables.values()
        for column in table.columns.values()
        if column.role == "measure" and column.quantity == quantity
    ]


def _decimals(tables: TableSet, kind: Kind) -> int:
    return max((decimals for decimals, _ in _columns_of(tables, kind.of)), default=1 if kind.of == "distance" else 2)


def _summable(tables: TableSet) -> set[str]:
    measures = [c for t in tables.tables.values() for c in t.columns.values() if c.role == "measure"]
    return {column.quantity for column in measures if "sum" in column.aggregates}


def _coordinates(tables: TableSet) -> set[str]:
    columns = [c for t in tables.tables.values() for c in t.columns.values() if c.role in ("latitude", "longitude")]
    return {column.quantity for column in columns}


def _ending(kind: Kind) -> str:
    return f"_{unit_of(kind.unit).slug}" if kind.unit else ""


def _unit_words(kind: Kind) -> str:
    return f" in {unit_of(kind.unit).words}" if kind.unit else ""


def _inputs(kind: Kind, names: Sequence[str]) -> tuple[Parameter, ...]:
    words = f"{kind.of}{_unit_words(kind)}."
    return tuple(Parameter(name, kind, f"{name.split('_')[0].capitalize()} {words}") for name in names)


def _compute(
    name: str,
    family: str,
    description: str,
    parameters: tuple[Parameter, ...],
    output: Kind,
    field: str,
    noun: str,
    expression: str,
    function: Callable[..., float],
    decimals: int,
    np: Sequence[str],
    ask: Sequence[str] = (),
    nonzero: str = "",
) -> Operation:
    """An operation on figures alone: `expression` over the parameter names, `function` the same in plain Python."""

    def run(world: World, arguments: Mapping[str, JSON]) -> JSON:
        del world
        values = [float(arguments[parameter.name]) for parameter in parameters]
        try:
            return rounded(function(*values), decimals)
        except ZeroDivisionError:
            raise Undecided from None

    guard = f'if {nonzero} == 0:\n        raise ValueError("{nonzero} must not be zero")\n    ' if nonzero else ""
    text = source(
        """
        def $name($names):
            ${guard}return {"$field": $expression}
        """,
        name=name,
        names=", ".join(parameter.name for parameter in parameters),
        guard=guard,
        field=field,
        expression=rounding(expression, decimals),
    )
    return Operation(
        name=name,
        family=family,
        description=f"{description}, {precision(decimals)}.",
        parameters=parameters,
        output=output,
        field=field,
        noun=noun,
        source=text if "math." not in expression else f"import math\n\n{text}",
        run=run,
        np=tuple(np),
        ask=tuple(ask),
        decimals=decimals or None,
    )


def _difference(kind: Kind, decimals: int) -> Operation:
    slug = slug_of(kind.of)
    a, b = _inputs(kind, (f"first_{slug}", f"second_{slug}"))
    return _compute(
        tool_name(slug, "difference", _ending(kind)),
        "difference",
        f"Gives the absolute difference between two values of {kind.of}{_unit_words(kind)}",
        (a, b),
        Kind(
            "number", f"difference in {kind.of}", kind.unit if not kind.unit.startswith("°") else f"{kind.unit} apart"
        ),
        f"difference{_ending(kind)}",
        "difference",
        f"abs({a.name} - {b.name})",
        lambda x, y: abs(x - y),
        decimals,
        (
            f"the absolute difference between {{{a.name}}} and {{{b.name}}}",
            f"the gap between {{{a.name}}} and {{{b.name}}}",
            f"how far {{{a.name}}} and {{{b.name}}} are apart",
        ),
        (f"By how much do {{{a.name}}} and {{{b.name}}} differ?",),
    )


def _ratio(kind: Kind) -> Operation:
    slug = slug_of(kind.of)
    a, b = _inputs(kind, (f"first_{slug}", f"second_{slug}"))
    return _compute(
        tool_name(slug, "ratio"),
        "ratio",
        f"Divides one value of {kind.of} by another, both{_unit_words(kind) or ' as plain numbers'}",
        (a, b),
        Kind("number", f"ratio of {kind.of}"),
        "ratio",
        "ratio",
        f"{a.name} / {b.name}",
        lambda x, y: x / y,
        4,
        (
            f"the ratio of {{{a.name}}} to {{{b.name}}}",
            f"the quotient of {{{a.name}}} divided by {{{b.name}}}",
        ),
        (f"What does one get when {{{a.name}}} is divided by {{{b.name}}}?",),
        nonzero=b.name,
    )


def _percentage(kind: Kind) -> Operation:
    slug = slug_of(kind.of)
    part, whole = _inputs(kind, (f"part_{slug}", f"whole_{slug}"))
    return _compute(
        tool_name(slug, "percentage"),
        "percentage",
        f"Expresses one value of {kind.of} as a percentage of another",
        (part, whole),
        Kind("number", f"percentage of {kind.of}", "%"),
        "percentage",
        "percentage",
        f"100 * {part.name} / {whole.name}",
        lambda x, y: 100 * x / y,
        2,
        (
            f"{{{part.name}}} as a percentage of {{{whole.name}}}",
            f"the percentage that {{{part.name}}} makes of {{{whole.name}}}",
        ),
        (f"What percentage of {{{whole.name}}} is {{{part.name}}}?",),
        nonzero=whole.name,
    )


def _sum(kind: Kind, decimals: int, count: int) -> Operation:
    slug = slug_of(kind.of)
    parameters = _inputs(kind, tuple(f"{word}_{slug}" for word in ("first", "second", "third")[:count]))
    slots = _enumerated([f"{{{parameter.name}}}" for parameter in parameters])
    return _compute(
        tool_name("add", ("two", "three")[count - 2], slug, "values", _ending(kind)),
        "sum" if count == 2 else "sum_of_three",
        f"Adds {('two', 'three')[count - 2]} values of {kind.of}{_unit_words(kind)}",
        parameters,
        Kind("number", f"sum of {kind.of}", kind.unit),
        f"sum{_ending(kind)}",
        "sum",
        f"math.fsum([{', '.join(parameter.name for parameter in parameters)}])",
        lambda *values: math.fsum(values),
        decimals,
        (f"the sum of {slots}", f"the combined total of {slots}"),
        (f"What do {slots} add up to?",),
    )


def _mean(kind: Kind, decimals: int) -> Operation:
    slug = slug_of(kind.of)
    a, b = _inputs(kind, (f"first_{slug}", f"second_{slug}"))
    return _compute(
        tool_name("mean_of_two", slug, "values", _ending(kind)),
        "mean_of_two",
        f"Gives the arithmetic mean of two values of {kind.of}{_unit_words(kind)}",
        (a, b),
        Kind("number", f"mean of {kind.of}", kind.unit),
        f"mean{_ending(kind)}",
        "mean",
        f"({a.name} + {b.name}) / 2",
        lambda x, y: (x + y) / 2,
        decimals,
        (
            f"the arithmetic mean of {{{a.name}}} and {{{b.name}}}",
            f"the value halfway between {{{a.name}}} and {{{b.name}}}",
        ),
    )


def _convert(conversion: Conversion) -> Operation:
    old, new = unit_of(conversion.source), unit_of(conversion.target)
    given = Parameter(old.slug, Kind("number", "", conversion.source), f"A value in {old.words}.")
    offset = f" + {conversion.offset!r}" if conversion.offset else ""
    return _compute(
        tool_name("convert", old.slug, "to", new.slug),
        "convert",
        f"Converts {old.words} to {new.words}",
        (given,),
        Kind("number", f"converted to {new.words}", conversion.target),
        new.slug,
        f"value in {new.words}",
        f"{given.name} * {conversion.factor!r}{offset}",
        lambda x: x * conversion.factor + conversion.offset,
        conversion.decimals,
        (f"{{{given.name}}} converted from {old.words} to {new.words}", f"{{{given.name}}} expressed in {new.words}"),
        (f"How much is {{{given.name}}} in {new.words}?", f"What is {{{given.name}}} once converted to {new.words}?"),
    )


def _named_ratio(rule: RatioRule, top: Kind, bottom: Kind) -> Operation:
    a = Parameter(rule.parameters[0], top, f"The {top.of}{_unit_words(top)}.")
    b = Parameter(rule.parameters[1], bottom, f"The {bottom.of}{_unit_words(bottom)}.")
    factor = "" if rule.factor == 1 else f" * {rule.factor!r}"
    return _compute(
        tool_name(rule.name),
        "named_ratio",
        f"Gives the {rule.phrase} in {rule.unit}: the {top.of} divided by the {bottom.of}",
        (a, b),
        Kind("number", rule.phrase, rule.unit),
        rule.name,
        rule.phrase,
        f"{a.name} / {b.name}{factor}",
        lambda x, y: x / y * rule.factor,
        rule.decimals,
        (f"the {rule.phrase} that follows from {{{a.name}}} and {{{b.name}}}",),
        (f"Which {rule.phrase} do {{{a.name}}} and {{{b.name}}} give?",),
        nonzero=b.name,
    )


def _enumerated(words: Sequence[str]) -> str:
    return f"{', '.join(words[:-1])} and {words[-1]}"
