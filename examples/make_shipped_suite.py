"""Write `env_specs/`: the shipped envs made from tables, and the JSON Schema of a spec.

Run it again and the same bytes come out. The authored envs beside them are `make_authored_specs.py`'s.

python examples/make_shipped_suite.py [FOLDER]
"""

from __future__ import annotations

import sys
from itertools import islice
from pathlib import Path

import orjson

from astra_gym.certify import Certifier
from astra_gym.env_synthesis.runner import process
from astra_gym.env_synthesis.sources.tables import tables_source
from astra_gym.suite import open_suite, write_suite
from astra_gym.types import Rejected, ToolEnvSpec

SEED = 2026
WANTED = 96
PER_CELL = 2
"""Envs of one domain, scenario type and number of hops, while there are cells to fill."""
MAX_BYTES = 40_000
SHOWN = orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS | orjson.OPT_APPEND_NEWLINE


def choose() -> list[ToolEnvSpec]:
    """The first certified envs of the stream, at most `PER_CELL` a cell, small enough to read."""
    source = tables_source(None, seed=SEED, min_hops=1, max_hops=6)
    cells: dict[tuple[str, str, int], int] = {}
    chosen: list[ToolEnvSpec] = []
    with Certifier() as certifier:
        for item in islice(source.items(), 100 * WANTED):
            spec = item if isinstance(item, Rejected) else source.build(item)
            if isinstance(spec, Rejected) or len(orjson.dumps(spec.to_json())) > MAX_BYTES:
                continue
            cell = (spec.domain, spec.scenario_type, spec.hops)
            if cells.get(cell, 0) >= PER_CELL or isinstance(item, Rejected):
                continue
            certified = process(source, item, certifier)
            if isinstance(certified, ToolEnvSpec):
                cells[cell] = cells.get(cell, 0) + 1
                chosen.append(certified)
            if len(chosen) == WANTED:
                break
    return chosen


def main(folder: Path) -> None:
    specs = choose()
    others = [spec for spec in open_suite(folder) if spec.provenance.door != "tables"] if folder.exists() else []
    write_suite(folder, [*specs, *others], overwrite=True)
    schema = ToolEnvSpec.model_json_schema()
    (folder / "schema.json").write_bytes(orjson.dumps(schema, option=SHOWN))
    size = sum(path.stat().st_size for path in folder.glob("*.json"))
    print(f"{len(specs)} envs from tables beside {len(others)} others, {size / 1e6:.2f} MB in {folder}")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parent.parent / "env_specs")
