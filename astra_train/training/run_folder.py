"""The run folder: where everything of one run is, and who is running it.

config.yaml      verl's configuration, resolved        metrics.jsonl   one line a step, over all attempts
command.sh       the command, to run it by hand        tensorboard/    the same for TensorBoard
run.json         recipe, model, data, versions         checkpoints/    verl's, global_step_N
status.json      state, step, error                    rollouts/       sampled episodes, train and validation
log.txt          what verl printed                     attempts/N/     command, metrics of each start or resume
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias, cast

from astra_train.errors import TrainingError

State: TypeAlias = Literal["starting", "running", "finished", "stopped", "failed"]
_LOCK_POLL_S = 0.5


@dataclass(frozen=True, slots=True)
class RunFolder:
    """Paths and small files of one run."""

    path: Path

    @property
    def config(self) -> Path:
        return self.path / "config.yaml"

    @property
    def command(self) -> Path:
        return self.path / "command.sh"

    @property
    def description(self) -> Path:
        return self.path / "run.json"

    @property
    def status(self) -> Path:
        return self.path / "status.json"

    @property
    def log(self) -> Path:
        return self.path / "log.txt"

    @property
    def metrics(self) -> Path:
        return self.path / "metrics.jsonl"

    @property
    def tensorboard(self) -> Path:
        return self.path / "tensorboard"

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def rollouts(self) -> Path:
        return self.path / "rollouts"

    @property
    def hydra(self) -> Path:
        return self.path / "hydra"

    def attempt(self, number: int) -> Path:
        """The folder of one start or resume, counted from 1."""
        return self.path / "attempts" / f"{number:03d}"

    def next_attempt(self) -> int:
        """The number of the next start or resume."""
        attempts = self.path / "attempts"
        numbers = [int(p.name) for p in attempts.iterdir() if p.name.isdigit()] if attempts.is_dir() else []
        return max(numbers, default=0) + 1

    def holds_a_run(self) -> bool:
        """Whether a run was started here."""
        return self.description.is_file() or self.checkpoints.is_dir()

    def describe(self) -> dict[str, Any]:
        """What run.json says. Raises: TrainingError when it is missing or damaged."""
        try:
            return cast("dict[str, Any]", json.loads(self.description.read_text(encoding="utf-8")))
        except (OSError, ValueError) as error:
            raise TrainingError(
                f"{self.description}: cannot be read ({error}); is {self.path} a run folder?"
            ) from error

    def read_status(self) -> dict[str, Any]:
        """What status.json says; empty when there is none."""
        try:
            return cast("dict[str, Any]", json.loads(self.status.read_text(encoding="utf-8")))
        except (OSError, ValueError):
            return {}

    def write_status(self, state: State, **details: Any) -> None:
        """Replace status.json at once; a reader never sees half of it."""
        write_json(self.status, {"state": state, "updated": round(time.time(), 1), **details})

    @contextmanager
    def locked(self, wait_s: float = 20.0) -> Iterator[int]:
        """Hold the run folder; the file descriptor may be inherited, so that a child that outlives us holds it too.

        Args:
            wait_s: how long to wait for a former process that is still ending.

        Raises: TrainingError when another process is running this run.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.path / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
        until = time.monotonic() + wait_s
        try:
            while not _try_lock(descriptor):
                if time.monotonic() > until:
                    raise TrainingError(f"{self.path}: another process is running this run; stop it first")
                time.sleep(_LOCK_POLL_S)
            yield descriptor
        finally:
            os.close(descriptor)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def write_json(path: Path, value: Any) -> None:
    """Write through a temporary file beside it."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write through a temporary file beside it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)
