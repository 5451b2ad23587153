"""Replies already paid for, in one SQLite file, found by the content of the request.

The key is the endpoint and the hash of everything that decides a reply, the seed included. Only whole replies are
kept, each in a transaction of its own, so that a killed process leaves no half of one; several processes may use a
file at the same time, on one machine.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Self

from pydantic import ValidationError

from astra_gym.errors import PipelineError
from astra_gym.records import Record

_WAIT_S = 60.0
_TABLE = "CREATE TABLE IF NOT EXISTS replies (endpoint TEXT, request TEXT, reply TEXT, PRIMARY KEY (endpoint, request))"


class Completion(Record):
    """What an endpoint sent for one request."""

    content: str
    finish_reason: str | None = None
    refusal: str | None = None
    prompt_tokens: int = 0
    completion_tokens: int = 0


class ReplyCache:
    """The file, or memory when there is none. Use from one thread; close when done."""

    def __init__(self, path: Path | None = None) -> None:
        """Raises: PipelineError when the file is of another kind or cannot be opened."""
        self._path = path
        try:
            if path is not None:
                path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(path or ":memory:", timeout=_WAIT_S, isolation_level=None)
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = NORMAL")
            self._db.execute(_TABLE)
        except (sqlite3.Error, OSError) as error:
            raise self._error(error) from error

    def get(self, endpoint: str, request: str) -> Completion | None:
        """The reply to a request, if it is there."""
        try:
            with closing(
                self._db.execute("SELECT reply FROM replies WHERE endpoint = ? AND request = ?", (endpoint, request))
            ) as rows:
                row = rows.fetchone()
            return None if row is None else Completion.model_validate_json(row[0])
        except (sqlite3.Error, ValidationError) as error:
            raise self._error(error) from error

    def put(self, endpoint: str, request: str, completion: Completion) -> Completion:
        """Keep a reply. Returns the one that is kept: an earlier one for the same request stays."""
        try:
            self._db.execute(
                "INSERT OR IGNORE INTO replies VALUES (?, ?, ?)", (endpoint, request, completion.model_dump_json())
            )
        except sqlite3.Error as error:
            raise self._error(error) from error
        return self.get(endpoint, request) or completion

    def __len__(self) -> int:
        return int(self._db.execute("SELECT count(*) FROM replies").fetchone()[0])

    def close(self) -> None:
        """Closing twice is fine."""
        self._db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _error(self, error: Exception) -> PipelineError:
        return PipelineError(f"{self._path}: cannot be used as a cache of replies: {error}; name another with --cache")
