"""The outcomes of a run as they come, one transaction each, in one SQLite file beside the suite.

The journal is what a run goes on from; the suite and the rejected items are written from it, in the order of the
source. It also holds the day on which the run was begun, the one date that provenance tells.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import orjson

from astra_gym.env_synthesis.llm.outcomes import Outcome, read_result, result_bytes
from astra_gym.errors import PipelineError
from astra_gym.llm.usage import Usage
from astra_gym.types import ToolEnvSpec

SUFFIX = ".journal.sqlite"
SIDE_FILES = (SUFFIX, f"{SUFFIX}-wal", f"{SUFFIX}-shm", f"{SUFFIX}-journal")
"""What SQLite may leave beside the suite."""
_TABLES = """
CREATE TABLE IF NOT EXISTS run (begun TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS outcomes (
    item_id TEXT PRIMARY KEY, position INTEGER NOT NULL, kept INTEGER NOT NULL, line BLOB NOT NULL, usage TEXT NOT NULL
);
"""
_EMPTIED = "BEGIN; DELETE FROM run; DELETE FROM outcomes; COMMIT;"
"""The file itself stays: it holds the lock that keeps other processes away."""


class Journal:
    """Open for one process at a time; close when done."""

    def __init__(self, suite: Path, today: str, *, anew: bool = False) -> None:
        """Open the journal of `suite`, or begin it on the day `today`; `anew`: begin it again, whatever it holds.

        Raises: PipelineError when another process has it open, it is damaged, or cannot be written.
        """
        self.path = suite.with_suffix(SUFFIX)
        try:
            self._db = sqlite3.connect(self.path, timeout=1.0, isolation_level=None)
            self._db.execute("PRAGMA locking_mode = EXCLUSIVE")
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = NORMAL")
            self._db.executescript(_TABLES + (_EMPTIED if anew else ""))
            self._db.execute("INSERT INTO run SELECT ? WHERE NOT EXISTS (SELECT 1 FROM run)", (today,))
            self.date = str(self._db.execute("SELECT begun FROM run").fetchone()[0])
            """The day on which the run was begun."""
            self.done = {str(row[0]) for row in self._db.execute("SELECT item_id FROM outcomes")}
            """Ids of the items that are done."""
        except sqlite3.Error as error:
            raise self._error(error) from error

    def put(self, outcome: Outcome) -> None:
        """Keep an outcome: all of it, or when the process dies now, nothing of it."""
        row = (
            outcome.item_id,
            outcome.position,
            isinstance(outcome.result, ToolEnvSpec),
            result_bytes(outcome.result),
            orjson.dumps(outcome.usage.as_json()).decode(),
        )
        try:
            self._db.execute("INSERT INTO outcomes VALUES (?, ?, ?, ?, ?)", row)
        except sqlite3.Error as error:
            raise self._error(error) from error
        self.done.add(outcome.item_id)

    def outcomes(self) -> Iterator[Outcome]:
        """Every outcome, in the order of the source."""
        try:
            for item_id, position, kept, line, usage in self._db.execute(
                "SELECT item_id, position, kept, line, usage FROM outcomes ORDER BY position"
            ):
                yield Outcome(position, item_id, read_result(bool(kept), line), Usage(**orjson.loads(usage)))
        except sqlite3.Error as error:
            raise self._error(error) from error

    def close(self) -> None:
        """Closing twice is fine."""
        self._db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _error(self, error: sqlite3.Error) -> PipelineError:
        if "locked" in str(error):
            return PipelineError(f"{self.path}: another process is at this run; wait for it, or choose another output")
        advice = "to start again, remove it and use --overwrite"
        return PipelineError(f"{self.path}: the journal of the run cannot be used: {error}; {advice}")
