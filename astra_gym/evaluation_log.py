"""The trajectories of an evaluation as a JSONL file that is written as it goes, and gone on with after a kill.

Beside `t.jsonl` stands `t.eval.json` with the settings of the evaluation: the file is gone on with only when they are
the same. Episodes that failed (model or infrastructure) are played again, and the finished file holds the episodes in
their order, so that an evaluation by rules has the same bytes whether or not it was interrupted.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

import orjson

from astra_gym.errors import PipelineError
from astra_gym.records import JSON
from astra_gym.rollout import read_trajectories
from astra_gym.suite.stores import read_lines
from astra_gym.summary import EpisodeScore
from astra_gym.types import Trajectory


class Key(NamedTuple):
    """What tells the episodes of an evaluation apart."""

    model: str
    env_id: str
    seed: int

    @classmethod
    def of(cls, trajectory: Trajectory) -> Key:
        return cls(trajectory.model or "", trajectory.env_id, trajectory.seed)


class EvaluationLog:
    """The file, open for one process at a time."""

    def __init__(self, path: str | Path, settings: Mapping[str, JSON], *, overwrite: bool = False) -> None:
        """Open the file, or begin it.

        Args:
            settings: plain JSON data; all that decides the result.
            overwrite: start again, whatever is there.

        Raises: PipelineError when another evaluation or another kind of file is there, another process writes to it, or
        it cannot be written; TrajectoryError with `file:line` when it is damaged before its last line.
        """
        self.path = Path(path)
        self._mark = self.path.with_suffix(".eval.json")
        self.done: dict[Key, EpisodeScore] = {}
        """The episodes in the file, none of which failed."""
        self._places: dict[Key, tuple[int, int]] = {}
        """Offset and length of the line of each."""
        if self.path.suffix != ".jsonl":
            raise PipelineError(f"{self.path}: trajectories go to a .jsonl file; found the suffix {self.path.suffix!r}")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(self._mark, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise PipelineError(f"{self._mark}: cannot be written: {error.strerror}") from None
        self._fd = -1
        try:
            self._begin(dict(settings), overwrite)
        except BaseException:
            self.close()
            raise

    def _begin(self, settings: dict[str, JSON], overwrite: bool) -> None:
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise PipelineError(f"{self.path}: another process is writing to it; wait, or choose another") from None
        found = os.pread(self._lock, 1 << 24, 0)
        holds = self.path.exists() and self.path.stat().st_size > 0
        if overwrite or not holds:
            self.path.unlink(missing_ok=True)
            os.ftruncate(self._lock, 0)
            os.pwrite(self._lock, orjson.dumps(settings, option=orjson.OPT_INDENT_2) + b"\n", 0)
            os.fsync(self._lock)
        elif difference := _difference(found, settings):
            if not found:
                self._mark.unlink()
            raise PipelineError(f"{self.path}: {difference}; choose another --output, or start again with --overwrite")
        self._fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        self._read()

    def _read(self) -> None:
        """Learn what is done; drop a half-written last line, episodes that failed and repetitions."""
        _cut_half_line(self._fd)
        dropped = False
        with self.path.open("rb") as file:
            for (_, offset, raw), trajectory in zip(
                read_lines(file, self.path), read_trajectories(self.path), strict=True
            ):
                score, key = EpisodeScore.of(trajectory), Key.of(trajectory)
                if score.played and key not in self.done:
                    self.done[key], self._places[key] = score, (offset, len(raw))
                else:
                    dropped = True
        if dropped:
            self._rewrite(self._places)

    def write(self, trajectory: Trajectory) -> None:
        """Append one episode, whole or not at all. Raises: PipelineError when the disk refuses."""
        key, end = Key.of(trajectory), os.fstat(self._fd).st_size
        raw = orjson.dumps(trajectory.to_json()) + b"\n"
        line = memoryview(raw)
        try:
            while line:
                line = line[os.write(self._fd, line) :]
        except OSError as error:
            os.ftruncate(self._fd, end)
            raise PipelineError(
                f"{self.path}: cannot be written: {error.strerror}; what was finished is kept, the same command goes on"
            ) from error
        self.done[key], self._places[key] = EpisodeScore.of(trajectory), (end, len(raw))

    def finish(self, order: Iterable[Key]) -> None:
        """Put the episodes into this order, which must hold all of them, unless they stand in it."""
        wanted = [key for key in order if key in self._places]
        if wanted != list(self._places):
            self._rewrite(wanted)

    def _rewrite(self, keys: Iterable[Key]) -> None:
        """The file with these lines only, in this order; it appears whole or not at all."""
        partial = self.path.with_name(f".{self.path.name}.{os.getpid()}.partial")
        places: dict[Key, tuple[int, int]] = {}
        offset = 0
        try:
            with partial.open("wb") as file:
                for key in keys:
                    start, length = self._places[key]
                    file.write(os.pread(self._fd, length, start))
                    places[key] = (offset, length)
                    offset += length
                file.flush()
                os.fsync(file.fileno())
            partial.replace(self.path)
        finally:
            partial.unlink(missing_ok=True)
        os.close(self._fd)
        self._fd = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)
        self._places = places

    def close(self) -> None:
        """Release the file; closing twice is fine."""
        for fd in (self._fd, self._lock):
            if fd >= 0:
                os.close(fd)
        self._fd = self._lock = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _difference(found: bytes, settings: Mapping[str, JSON]) -> str | None:
    """What is not as it was, None when all is."""
    if not found:
        return "holds something that no evaluation of this kind began"
    try:
        before = orjson.loads(found)
    except orjson.JSONDecodeError:
        before = None
    if not isinstance(before, dict):
        return "the settings beside it (.eval.json) are damaged"
    wanted = orjson.loads(orjson.dumps(settings))
    names = [name for name in {**before, **wanted} if before.get(name) != wanted.get(name)]
    changed = [f"{name} was {_shown(before.get(name))}, now {_shown(wanted.get(name))}" for name in names]
    return f"holds another evaluation: {'; '.join(changed)}" if changed else None


def _shown(value: JSON) -> str:
    text = orjson.dumps(value).decode()
    return text if len(text) <= 100 else f"{text[:97]}..."


def _cut_half_line(fd: int) -> None:
    """End the file at a line end: a last line without one was being written when its process died."""
    end = os.fstat(fd).st_size
    step = 1 << 16
    keep = end
    while keep:
        start = max(0, keep - step)
        newline = os.pread(fd, keep - start, start).rfind(b"\n")
        if newline >= 0:
            keep = start + newline + 1
            break
        keep = start
    if keep != end:
        os.ftruncate(fd, keep)
