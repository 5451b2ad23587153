"""The built-in domains: real tables that PyPI packages carry, each with its description in `domains/`.

Nothing is downloaded and nothing is read before a domain is asked for; what was read is kept for the process. Which
data sets of a package are used was decided by their terms: those without a stated licence are left out (of
`vega_datasets`, for instance, only the public-domain ones are here).
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from importlib import metadata, resources
from typing import Any

from astra_gym.env_synthesis.sources.tables import packaged
from astra_gym.env_synthesis.sources.tables.completing import complete
from astra_gym.env_synthesis.sources.tables.conforming import LoadedTables, conform
from astra_gym.errors import MissingExtraError, TableError
from astra_gym.records import JSON

Rows = Mapping[str, Iterable[Mapping[str, JSON]]]
_LOADERS: Mapping[str, Callable[[], Rows]] = {
    "airports": packaged.airports,
    "cities": packaged.cities,
    "countries": packaged.countries,
    "elements": packaged.elements,
    "employment": packaged.employment,
    "holidays": packaged.holidays,
    "us_cities": packaged.us_cities,
    "weather": packaged.weather,
}
DOMAINS = tuple(sorted(_LOADERS))
"""The names of the built-in domains."""


@cache
def load_domain(name: str) -> LoadedTables:
    """A built-in domain.

    Raises: TableError for a name that is none of `DOMAINS`, MissingExtraError when a package it needs is missing.
    """
    version = domain_version(name)
    partial = _described(name)
    partial["terms"]["version"] = version
    try:
        raw = _LOADERS[name]()
    except ImportError as error:
        raise _missing(name) from error
    return conform(complete(name, partial), raw)


@cache
def domain_version(name: str) -> str:
    """The versions of the packages that carry a built-in domain. Raises as `load_domain` does."""
    if name not in _LOADERS:
        raise TableError(f"there is no built-in domain {name!r}; there are {', '.join(DOMAINS)}")
    try:
        return ", ".join(f"{package} {metadata.version(package)}" for package in _described(name)["terms"]["packages"])
    except metadata.PackageNotFoundError as error:
        raise _missing(name) from error


def _missing(name: str) -> MissingExtraError:
    wanted = ", ".join(_described(name)["terms"]["packages"])
    return MissingExtraError(f"the domain {name!r} needs {wanted}: pip install astra-gym[tables]")


def _described(name: str) -> dict[str, Any]:
    """The description file of a domain; a table that says `like = "other"` starts from that domain's table."""
    file = resources.files(__package__) / "domains" / f"{name}.toml"
    description = tomllib.loads(file.read_text(encoding="utf-8"))
    for key, table in description["tables"].items():
        if "like" in table:
            base = _described(table.pop("like"))["tables"][key]
            own = table.pop("columns", {})
            columns = {column: {**about, **own.get(column, {})} for column, about in base["columns"].items()}
            description["tables"][key] = {**base, **table, "columns": columns}
    return description
