"""The rows of one env: a seeded handful of a domain's rows in which every reference resolves.

Rows are drawn by groups, so that counts, averages and rankings within a group have something to work on. Questions are
then asked, and answered exactly, over these rows only: they are the register that the question speaks of.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from random import Random

from astra_gym.env_synthesis.sources.tables.conforming import LoadedTables
from astra_gym.env_synthesis.sources.tables.description import Row, Table
from astra_gym.env_synthesis.sources.tables.operation import World

_GROUP = (3, 8)
"""How many rows of one group are taken, at least and at most."""


class WorldMaker:
    """Draws worlds from one set of tables; keeps the indexes by group that this needs."""

    def __init__(self, tables: LoadedTables) -> None:
        self._tables = tables

    @cached_property
    def _groups(self) -> Mapping[str, list[list[str]]]:
        """For each table with a spread: its rows' keys by the value of that column, groups of three rows and more."""
        found: dict[str, list[list[str]]] = {}
        for table in self._tables.description.tables.values():
            if table.spread:
                by_value: dict[str, list[str]] = {}
                for key, row in self._tables.rows[table.name].items():
                    if row[table.spread] is not None:
                        by_value.setdefault(str(row[table.spread]), []).append(key)
                found[table.name] = [keys for _, keys in sorted(by_value.items()) if len(keys) >= _GROUP[0]]
        return found

    def draw(self, rng: Random) -> World:
        """A world of about as many rows as each table's `sample` says, and all rows that those refer to."""
        description = self._tables.description
        chosen: dict[str, set[str]] = {name: set() for name in description.tables}
        for name in description.joining_order:
            table = description.tables[name]
            self._fill(table, chosen[name], rng)
            self._follow(table, chosen)
        for _ in description.tables:  # references against the joining order, if there is a cycle
            for table in description.tables.values():
                self._follow(table, chosen)
        return {name: {key: self._tables.rows[name][key] for key in sorted(keys)} for name, keys in chosen.items()}

    def _fill(self, table: Table, chosen: set[str], rng: Random) -> None:
        """Add rows until the sample is full: whole groups first, then any."""
        rows = self._tables.rows[table.name]
        if len(rows) <= table.sample:
            chosen.update(rows)
            return
        groups = self._groups.get(table.name, [])
        for keys in rng.sample(groups, len(groups)) if len(groups) < 400 else rng.sample(groups, 40):
            if len(chosen) + _GROUP[0] > table.sample:
                break
            most = min(len(keys), table.sample - len(chosen), rng.randint(*_GROUP))
            chosen.update(rng.sample(keys, most))
        if not groups:
            chosen.update(rng.sample(list(rows), max(0, table.sample - len(chosen))))

    def _follow(self, table: Table, chosen: Mapping[str, set[str]]) -> None:
        rows = self._tables.rows[table.name]
        for column in table.columns.values():
            if column.role == "reference":
                aims = (rows[key][column.name] for key in chosen[table.name])
                chosen[column.references].update(aim for aim in aims if aim is not None)


def cut(world: World, needs: Mapping[str, set[str]]) -> dict[str, dict[str, Row]]:
    """The tables and columns of `world` that `needs` names, as an env carries them."""
    return {
        name: {key: {column: row[column] for column in row if column in columns} for key, row in world[name].items()}
        for name, columns in sorted(needs.items())
    }
