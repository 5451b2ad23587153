"""Places on the globe: the great-circle distance between two rows, and the row nearest to another."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

from astra_gym.env_synthesis.sources.tables.description import Row, Table, TableSet
from astra_gym.env_synthesis.sources.tables.kinds import Kind
from astra_gym.env_synthesis.sources.tables.operation import Operation, Undecided, World, tool_name
from astra_gym.env_synthesis.sources.tables.operators.aggregates import rounded
from astra_gym.env_synthesis.sources.tables.operators.parts import (
    constant,
    entity,
    get_row,
    key_parameter,
    source,
)
from astra_gym.records import JSON

EARTH_RADIUS_KM = 6371.0088
"""Mean radius of the Earth (IUGG)."""

DISTANCE = Kind("number", "distance", "km")

_DISTANCE = """
    import math

    def distance_km(a, b):
        lat_a, lat_b = math.radians(a["$lat"]), math.radians(b["$lat"])
        half_lat = math.sin((lat_b - lat_a) / 2)
        half_lon = math.sin(math.radians(b["$lon"] - a["$lon"]) / 2)
        h = half_lat ** 2 + math.cos(lat_a) * math.cos(lat_b) * half_lon ** 2
        return 2 * $radius * math.asin(min(1.0, math.sqrt(h)))

"""


def operations(tables: TableSet, table: Table) -> Iterator[Operation]:
    if table.location is not None:
        yield _distance(tables, table, *table.location)
        yield _nearest(tables, table, *table.location)


def great_circle_km(a: tuple[float, float], b: tuple[float, float]) -> float:
    """Distance in km between two (latitude, longitude) pairs in degrees, by the angle between their unit vectors."""
    (x1, y1, z1), (x2, y2, z2) = _unit_vector(*a), _unit_vector(*b)
    cross = math.hypot(y1 * z2 - z1 * y2, z1 * x2 - x1 * z2, x1 * y2 - y1 * x2)
    return EARTH_RADIUS_KM * math.atan2(cross, x1 * x2 + y1 * y2 + z1 * z2)


def _unit_vector(latitude: float, longitude: float) -> tuple[float, float, float]:
    lat, lon = math.radians(latitude), math.radians(longitude)
    return math.cos(lat) * math.cos(lon), math.cos(lat) * math.sin(lon), math.sin(lat)


def _point(row: Row, lat: str, lon: str) -> tuple[float, float]:
    if row[lat] is None or row[lon] is None:
        raise Undecided
    return row[lat], row[lon]


def _distance(tables: TableSet, table: Table, lat: str, lon: str) -> Operation:
    first = key_parameter(tables, table, f"first_{table.slug}")
    second = key_parameter(tables, table, f"second_{table.slug}")
    name = tool_name("distance_between", table.plural_slug, "km")
    one, two = f"{{{first.name}}}", f"{{{second.name}}}"

    def run(world: World, arguments: Mapping[str, JSON]) -> JSON:
        a, b = (get_row(world, table, arguments[p.name]) for p in (first, second))
        distance = great_circle_km(_point(a, lat, lon), _point(b, lat, lon))
        if distance < 1:
            raise Undecided
        return rounded(distance, 1)

    return Operation(
        name=name,
        family="distance",
        description=f"Gives the great-circle distance between two {table.plural} of the {tables.register_noun} in "
        f"kilometres, on a sphere of radius {EARTH_RADIUS_KM} km, rounded to 1 decimal.",
        parameters=(first, second),
        output=DISTANCE,
        field="distance_km",
        noun="distance",
        source=source(
            _DISTANCE
            + """
    def $name($first, $second):
        for key in ($first, $second):
            if key not in $TABLE or $TABLE[key]["$lat"] is None or $TABLE[key]["$lon"] is None:
                raise ValueError(f"no $noun in the $register with a location is called {key!r}")
        return {"distance_km": round(distance_km($TABLE[$first], $TABLE[$second]), 1)}
            """,
            name=name,
            first=first.name,
            second=second.name,
            TABLE=constant(table),
            lat=lat,
            lon=lon,
            noun=table.noun,
            register=tables.register_noun,
            radius=EARTH_RADIUS_KM,
        ),
        run=run,
        np=(
            f"the great-circle distance between {one} and {two}",
            f"the distance as the crow flies from {one} to {two}",
        ),
        ask=(
            f"How far apart are {one} and {two} along a great circle?",
            f"How many kilometres lie between {one} and {two} as the crow flies?",
            f"How far is it from {one} to {two} in a straight line over the globe?",
        ),
        needs={table.name: frozenset({lat, lon})},
        decimals=1,
    )


def _nearest(tables: TableSet, table: Table, lat: str, lon: str) -> Operation:
    key = key_parameter(tables, table)
    name = tool_name("nearest", table.slug, "to")
    slot = f"{{{key.name}}}"

    def run(world: World, arguments: Mapping[str, JSON]) -> JSON:
        own = _point(get_row(world, table, arguments[key.name]), lat, lon)
        others = {
            other: great_circle_km(own, _point(row, lat, lon))
            for other, row in world[table.name].items()
            if other != arguments[key.name] and row[lat] is not None and row[lon] is not None
        }
        order = sorted(others, key=lambda other: others[other])
        if not order or (len(order) > 1 and others[order[1]] - others[order[0]] < 0.5):
            raise Undecided
        return order[0]

    return Operation(
        name=name,
        family="nearest",
        description=f"Finds the other {table.noun} of the {tables.register_noun} that lies nearest to a given one, by "
        "great-circle distance.",
        parameters=(key,),
        output=entity(table),
        field=table.slug,
        noun=table.noun,
        source=source(
            _DISTANCE
            + """
    def $name($key):
        own = $TABLE.get($key)
        if own is None or own["$lat"] is None or own["$lon"] is None:
            raise ValueError(f"no $noun in the $register with a location is called {$key!r}")
        others = [
            (distance_km(own, row), key) for key, row in $TABLE.items()
            if key != $key and row["$lat"] is not None and row["$lon"] is not None
        ]
        if not others:
            raise ValueError("there is no other $noun")
        return {"$slug": min(others)[1]}
            """,
            name=name,
            key=key.name,
            TABLE=constant(table),
            lat=lat,
            lon=lon,
            noun=table.noun,
            register=tables.register_noun,
            radius=EARTH_RADIUS_KM,
            slug=table.slug,
        ),
        run=run,
        np=(
            f"the {table.noun} nearest to {slot}",
            f"the {table.noun} that lies closest to {slot}",
            f"{slot}'s nearest neighbour among the other {table.plural}",
        ),
        ask=(
            f"Which other {table.noun} lies closest to {slot}?",
            f"Which {table.noun} is the nearest one to {slot}?",
        ),
        needs={table.name: frozenset({lat, lon})},
        scoped=True,
    )
