"""Which programs were certified on this very machine: what lets `isolation="auto"` run source in process.

A hash inside a downloaded spec proves nothing, its author wrote both. So a record is made here, after the program has
run in a locked-down worker, and is signed with a key that never leaves this machine. A store that cannot be read or
written, a row that was changed, or another version of policy, library, Python or limits all mean: not vetted.
"""

from __future__ import annotations

import hmac
import os
import secrets
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Protocol

CACHE_DIR_VARIABLE = "ASTRA_CACHE_DIR"
_KEY_BYTES = 32
_BUSY_TIMEOUT_S = 5.0


class HasKey(Protocol):
    """What a record is about: `sandbox.Program`, whose key covers source, tables, policy, versions and limits."""

    @property
    def key(self) -> str: ...


@dataclass(frozen=True, slots=True)
class VetRecord:
    """What was learnt of a program when it was vetted here."""

    key: str
    stateless: bool
    """No call left anything behind that a later call could see, so that an episode need not start from fresh state."""


def cache_dir() -> Path:
    """Where this machine's records lie: `$ASTRA_CACHE_DIR`, else `astra-gym` in the user's cache folder."""
    if chosen := os.environ.get(CACHE_DIR_VARIABLE):
        return Path(chosen)
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "astra-gym"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local")) / "astra-gym"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "astra-gym"


def vetted(program: HasKey) -> VetRecord | None:
    """The record of `program` on this machine, or None."""
    try:
        folder = cache_dir()
        key = _signing_key(folder)
        with _store(folder) as rows:
            row = rows.execute("SELECT stateless, mac FROM vetted WHERE key = ?", (program.key,)).fetchone()
    except (OSError, RuntimeError, sqlite3.Error):
        return None
    if row is None or not hmac.compare_digest(str(row[1]), _mac(key, program.key, bool(row[0]))):
        return None
    return VetRecord(program.key, bool(row[0]))


def record_vet(program: HasKey, *, stateless: bool) -> bool:
    """Remember that `program` was vetted here; returns whether that could be written."""
    try:
        folder = cache_dir()
        mac = _mac(_signing_key(folder), program.key, stateless)
        with _store(folder) as rows:
            rows.execute("INSERT OR REPLACE INTO vetted VALUES (?, ?, ?)", (program.key, int(stateless), mac))
            rows.commit()
    except (OSError, RuntimeError, sqlite3.Error):
        return False
    return True


@contextmanager
def _store(folder: Path) -> Iterator[sqlite3.Connection]:
    path = folder / "vetted.sqlite"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.touch(mode=0o600)
    if not _private(path):
        raise PermissionError(f"{path} belongs to, or can be written by, somebody else")
    with closing(sqlite3.connect(path, timeout=_BUSY_TIMEOUT_S)) as connection:
        connection.execute("PRAGMA synchronous=OFF")  # a record lost with the power only means: not vetted
        connection.execute("CREATE TABLE IF NOT EXISTS vetted (key TEXT PRIMARY KEY, stateless INTEGER, mac TEXT)")
        yield connection


def _signing_key(folder: Path) -> bytes:
    """This machine's key, made when it is first needed."""
    path = folder / "key"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        temporary = path.with_name(f"key.{os.getpid()}.{secrets.token_hex(4)}")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_bytes(_KEY_BYTES))
        try:
            os.link(temporary, path)  # of several processes that start at once, one wins and all read the winner's
        except FileExistsError:
            pass
        finally:
            temporary.unlink()
    if not _private(path):
        raise PermissionError(f"{path} belongs to, or can be read by, somebody else")
    return _read_key(path)


@cache
def _read_key(path: Path) -> bytes:
    key = path.read_bytes()
    if len(key) != _KEY_BYTES:
        raise OSError(f"{path} is not a key")
    return key


def _private(path: Path) -> bool:
    """Whether only this user can read or write `path` (where the platform has owners and modes)."""
    if not hasattr(os, "getuid"):
        return True
    status = path.stat()
    return status.st_uid == os.getuid() and not status.st_mode & 0o077


def _mac(key: bytes, program_key: str, stateless: bool) -> str:
    return hmac.new(key, f"{program_key}:{int(stateless)}".encode(), "sha256").hexdigest()
