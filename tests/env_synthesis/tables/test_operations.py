"""Every operation of every domain: what its tool computes is what its own Python computes."""

from __future__ import annotations

import math
from datetime import date, timedelta
from functools import cache
from random import Random

import pytest

from astra_gym.env_synthesis.sources.tables.catalog import DOMAINS, load_domain
from astra_gym.env_synthesis.sources.tables.operation import Operation, Parameter, Undecided, World
from astra_gym.env_synthesis.sources.tables.operators import operations
from astra_gym.env_synthesis.sources.tables.operators.places import great_circle_km
from astra_gym.env_synthesis.sources.tables.units import CONVERSIONS, unit_of
from astra_gym.env_synthesis.sources.tables.world import WorldMaker
from astra_gym.records import JSON
from astra_gym.sandbox import ArgumentValidator, check_source
from astra_gym.types import TOOL_NAME
from tests.env_synthesis.tables.playing import tool_of


@cache
def all_operations(domain: str) -> tuple[Operation, ...]:
    return operations(load_domain(domain).description)


def worlds(domain: str, count: int) -> list[World]:
    maker = WorldMaker(load_domain(domain))
    return [maker.draw(Random(seed)) for seed in range(count)]


def some_value(parameter: Parameter, world: World, rng: Random) -> JSON:
    kind = parameter.kind
    if parameter.drawn_from:
        table, column = parameter.drawn_from
        return rng.choice([row[column] for row in world[table].values() if row[column] is not None])
    match kind.base:
        case "entity":
            return rng.choice(list(world[kind.of]))
        case "entities":
            return rng.sample(list(world[kind.of]), 3)
        case "number":
            return round(rng.uniform(0.5, 5000), 2)
        case "date":
            return (date(2024, 1, 1) + timedelta(days=rng.randrange(700))).isoformat()
        case _:
            return rng.randint(1, 6)


@pytest.mark.parametrize("domain", DOMAINS)
def test_a_tool_gives_what_its_operation_computes(domain: str) -> None:
    rng = Random(domain)
    decided = 0
    for world in worlds(domain, 3):
        for operation in all_operations(domain):
            tool = tool_of(operation, world)
            for _ in range(4):
                arguments = {parameter.name: some_value(parameter, world, rng) for parameter in operation.parameters}
                try:
                    expected = operation.run(world, arguments)
                except Undecided:
                    continue
                if expected in (0, []):
                    continue  # nothing found: the tool says so as an error
                decided += 1
                assert tool(**arguments) == {operation.field: expected}, (operation.name, arguments)
    assert decided > 6 * len(all_operations(domain))


@pytest.mark.parametrize("domain", DOMAINS)
def test_tools_are_inside_the_policy_and_well_documented(domain: str) -> None:
    for number, operation in enumerate(all_operations(domain)):
        tool = operation.tool
        if number % 3 == 0:
            check_source(tool.source, tool.name)
            ArgumentValidator(tool)
        assert TOOL_NAME.fullmatch(tool.name)
        assert tool.description.endswith((".", "highest.", "largest."))
        assert not set("{}$") & set(tool.description), tool.description
        assert all(field["description"] for field in tool.parameters["properties"].values())
    names = [operation.name for operation in all_operations(domain)]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("domain", DOMAINS)
def test_a_name_that_is_not_in_the_register_is_an_error_that_tells_nothing(domain: str) -> None:
    (world,) = worlds(domain, 1)
    asked = [op for op in all_operations(domain) if op.parameters[0].kind.base in ("entity", "category")]
    assert asked
    for operation in asked:
        rng = Random(0)
        arguments = {parameter.name: some_value(parameter, world, rng) for parameter in operation.parameters}
        arguments[operation.parameters[0].name] = "Nowhere at all"
        with pytest.raises(ValueError, match="Nowhere at all") as error:
            tool_of(operation, world)(**arguments)
        told = str(error.value)
        assert not any(repr(key) in told for rows in world.values() for key in rows if key not in arguments.values())


@pytest.mark.parametrize("domain", DOMAINS)
def test_every_wording_has_a_place_for_each_argument_and_for_nothing_else(domain: str) -> None:
    for operation in all_operations(domain):
        names = {parameter.name for parameter in operation.parameters}
        for words in (*operation.np, *operation.ask):
            slots = {part.split("}")[0] for part in words.split("{")[1:]}
            assert slots == names, (operation.name, words)


@pytest.mark.parametrize(
    ("a", "b", "km"),
    [
        ((49.0128, 2.55), (40.639928, -73.778692), 5837),  # Paris CDG to New York JFK
        ((0.0, 0.0), (0.0, 180.0), math.pi * 6371.0088),
        ((90.0, 0.0), (-90.0, 123.0), math.pi * 6371.0088),
        ((10.0, 20.0), (10.0, 20.0), 0.0),
    ],
)
def test_great_circle_distances(a: tuple[float, float], b: tuple[float, float], km: float) -> None:
    assert great_circle_km(a, b) == pytest.approx(km, rel=1e-3, abs=1e-6)
    assert great_circle_km(b, a) == pytest.approx(great_circle_km(a, b))


def test_conversions_there_and_back_agree() -> None:
    pairs = {(conversion.source, conversion.target): conversion for conversion in CONVERSIONS}
    both_ways = [(one, pairs[b, a]) for (a, b), one in pairs.items() if (b, a) in pairs]
    assert len(both_ways) >= 6
    for there, back in both_ways:
        value = 12.5 * there.factor + there.offset
        assert value * back.factor + back.offset == pytest.approx(12.5)


@pytest.mark.parametrize(("symbol", "value", "expected"), [("ft", 1000, 304.8), ("°C", 100, 212), ("km", 1.852, 1)])
def test_known_conversions(symbol: str, value: float, expected: float) -> None:
    found = [c.factor * value + c.offset for c in CONVERSIONS if c.source == symbol]
    assert any(result == pytest.approx(expected) for result in found)


def test_a_unit_of_ones_own_is_spelled_as_it_is_written() -> None:
    assert unit_of("barrels").words == "barrels"
    assert unit_of("µg/L").slug == "g_l"
