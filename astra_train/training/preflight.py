"""What can be refused before anything is started: versions, model, data, disk, run folder. All problems at once.

These checks import nothing heavy; those that do are in `validator`, which runs in its own process.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from astra_gym.errors import AstraError
from astra_train.errors import TrainingError
from astra_train.policies.fingerprint import differing_parts, fingerprint
from astra_train.policies.weights import read_weight_files
from astra_train.training.checkpoints import checkpoints
from astra_train.training.job import TrainingJob
from astra_train.training.run_folder import RunFolder
from astra_train.training.validator import Report, Request

_HUB_ID = re.compile(r"^[\w.\-]+/[\w.\-]+$")
_ADAM_BYTES, _WEIGHT_BYTES = 8, 4
"""Bytes a parameter: two moments, and the float32 weights that FSDP keeps."""
_SHAPE = ("model_type", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "vocab_size")
_GB = 1e9


def check_model(model: str | None) -> tuple[Path | None, list[str], list[str]]:
    """The model's folder (None when it is not on this machine), problems, notes."""
    if model is None:
        return None, ["no model: give --model DIR, a Hugging Face folder"], []
    folder = Path(model).expanduser()
    if not folder.exists() and _HUB_ID.match(model):
        cached = _cached(model)
        note = [] if cached else [f"{model} is not on this machine: verl downloads it when it starts"]
        return cached, [], note
    if not folder.is_dir():
        return None, [f"{model}: there is no such model folder"], []
    config = folder / "config.json"
    try:
        content = json.loads(config.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        hint = "; an FSDP checkpoint becomes one with `astra train export`" if _is_checkpoint(folder) else ""
        return None, [f"{folder}: no Hugging Face model folder, its config.json cannot be read ({error}){hint}"], []
    problems = []
    if len(content.get("architectures") or []) != 1:
        problems.append(f"{config}: expected one entry in `architectures`, found {content.get('architectures')}")
    problems += read_weight_files(folder).problems
    if not any((folder / name).is_file() for name in ("tokenizer.json", "tokenizer_config.json")):
        problems.append(f"{folder}: holds no tokenizer (tokenizer.json, tokenizer_config.json)")
    return (None if problems else folder.resolve()), problems, []


def _is_checkpoint(folder: Path) -> bool:
    return any(folder.rglob("fsdp_config.json"))


def _cached(model: str) -> Path | None:
    """A hub model that was downloaded before."""
    try:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

        try:
            folder = Path(snapshot_download(model, local_files_only=True))
        except (LocalEntryNotFoundError, HfHubHTTPError, ValueError, OSError):
            return None
    except ImportError:
        return None
    return folder if (folder / "config.json").is_file() else None


def check_run_folder(job: TrainingJob, model: Path | None) -> list[str]:
    """That the folder is free, or holds the run that is to go on."""
    if job.run is None:
        return [] if job.dry_run else ["no run folder: give --run FOLDER"]
    run = RunFolder(job.run)
    if run.path.exists() and not run.path.is_dir():
        return [f"{run.path}: is a file, not a folder"]
    if not run.holds_a_run():
        return [f"{run.path}: holds no run to resume; leave out --resume to start one"] if job.resume else []
    if not job.resume:
        state = run.read_status().get("state", "unknown")
        return [
            f"{run.path}: holds a run already (state: {state}); go on with it by --resume, or choose another folder"
        ]
    try:
        return _same_run(job, run, model)
    except AstraError as error:
        return [str(error)]


def _same_run(job: TrainingJob, run: RunFolder, model: Path | None) -> list[str]:
    """That a run to be resumed trains the same model by the same recipe."""
    before = run.describe()
    problems = []
    if before.get("recipe") != job.recipe:
        problems.append(f"{run.path}: is a run of {before.get('recipe')}, not of {job.recipe}")
    recorded = (before.get("model") or {}).get("fingerprint")
    known = model is not None and recorded is not None
    if known and (differing := differing_parts(str(recorded), fingerprint(str(model)))):
        problems.append(
            f"{run.path}: was started with {before['model'].get('path')}; {model} differs in {', '.join(differing)}"
        )
    return problems + ([] if model is None else _same_shape(run, model))


def _same_shape(run: RunFolder, model: Path) -> list[str]:
    """That the checkpoints in the folder are of this model."""
    wanted = json.loads((model / "config.json").read_text(encoding="utf-8"))
    for checkpoint in checkpoints(run.checkpoints):
        for config in sorted(checkpoint.path.rglob("huggingface/config.json")):
            if "critic" in config.parts:
                continue
            found = json.loads(config.read_text(encoding="utf-8"))
            if differing := [key for key in _SHAPE if key in wanted and found.get(key) != wanted[key]]:
                what = ", ".join(f"{key} {found.get(key)} instead of {wanted[key]}" for key in differing)
                return [f"{checkpoint.path}: is a checkpoint of another model than {model}: {what}"]
    return []


def checkpoint_bytes(model: Path, config: Mapping[str, Any], recipe: str) -> int:
    """About how many bytes one checkpoint takes."""
    parameters = read_weight_files(model).parameters
    section = config if recipe == "sft" else config["actor_rollout_ref"]
    policy = section if recipe == "sft" else section["actor"]
    contents = policy["checkpoint"]["save_contents"]
    lora = int(section["model"].get("lora_rank") or 0) > 0
    per_parameter = _WEIGHT_BYTES * sum(part in contents for part in ("model", "hf_model"))
    if "optimizer" in contents and not lora:
        per_parameter += _ADAM_BYTES
    critic = (_WEIGHT_BYTES + _ADAM_BYTES) if recipe == "ppo" else 0
    return int(parameters * (per_parameter + critic))


def check_disk(folder: Path, each: int, config: Mapping[str, Any], recipe: str) -> tuple[list[str], list[str]]:
    """Problems and notes about room for the checkpoints, those that are there already counted in."""
    trainer = config["trainer"]
    keep = trainer["max_ckpt_to_keep" if recipe == "sft" else "max_actor_ckpt_to_keep"]
    frequency, steps = trainer["save_freq"], trainer["total_training_steps"]
    if keep is None and isinstance(frequency, int) and frequency > 0 and steps:
        keep = -(-int(steps) // frequency)
    kept = 1 if keep is None else int(keep)
    there = sum(path.stat().st_size for path in (folder / "checkpoints").rglob("*") if path.is_file())
    place = next(parent for parent in (folder, *folder.parents) if parent.exists())
    free = shutil.disk_usage(place).free
    needed = max(0, each * kept - there)
    what = (
        f"{place}: {free / _GB:.1f} GB are free, {kept} checkpoint{'s' if kept > 1 else ''} of "
        f"about {each / _GB:.1f} GB need {needed / _GB:.1f} GB"
    )
    if needed > free:
        return [f"{what}; free some, choose another --run, or keep fewer (at least 2)"], []
    return [], [what] if needed > 0.8 * free else []


def run_validator(request: Request, environment: Mapping[str, str]) -> Report:
    """The slow checks. Raises: TrainingError when their process fails itself."""
    with tempfile.TemporaryDirectory(prefix="astra-train-") as folder:
        asked, answered = Path(folder) / "request.json", Path(folder) / "report.json"
        asked.write_text(json.dumps(asdict(request)), encoding="utf-8")
        done = subprocess.run(
            [sys.executable, "-m", "astra_train.training.validator", str(asked), str(answered)],
            env=dict(environment),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode or not answered.is_file():
            tail = "\n".join(done.stderr.strip().splitlines()[-8:])
            raise TrainingError(f"the checks before the start failed themselves (exit {done.returncode}):\n{tail}")
        return Report(**json.loads(answered.read_text(encoding="utf-8")))
