"""Which programs were vetted on this machine: what allows them to run in process.

The hash inside a downloaded spec proves nothing, since its author wrote both. So the record is kept here: a SQLite file
in the user's cache folder, readable by its owner alone, each row signed with a key that never leaves this machine. A
row that does not verify counts as absent, and so does a store that cannot be opened.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import sqlite3
import sys
import threading
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import orjson

from astra_gym.sandbox.program import Program

KEY_BYTES = 32
WAIT_S = 5.0
_SCHEMA = (
    "CREATE TABLE IF NOT EXISTS vets (key TEXT PRIMARY KEY, record BLOB NOT NULL, mac BLOB NOT NULL) WITHOUT ROWID"
)


@dataclass(frozen=True, slots=True)
class VetRecord:
    """What vetting found out about a program."""

    key: str
    """`Program.key` of what was vetted."""
    stateless: bool
    """Whether no call was seen to change what a later call sees."""
    fuel: int = 0
    """Most fuel that one call used; 0 when it was not measured."""


def cache_dir() -> Path:
    """The folder of this library's local files: `ASTRA_CACHE_DIR`, or the platform's cache folder."""
    if chosen := os.environ.get("ASTRA_CACHE_DIR"):
        return Path(chosen)
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "astra_gym"


class VetStore:
    """The records in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._known: dict[str, VetRecord] = {}
        self._lock = threading.Lock()

    def get(self, key: str) -> VetRecord | None:
        """The record of a key, or None when there is none that verifies."""
        found = self._known.get(key)
        if found is None:
            with suppress(OSError, sqlite3.Error, ValueError, TypeError, KeyError):
                found = self._read(key)
            if found is not None:
                self._known[key] = found
        return found

    def put(self, record: VetRecord) -> bool:
        """Keep a record. Returns whether it could be written."""
        body = orjson.dumps({"stateless": record.stateless, "fuel": record.fuel})
        try:
            with self._lock, self._connect() as connection:
                mac = self._mac(self._secret(create=True), record.key, body)
                connection.execute("INSERT OR REPLACE INTO vets VALUES (?, ?, ?)", (record.key, body, mac))
            connection.close()
        except (OSError, sqlite3.Error):
            return False
        self._known[record.key] = record
        return True

    def _read(self, key: str) -> VetRecord | None:
        if not self._file.exists():
            return None
        secret = self._secret(create=False)
        connection = self._connect()
        try:
            row = connection.execute("SELECT record, mac FROM vets WHERE key = ?", (key,)).fetchone()
        finally:
            connection.close()
        if row is None or not hmac.compare_digest(self._mac(secret, key, row[0]), row[1]):
            return None
        body = orjson.loads(row[0])
        return VetRecord(key, bool(body["stateless"]), int(body["fuel"]))

    @property
    def _file(self) -> Path:
        return self.folder / "vets.sqlite"

    def _connect(self) -> sqlite3.Connection:
        """A connection to the file, which is made (for its owner alone) when it is missing."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with suppress(FileExistsError):
            os.close(os.open(self._file, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        _check_owner(self._file)
        connection = sqlite3.connect(self._file, timeout=WAIT_S, isolation_level="IMMEDIATE")
        connection.execute("PRAGMA synchronous=OFF")  # a record lost with the power only means: not vetted
        connection.execute(_SCHEMA)
        return connection

    def _secret(self, *, create: bool) -> bytes:
        """The signing key of this machine. Raises: OSError when there is none and none may be made."""
        path = self.folder / "vets.key"
        if create and not path.exists():
            draft = self.folder / f".vets.key.{os.getpid()}.{threading.get_ident()}"
            with os.fdopen(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file:
                file.write(secrets.token_bytes(KEY_BYTES))
            try:
                os.link(draft, path)  # the first of several processes wins
            except FileExistsError:
                pass
            finally:
                draft.unlink()
        _check_owner(path)
        secret = path.read_bytes()
        if len(secret) != KEY_BYTES:
            raise OSError(f"{path} is damaged")
        return secret

    @staticmethod
    def _mac(secret: bytes, key: str, body: bytes) -> bytes:
        return hmac.new(secret, key.encode() + b"\0" + body, hashlib.sha256).digest()


def _check_owner(path: Path) -> None:
    """Refuse a file that other users could have written. Raises: OSError."""
    if not hasattr(os, "getuid"):
        return
    status = path.stat()
    if status.st_uid != os.getuid() or status.st_mode & 0o077:
        raise PermissionError(f"{path} must belong to this user and be closed to others")


_stores: dict[Path, VetStore] = {}


def _store() -> VetStore:
    folder = cache_dir()
    return _stores.setdefault(folder, VetStore(folder))


def vetted(program: Program) -> VetRecord | None:
    """The local record of a program, or None when it was not vetted on this machine in this form."""
    return _store().get(program.key)


def record_vet(program: Program, *, stateless: bool, fuel: int = 0) -> VetRecord:
    """Note that a program was vetted here: its calls ran in a locked-down worker and did what they should.

    A store that cannot be written is no error: the program then runs in a worker.
    """
    record = VetRecord(program.key, stateless, fuel)
    _store().put(record)
    return record
