"""The tables door: certified tool-use environments from real tables, without a language model or the network."""

from __future__ import annotations

from astra_gym.env_synthesis.sources.tables.catalog import DOMAINS, load_domain
from astra_gym.env_synthesis.sources.tables.conforming import LoadedTables
from astra_gym.env_synthesis.sources.tables.inference import summary
from astra_gym.env_synthesis.sources.tables.source import TablesSource, tables_source
from astra_gym.env_synthesis.sources.tables.user_tables import load_tables
from astra_gym.errors import TableError

__all__ = [
    "DOMAINS",
    "LoadedTables",
    "TableError",
    "TablesSource",
    "load_domain",
    "load_tables",
    "summary",
    "tables_source",
]
