"""What a user asks for: one training run."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from astra_train.errors import TrainingError
from astra_train.training.presets import Recipe


@dataclass(frozen=True, slots=True)
class TrainingJob:
    """One run of one recipe; with `dry_run` the model, data and run folder may be left out."""

    recipe: Recipe
    preset: str
    model: str | None = None
    """A Hugging Face folder or id; default: the preset's."""
    data: tuple[Path, ...] = ()
    """Parquet files to train on, or one folder with train.parquet and validation.parquet."""
    validation: tuple[Path, ...] = ()
    """Parquet files of held-out rows; default: what lies in the folder."""
    run: Path | None = None
    """The run folder."""
    resume: bool = False
    dry_run: bool = False
    steps: int | None = None
    """Steps in all, those before a resume included; default: the preset's."""
    seed: int | None = None
    batch_filling: bool | None = None
    """None: as the preset says."""
    overrides: tuple[str, ...] = field(default=())
    """verl's own: key=value, +key=value, ~key."""

    def __post_init__(self) -> None:
        if self.run is not None:
            object.__setattr__(self, "run", self.run.expanduser().resolve())

    @property
    def kind(self) -> str:
        """`sft` or `rl`."""
        return "sft" if self.recipe == "sft" else "rl"


@dataclass(frozen=True, slots=True)
class DataFiles:
    """The parquet files of a run."""

    train: tuple[Path, ...]
    validation: tuple[Path, ...]


_TRAIN = ("train.parquet", "{kind}-train.parquet", "{kind}_train.parquet", "{kind}/train.parquet")
_VALIDATION = tuple(name.replace("train", other) for other in ("validation", "val", "test") for name in _TRAIN)


def find_data(job: TrainingJob) -> DataFiles:
    """The files that a job trains on and validates with.

    Raises: TrainingError when a file or folder is missing or the folder holds no training file of this kind.
    """
    train: list[Path] = []
    validation = [_existing(path) for path in job.validation]
    for path in job.data:
        if path.is_dir():
            train.append(_in_folder(path, _TRAIN, job.kind))
            if not job.validation and (held_out := _first(path, _VALIDATION, job.kind)) is not None:
                validation.append(held_out)
        else:
            train.append(_existing(path))
    return DataFiles(tuple(p.resolve() for p in train), tuple(p.resolve() for p in validation))


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise TrainingError(f"{path}: there is no such data file; `astra data` writes them")
    return path


def _first(folder: Path, names: tuple[str, ...], kind: str) -> Path | None:
    candidates = (folder / name.format(kind=kind) for name in names)
    return next((path for path in candidates if path.is_file()), None)


def _in_folder(folder: Path, names: tuple[str, ...], kind: str) -> Path:
    found = _first(folder, names, kind)
    if found is None:
        there = ", ".join(sorted(p.name for p in folder.iterdir())) or "nothing"
        expected = " or ".join(name.format(kind=kind) for name in names)
        raise TrainingError(f"{folder}: no {kind} training data ({expected}); the folder holds {there}")
    return found
