"""The numbers of a run while it runs: verl's metrics, kept in one file over all attempts, and a line a step."""

from __future__ import annotations

import json
import re
import time
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from astra_train.training.run_folder import write_text

_VALIDATION = re.compile(r"^val-(?:core|aux)/[^/]+/(?P<name>[\w]+)/mean@\d+$")
_EPISODE_NAMES = ("f1", "solve_rate", "calls", "final_answer_correct")
_SHOWN = (
    ("reward", ("critic/score/mean",), ".3f"),
    ("F1", ("episode/f1",), ".3f"),
    ("solved", ("episode/solve_rate",), ".3f"),
    ("calls", ("episode/calls",), ".2f"),
    ("loss", ("train/loss",), ".4f"),
    ("val loss", ("val/loss",), ".4f"),
    ("final right", ("episode/final_answer_correct",), ".3f"),
    ("lr", ("train/lr",), ".2g"),
)
_PHASES = (
    ("all initialize finished", "first rollout"),
    ("actor and ref model engine initialized", "model loaded, starting the rollout engine"),
    ("worker group kwargs", "loading the model"),
    ("train and validate dataloader initialized", "data read, starting workers"),
    ("Started a local Ray instance", "Ray is up"),
    ("ray init kwargs", "starting Ray"),
)
_INTERVALS = 5


@dataclass(frozen=True, slots=True)
class Step:
    """What verl logged for one step."""

    step: int
    data: dict[str, Any]

    @property
    def trained(self) -> bool:
        """Whether the step updated anything; the first validation does not."""
        return "training/global_step" in self.data or "train/loss" in self.data

    @property
    def validation(self) -> dict[str, float]:
        """Means over the held-out envs, by name."""
        found = ((_VALIDATION.match(key), value) for key, value in self.data.items())
        return {match["name"]: float(value) for match, value in found if match and value is not None}


@dataclass(slots=True)
class MetricsFile:
    """Follows the file of one attempt and appends to the run's."""

    attempt: Path
    run: Path
    number: int
    _position: int = 0
    _skip: int = 0
    """Lines at the beginning that were taken over before."""

    def begin(self, resumed_step: int, former: Path | None = None) -> None:
        """Take over what the former attempt logged up to the checkpoint that is resumed from, and no more.

        Args:
            former: the former attempt's own file: what was logged last may not have been taken over when it was killed.
        """
        if former is not None and former.is_file():
            taken = sum(line["attempt"] == self.number - 1 for line in self._lines())
            MetricsFile(former, self.run, self.number - 1, _skip=taken).read()
        if self.run.is_file():
            lines = self.run.read_text(encoding="utf-8").splitlines()
            kept = [line for line in lines if (read := _parse(line)) is not None and read["step"] <= resumed_step]
            write_text(self.run, "".join(line + "\n" for line in kept))

    def _lines(self) -> list[dict[str, Any]]:
        return list(read_metrics(self.run)) if self.run.is_file() else []

    def read(self) -> list[Step]:
        """The steps that were logged since the last call."""
        steps = []
        if not self.attempt.is_file():
            return []
        with self.attempt.open("rb") as stream, self.run.open("a", encoding="utf-8") as out:
            stream.seek(self._position)
            for line in stream:
                if not line.endswith(b"\n"):
                    break
                self._position += len(line)
                read = _parse(line.decode("utf-8", errors="replace"))
                if read is None or not isinstance(read.get("data"), dict):
                    continue
                if self._skip:
                    self._skip -= 1
                    continue
                steps.append(Step(int(read["step"]), read["data"]))
                out.write(json.dumps({"step": read["step"], "attempt": self.number, **read["data"]}) + "\n")
        return steps


def read_metrics(path: Path) -> Iterator[dict[str, Any]]:
    """The lines of a run's metrics.jsonl."""
    for line in path.read_text(encoding="utf-8").splitlines():
        if (read := _parse(line)) is not None:
            yield read


def _parse(line: str) -> dict[str, Any] | None:
    try:
        read = json.loads(line)
    except ValueError:
        return None
    return read if isinstance(read, dict) and isinstance(read.get("step"), int) else None


@dataclass(slots=True)
class StepLines:
    """One readable line a step, with an estimate of what is left."""

    total: int | None
    _times: deque[float] = field(default_factory=lambda: deque([time.monotonic()], _INTERVALS + 1))
    _first: bool = True

    def line(self, step: Step) -> str:
        """The line of one logged step."""
        parts = [f"step {step.step}{f'/{self.total}' if self.total else ''}"]
        parts += [f"{label} {step.data[key]:{form}}" for label, key, form in _present(step.data)]
        if step.trained:
            self._times.append(time.monotonic())
            parts += self._speed(step)
        if step.validation:
            parts.append("held out: " + describe_validation(step.validation))
        return "  ".join(parts)

    def _speed(self, step: Step) -> list[str]:
        measured = step.data.get("timing_s/step")
        mean = (self._times[-1] - self._times[0]) / (len(self._times) - 1)
        if self._first:  # the start is no step
            mean = float(measured) if measured else mean
            self._first = False
            self._times = deque([time.monotonic()], _INTERVALS + 1)
        taken = float(measured) if measured else mean
        tokens = step.data.get("perf/total_num_tokens") or step.data.get("train/global_tokens")
        parts = [f"{float(tokens) / taken:.0f} tokens/s"] if tokens and taken > 0 else []
        parts.append(f"{taken:.1f} s")
        if self.total and step.step < self.total:
            parts.append(f"ETA {duration((self.total - step.step) * mean)}")
        return parts


def _present(data: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    for label, keys, form in _SHOWN:
        key = next((key for key in keys if isinstance(data.get(key), int | float)), None)
        if key is not None:
            yield label, key, form


def describe_validation(means: Mapping[str, float]) -> str:
    """F1, solve rate, calls and final answers of held-out envs, side by side; never F1 alone."""
    labels = dict(zip(_EPISODE_NAMES, ("F1", "solved", "calls", "final right"), strict=True))
    shown = [f"{labels[name]} {means[name]:.3f}" for name in _EPISODE_NAMES if name in means]
    return "  ".join(shown) or f"reward {means.get('reward', float('nan')):.3f}"


def duration(seconds: float) -> str:
    """1h 02m, 3m 20s, 12s."""
    whole = int(seconds)
    if whole >= 3600:
        return f"{whole // 3600}h {whole % 3600 // 60:02d}m"
    return f"{whole // 60}m {whole % 60:02d}s" if whole >= 60 else f"{whole}s"


def phase(log: Path, start: int = 0) -> str:
    """What verl is at before its first step, from its log from byte `start` on."""
    try:
        with log.open("rb") as stream:
            stream.seek(start)
            text = stream.read().decode("utf-8", errors="replace")
    except OSError:
        return "starting"
    return next((name for mark, name in _PHASES if mark in text), "starting")
