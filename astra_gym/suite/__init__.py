"""A suite: many environment specs in one place on disk, read lazily by id.

Three forms, one reader (`open_suite`) and one writer (`write_suite`):

- a folder of `<id>.json` files, to be read and compared by people;
- one `.jsonl` file, a spec a line; a pipeline appends to it and resumes after a kill (`SuiteWriter`);
- one `.parquet` file with the columns id, domain, scenario_type, hops, question and spec (extra `parquet`).

Opening reads ids and offsets only, so that a hundred thousand specs open in well under a second. A spec is parsed, and
its certificate compared with its content, when it is loaded. Nothing here imports pydantic until a spec is loaded.
"""

from astra_gym.suite.reader import Suite, open_suite
from astra_gym.suite.stores import Skipped
from astra_gym.suite.writer import SuiteWriter, spec_bytes, write_suite

__all__ = ["Skipped", "Suite", "SuiteWriter", "open_suite", "spec_bytes", "write_suite"]
