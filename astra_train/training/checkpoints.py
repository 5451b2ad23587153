"""verl's checkpoints: which are whole, and how a run that was killed goes on from the last one that is.

verl writes checkpoints/global_step_N (actor/ and critic/ below it in RL): weights, optimizer and extra state of each
rank, last `fsdp_config.json`, then the data loader's state, then N into `latest_checkpointed_iteration.txt` (in RL not
at once: a kill can leave that file empty). A kill can come between any two of these.
"""

from __future__ import annotations

import json
import re
import shutil
import zipfile
from dataclasses import dataclass
from pathlib import Path

from astra_train.errors import TrainingError
from astra_train.training.presets import Recipe
from astra_train.training.run_folder import write_text

TRACKER = "latest_checkpointed_iteration.txt"
_STEP = re.compile(r"^global_step_(\d+)$")
_SHARDS = ("model", "optim", "extra_state")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """One step's folder."""

    step: int
    path: Path

    def model_folder(self, recipe: Recipe) -> Path:
        """Where the policy's own files are."""
        return self.path if recipe == "sft" else self.path / "actor"


def checkpoints(folder: Path) -> list[Checkpoint]:
    """All step folders, whole or not, in order."""
    if not folder.is_dir():
        return []
    found = [(int(m[1]), p) for p in folder.iterdir() if p.is_dir() and (m := _STEP.match(p.name))]
    return [Checkpoint(step, path) for step, path in sorted(found)]


def missing_parts(checkpoint: Checkpoint, recipe: Recipe) -> list[str]:
    """What keeps a checkpoint from being whole, as paths below it; empty when it can be resumed from."""
    roles = {"sft": ("",), "grpo": ("actor",), "ppo": ("actor", "critic")}[recipe]
    missing = [part for role in roles for part in _missing_shards(checkpoint.path / role, checkpoint.path)]
    loader = "data_0.pt" if recipe == "sft" else "data.pt"
    return missing if _whole(checkpoint.path / loader) else [*missing, loader]


def whole_checkpoints(folder: Path, recipe: Recipe) -> list[Checkpoint]:
    """The checkpoints that can be resumed from, in order."""
    return [checkpoint for checkpoint in checkpoints(folder) if not missing_parts(checkpoint, recipe)]


def prepare_resume(folder: Path, recipe: Recipe, keep: int | None = None) -> Checkpoint | None:
    """Make `resume_mode=auto` find the last whole checkpoint: drop what a kill left, name the right step.

    Args:
        keep: how many whole checkpoints stay; verl forgets those of the former process. None keeps all.

    Returns: what is resumed from; None when no checkpoint was finished (the run starts again).
    """
    whole = whole_checkpoints(folder, recipe)
    last = whole[-1] if whole else None
    kept = whole if keep is None or keep < 1 else whole[-keep:]
    for checkpoint in checkpoints(folder):
        if checkpoint not in kept:
            shutil.rmtree(checkpoint.path, ignore_errors=True)
    tracker = folder / TRACKER
    if last is None:
        tracker.unlink(missing_ok=True)
    else:
        write_text(tracker, str(last.step))
    return last


def find_checkpoint(folder: Path, recipe: Recipe, step: int | None) -> Checkpoint:
    """The checkpoint of `step`, or the last whole one. Raises: TrainingError when there is none."""
    whole = whole_checkpoints(folder, recipe)
    if not whole:
        raise TrainingError(f"{folder}: holds no whole checkpoint; trainer.save_freq says how often one is written")
    if step is None:
        return whole[-1]
    for checkpoint in whole:
        if checkpoint.step == step:
            return checkpoint
    raise TrainingError(f"{folder}: no whole checkpoint of step {step}; there are {[c.step for c in whole]}")


def _missing_shards(folder: Path, root: Path) -> list[str]:
    config = folder / "fsdp_config.json"
    try:
        ranks = int(json.loads(config.read_text(encoding="utf-8"))["world_size"])
    except (OSError, ValueError, KeyError):
        return [str(config.relative_to(root))]
    names = [f"{part}_world_size_{ranks}_rank_{rank}.pt" for rank in range(ranks) for part in _SHARDS]
    return [str((folder / name).relative_to(root)) for name in names if not _whole(folder / name)]


def _whole(path: Path) -> bool:
    """Whether a file of `torch.save` is there with its end: a zip archive keeps its table of contents last."""
    return path.is_file() and zipfile.is_zipfile(path)
