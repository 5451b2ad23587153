"""The tables door: an endless, seeded stream of env items over real tables, and the env of each item.

No language model and no network take part. Everything depends on the seed, the tables and this code only.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from itertools import count, islice
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

from astra_gym.env_synthesis.sources.base import Item
from astra_gym.env_synthesis.sources.tables.catalog import DOMAINS, domain_version, load_domain
from astra_gym.env_synthesis.sources.tables.conforming import LoadedTables
from astra_gym.env_synthesis.sources.tables.emit import emit
from astra_gym.env_synthesis.sources.tables.flow import MAX_HOPS, Flow
from astra_gym.env_synthesis.sources.tables.inference import summary
from astra_gym.env_synthesis.sources.tables.operation import Undecided
from astra_gym.env_synthesis.sources.tables.operators import GROUPS, operations
from astra_gym.env_synthesis.sources.tables.programs import Program
from astra_gym.env_synthesis.sources.tables.sampling import Sampler
from astra_gym.env_synthesis.sources.tables.user_tables import frame_tables, load_tables
from astra_gym.env_synthesis.sources.tables.world import WorldMaker
from astra_gym.errors import TableError
from astra_gym.records import JSON, content_hash
from astra_gym.types import Rejected, ScenarioType, ToolEnvSpec

if TYPE_CHECKING:
    import pandas

SCENARIOS: tuple[ScenarioType, ...] = ("Single-Hop", "Parallel Single-Hop", "Multi-Hop", "Parallel Multi-Hop")
_SLUGS: Mapping[ScenarioType, str] = {
    "Single-Hop": "single",
    "Parallel Single-Hop": "parallel",
    "Multi-Hop": "chain",
    "Parallel Multi-Hop": "graph",
}
_WORLDS = 12
"""How many worlds are drawn for one item before it is given up."""
_PROBED = 24
"""How many items of one's own tables are tried before they are called unusable."""
_TRIES = 8
"""How many programs are tried in one world."""


class TablesSource:
    """Envs from built-in domains, or from tables of your own (`from_path`, `from_frame`)."""

    name = "tables"

    def __init__(
        self,
        seed: int = 0,
        domains: Sequence[str] | None = None,
        *,
        scenarios: Sequence[ScenarioType] = SCENARIOS,
        min_hops: int = 1,
        max_hops: int = 6,
        distractors: tuple[int, int] = (2, 4),
        groups: Sequence[str] = GROUPS,
        tables: Mapping[str, LoadedTables] | None = None,
    ) -> None:
        """
        Args:
            seed: everything that is drawn depends on it.
            domains: names of built-in domains or keys of `tables`; all of them when not given.
            scenarios: the scenario types, one env of each in turn.
            min_hops, max_hops: longest path of dependencies, 1 to 8; the two single-hop types have 1, the others more.
            distractors: fewest and most tools that no sub-question needs.
            groups: what tools may do ("lookups", "places", ...); all of `GROUPS` when not given.
            tables: tables of your own, by domain name; then the built-in domains are not used unless named.

        Raises: TableError for an unknown domain or group, and when no scenario type allows the hops.
        """
        self.seed, self.distractors = seed, distractors
        if not groups or (unknown := sorted(set(groups) - set(GROUPS))):
            found = unknown[0] if groups else "none"
            raise TableError(f"operations must be some of {', '.join(GROUPS)}, found {found}")
        self.groups = tuple(group for group in GROUPS if group in groups)
        self.tables = dict(tables or {})
        self.domains = tuple(domains) if domains is not None else tuple(self.tables) or DOMAINS
        if unknown := [name for name in self.domains if name not in self.tables and name not in DOMAINS]:
            raise TableError(f"there is no domain {unknown[0]!r}; there are {', '.join((*self.tables, *DOMAINS))}")
        if not 1 <= min_hops <= max_hops <= MAX_HOPS:
            raise TableError(f"hops must be 1 <= min_hops <= max_hops <= {MAX_HOPS}, found {min_hops} and {max_hops}")
        if not 0 <= distractors[0] <= distractors[1]:
            raise TableError(f"distractors must be a range of whole numbers, found {distractors}")
        self.shapes = {kind: hops for kind in scenarios if (hops := _hops(kind, min_hops, max_hops))}
        if not self.shapes or not self.domains:
            raise TableError(
                f"no env can have {min_hops} to {max_hops} hops, the types {list(scenarios)} and {domains=}"
            )

    @classmethod
    def from_path(
        cls, path: str | Path, description: str | Path | Mapping[str, Any] | None = None, **options: Any
    ) -> TablesSource:
        """Envs from a CSV, Parquet or SQLite file.

        Args:
            description: what `load_tables` takes; inferred where it is silent.
            options: as for the class.

        Raises: TableError when the file or its description cannot be used.
        """
        return cls._of(load_tables(path, description), options)

    @classmethod
    def from_frame(
        cls,
        frame: pandas.DataFrame,
        name: str,
        description: str | Path | Mapping[str, Any] | None = None,
        **options: Any,
    ) -> TablesSource:
        """Envs from a pandas frame; as `from_path` otherwise."""
        return cls._of(frame_tables({name: frame}, name, description), options)

    @classmethod
    def _of(cls, loaded: LoadedTables, options: Mapping[str, Any]) -> TablesSource:
        """A source over one's own tables, once it is sure that something can be asked of them."""
        source = cls(tables={loaded.description.name: loaded}, **options)
        first = islice(source.items(), _PROBED)
        if all(isinstance(item, Rejected) or isinstance(source.build(item), Rejected) for item in first):
            raise TableError(
                "no question of the wanted shape can be made of these tables; they need some rows, and columns to look "
                f"up, count or rank by. What was understood:\n{summary(loaded.description)}"
            )
        return source

    def config(self) -> dict[str, JSON]:
        """What determines the items and their envs: a run that is to go on must have the same."""
        own = {name: content_hash([t.description.to_json(), t.rows]) for name, t in self.tables.items()}
        made: dict[str, JSON] = {
            "seed": self.seed,
            "domains": {name: own.get(name) or domain_version(name) for name in self.domains},
            "shapes": dict(self.shapes),
            "distractors": list(self.distractors),
        }
        return made if self.groups == GROUPS else made | {"groups": list(self.groups)}

    def items(self) -> Iterator[Item | Rejected]:
        """Items without end: domains, scenario types and hops in balanced turn, the same on every run."""
        kinds = list(self.shapes)
        for number in count():
            turn, place = divmod(number, len(self.domains) * len(kinds))
            domain = self.domains[place % len(self.domains)]
            kind = kinds[(place // len(self.domains) + place % len(self.domains)) % len(kinds)]
            hops = self.shapes[kind][(turn + place) % len(self.shapes[kind])]
            size = str(hops) if hops > 1 else ""
            env_id = f"{domain}-{_SLUGS[kind]}{size}-{self.seed}-{number:06d}-v0"
            yield Item(env_id, {"domain": domain, "scenario": kind, "hops": hops, "number": number})

    def build(self, item: Item) -> ToolEnvSpec | Rejected:
        """The env of one item; Rejected when no program of its shape was found in the worlds that were drawn."""
        domain, scenario, hops = item.payload["domain"], item.payload["scenario"], item.payload["hops"]
        workshop = self._workshop(domain)
        rng = Random(int.from_bytes(sha256(f"{self.seed}/{item.id}".encode()).digest()[:8], "big"))
        for _ in range(_WORLDS):
            sampler = Sampler(workshop.flow, workshop.worlds.draw(rng), rng)
            for _ in range(_TRIES):
                try:
                    program = sampler.sample(scenario, hops)
                except Undecided:
                    continue
                if not _is_shaped(program, scenario, hops):
                    continue
                spec = emit(
                    item.id,
                    program,
                    workshop.tables.description,
                    workshop.flow.operations,
                    rng,
                    rng.randint(*self.distractors),
                )
                if spec is not None:
                    return spec
        reason = f"no program with {hops} hops of type {scenario} was found in {_WORLDS} draws of rows"
        return Rejected(id=item.id, stage="sample", reason=reason)

    def _workshop(self, domain: str) -> _Workshop:
        if domain in self.tables:
            key = f"_workshop_{domain}"
            if key not in self.__dict__:
                self.__dict__[key] = _Workshop.of(self.tables[domain], self.groups)
            found: _Workshop = self.__dict__[key]
            return found
        return _built_in(domain, self.groups)

    def __getstate__(self) -> dict[str, Any]:
        """Without what each process makes for itself."""
        return {name: value for name, value in self.__dict__.items() if not name.startswith("_workshop")}


def tables_source(source: str | None = None, *, description: str | Path | None = None, **options: Any) -> TablesSource:
    """The door by one word, as the command line names it.

    Args:
        source: built-in domains, comma separated, or a .csv, .parquet or .sqlite file; every built-in domain when None.
        description: for a file, the TOML file that describes it.
        options: as for `TablesSource`.

    Raises: TableError when `source` is neither, or the file cannot be used.
    """
    names = [name.strip() for name in (source or "").split(",") if name.strip()]
    if all(name in DOMAINS for name in names):
        if description is not None:
            raise TableError("a description goes with a file of your own; the built-in domains have theirs")
        return TablesSource(domains=names or None, **options)
    if Path(str(source)).suffix or Path(str(source)).exists():
        return TablesSource.from_path(str(source), description, **options)
    raise TableError(f"{source!r} is neither a file nor built-in domains; those are {', '.join(DOMAINS)}")


@dataclass(frozen=True)
class _Workshop:
    """What is made once for a domain and used for each of its envs."""

    tables: LoadedTables
    flow: Flow
    worlds: WorldMaker

    @classmethod
    def of(cls, tables: LoadedTables, groups: tuple[str, ...]) -> _Workshop:
        return cls(tables, Flow(operations(tables.description, groups)), WorldMaker(tables))


@cache
def _built_in(domain: str, groups: tuple[str, ...]) -> _Workshop:
    return _Workshop.of(load_domain(domain), groups)


def _hops(kind: ScenarioType, least: int, most: int) -> list[int]:
    if kind in ("Single-Hop", "Parallel Single-Hop"):
        return [1] if least == 1 else []
    return list(range(max(2, least), most + 1))


def _is_shaped(program: Program, scenario: ScenarioType, hops: int) -> bool:
    """Whether the program came out as wanted; argument sharing can turn one shape into another."""
    if program.hops != hops:
        return False
    if len(program.sinks) > 1 and any(n.operation.chooses or n.kind.base == "entities" for n in program.sinks):
        return False  # a list of answers holds no choice, whose leak is excused, and no other list
    if hops == 1:
        return (len(program.nodes) == 1) == (scenario == "Single-Hop")
    return (program.hops == len(program.nodes)) == (scenario == "Multi-Hop")
