"""One training run from the request to its end: check, write the run folder, start verl, follow it."""

from __future__ import annotations

import os
import platform
import shlex
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from astra_train.errors import TrainingError
from astra_train.policies.fingerprint import fingerprint
from astra_train.training.checkpoints import prepare_resume, whole_checkpoints
from astra_train.training.command import (
    AGENT_LOOP,
    Command,
    build_command,
    build_overrides,
    child_environment,
    settings_of,
    value_of,
)
from astra_train.training.errors import PreflightError, StoppedError
from astra_train.training.failure import explain_failure
from astra_train.training.job import DataFiles, TrainingJob, find_data
from astra_train.training.overrides import combine
from astra_train.training.preflight import check_disk, check_model, check_run_folder, checkpoint_bytes, run_validator
from astra_train.training.presets import Preset
from astra_train.training.process import run_child
from astra_train.training.progress import MetricsFile, Step, StepLines, phase
from astra_train.training.run_folder import RunFolder, write_json, write_text
from astra_train.training.validator import Request
from astra_train.versions import SUPPORTED, require_training

DEFAULT_PRESET = "cpu"
_VERSIONS = (*SUPPORTED, "astra-gym", "vllm", "peft", "gymnasium", "numpy", "pyarrow")


@dataclass(frozen=True, slots=True)
class Prepared:
    """A job that was checked, with everything that was found out about it."""

    job: TrainingJob
    preset: Preset
    command: Command
    config: dict[str, Any]
    files: DataFiles
    attempt: int
    model: Path | None
    """The model's folder; None when it is not on this machine."""
    rows: int | None
    unchanged: frozenset[str]
    """Keys of the configuration that have verl's own values."""
    notes: tuple[str, ...]

    @property
    def total_steps(self) -> int | None:
        """Steps in all, as far as they are known before the run."""
        trainer = self.config["trainer"]
        if trainer["total_training_steps"] is not None:
            return int(trainer["total_training_steps"])
        if not self.rows:
            return None
        return self.rows // int(self.config["data"]["train_batch_size"]) * int(trainer["total_epochs"])


def prepare(job: TrainingJob) -> Prepared:
    """Check a job without starting anything.

    Raises: PreflightError with all problems; MissingExtraError when the training libraries are not installed;
        TrainingError for a preset, an override or a data file that cannot be read.
    """
    require_training()
    job = recall(job)
    preset = settings_of(job)
    problems: list[str] = []
    try:
        files = find_data(job)
    except TrainingError as error:
        files = DataFiles((), ())
        problems.append(str(error))
    if not job.data and not job.dry_run:
        problems.append("no data: give --data, a folder or parquet files")
    attempt = RunFolder(job.run).next_attempt() if job.run is not None else 1
    overrides = build_overrides(job, preset, files, attempt)
    key = "model.path" if job.recipe == "sft" else "actor_rollout_ref.model.path"
    named = job.model or value_of(overrides, key, "") or None
    model, wrong, notes = (None, [], []) if named is None and job.dry_run else check_model(named)
    problems += wrong + check_run_folder(job, model)
    environment = {**os.environ, **child_environment(value_of(overrides, "trainer.device", "cuda"))}
    report = run_validator(_request(job, overrides, files, model), environment)
    problems += report.problems
    if report.config is not None and model is not None and job.run is not None:
        each = checkpoint_bytes(model, report.config, job.recipe)
        full, warned = check_disk(job.run, each, report.config, job.recipe)
        problems, notes = problems + full, notes + warned
    if problems or report.config is None:
        raise PreflightError(problems)
    trainer = report.config["trainer"]
    command = build_command(job, overrides, attempt, int(trainer["nnodes"]), int(trainer["n_gpus_per_node"]))
    return Prepared(
        job=job,
        preset=preset,
        command=command,
        config=report.config,
        files=files,
        attempt=attempt,
        model=model,
        rows=report.rows,
        unchanged=frozenset(report.unchanged),
        notes=(*notes, *report.notes),
    )


def recall(job: TrainingJob) -> TrainingJob:
    """What a resumed run was started with, where the job does not say otherwise."""
    if not job.resume or job.run is None or not RunFolder(job.run).description.is_file():
        return replace(job, preset=job.preset or DEFAULT_PRESET)
    before = RunFolder(job.run).describe()
    data = () if job.data else tuple(Path(path) for path in before.get("train_files", ()))
    held_out = () if job.data else tuple(Path(path) for path in before.get("validation_files", ()))
    return replace(
        job,
        preset=job.preset or str(before.get("preset", DEFAULT_PRESET)),
        model=job.model or (before.get("model") or {}).get("path"),
        data=job.data or data,
        validation=job.validation or held_out,
        steps=job.steps if job.steps is not None else before.get("steps"),
        seed=job.seed if job.seed is not None else before.get("seed"),
        batch_filling=before.get("batch_filling") if job.batch_filling is None else job.batch_filling,
        overrides=tuple(combine(before.get("overrides", ()), job.overrides)),
    )


def _request(job: TrainingJob, overrides: list[str], files: DataFiles, model: Path | None) -> Request:
    return Request(
        recipe=job.recipe,
        overrides=overrides,
        model=None if model is None else str(model),
        train=[str(path) for path in files.train],
        validation=[str(path) for path in files.validation],
        agent_loop=value_of(overrides, "actor_rollout_ref.rollout.agent.agent_loop_config_path", str(AGENT_LOOP)),
        dry_run=job.dry_run,
    )


def train(prepared: Prepared, say: Callable[[str], None], working: Callable[[str], None]) -> dict[str, Any]:
    """Run a prepared job to its end.

    Args:
        say: gets one line for each step and event.
        working: gets what is being waited for before the first step.

    Returns: the run folder, the last step and what was logged for it.
    Raises: StoppedError on SIGINT or SIGTERM; TrainingError when verl failed or the folder is in use.
    """
    run = RunFolder(_run_path(prepared.job))
    with run.locked() as lock:
        resumed = _begin(prepared, run, say)
        follower = _Follower(prepared, run, resumed, say, working)
        outcome = run_child(prepared.command.argv, prepared.command.environment, run.log, follower.poll, lock)
        last = whole_checkpoints(run.checkpoints, prepared.job.recipe)
        kept = last[-1].step if last else 0
        if outcome.stopped_by is not None:
            run.write_status("stopped", step=follower.step, checkpoint=kept)
            goes_on = f"it goes on from step {kept}" if kept else "no checkpoint was written yet: it starts again"
            raise StoppedError(f"stopped after step {follower.step}; with --resume {goes_on}")
        if outcome.exit_code != 0:
            message = explain_failure(run.log, outcome.exit_code)
            run.write_status("failed", step=follower.step, checkpoint=kept, error=message)
            raise TrainingError(message)
        run.write_status("finished", step=follower.step, checkpoint=kept)
        return {"run": str(run.path), "step": follower.step, "checkpoint": kept, "metrics": follower.last}


def _run_path(job: TrainingJob) -> Path:
    if job.run is None:
        raise TrainingError("no run folder: give --run FOLDER")
    return job.run.resolve()


def _begin(prepared: Prepared, run: RunFolder, say: Callable[[str], None]) -> int:
    """Write the run folder; returns the step that is resumed from, 0 for a start."""
    job = prepared.job
    step = 0
    if job.resume:
        trainer = prepared.config["trainer"]
        keep = trainer["max_ckpt_to_keep" if job.recipe == "sft" else "max_actor_ckpt_to_keep"]
        found = prepare_resume(run.checkpoints, job.recipe, keep)
        step = found.step if found is not None else 0
        say(f"resuming from the checkpoint of step {step}" if found else "no checkpoint was finished: starting again")
    attempt = run.attempt(prepared.attempt)
    attempt.mkdir(parents=True, exist_ok=True)
    for path in (run.command, attempt / "command.sh"):
        write_text(path, prepared.command.script())
        path.chmod(0o755)
    _write_config(run.config, prepared.config)
    _describe(prepared, run, step)
    run.write_status("starting", step=step)
    return step


def _write_config(path: Path, config: dict[str, Any]) -> None:
    from omegaconf import OmegaConf

    write_text(path, OmegaConf.to_yaml(OmegaConf.create(config), resolve=False))


def _describe(prepared: Prepared, run: RunFolder, resumed_from: int) -> None:
    job = prepared.job
    known = None if prepared.model is None else fingerprint(prepared.model)
    starts: list[Any] = []
    if run.description.is_file():
        starts = list(run.describe().get("starts", []))
    start = {
        "attempt": prepared.attempt,
        "at": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "resumed_from": resumed_from,
        "command": shlex.join(prepared.command.argv),
    }
    write_json(
        run.description,
        {
            "recipe": job.recipe,
            "preset": prepared.preset.name,
            "batch_filling": prepared.preset.batch_filling,
            "overrides": list(job.overrides),
            "steps": job.steps,
            "seed": job.seed,
            "model": {"path": job.model, "fingerprint": known},
            "train_files": [str(path) for path in prepared.files.train],
            "validation_files": [str(path) for path in prepared.files.validation],
            "rows": prepared.rows,
            "total_steps": prepared.total_steps,
            "versions": installed_versions(),
            "starts": [*starts, start],
        },
    )


def installed_versions() -> dict[str, str]:
    """Versions of Python and of what a run depends on."""
    found = {"python": platform.python_version(), "platform": platform.platform()}
    for name in _VERSIONS:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


class _Follower:
    """Reads what verl logs while it runs."""

    def __init__(
        self,
        prepared: Prepared,
        run: RunFolder,
        resumed: int,
        say: Callable[[str], None],
        working: Callable[[str], None],
    ) -> None:
        self._run, self._say, self._working = run, say, working
        self._metrics = MetricsFile(run.attempt(prepared.attempt) / "metrics.jsonl", run.metrics, prepared.attempt)
        former = run.attempt(prepared.attempt - 1) / "metrics.jsonl" if prepared.attempt > 1 else None
        self._metrics.begin(resumed, former)
        self._lines = StepLines(prepared.total_steps)
        self._log_start = run.log.stat().st_size if run.log.is_file() else 0
        self.step = resumed
        self.last: dict[str, Any] = {}

    def poll(self) -> None:
        """Show what is new."""
        for step in self._metrics.read():
            self._show(step)
        if not self.last:
            self._working(phase(self._run.log, self._log_start))

    def _show(self, step: Step) -> None:
        self._say(self._lines.line(step))
        self.step = max(self.step, step.step)
        self.last = step.data
        self._run.write_status("running", step=self.step, total=self._lines.total, pid=os.getpid())


def resume_hint(job: TrainingJob) -> str:
    """The command that goes on with a run."""
    parts = ["astra", "train", job.recipe, "--preset", job.preset, "--run", str(job.run), "--resume"]
    parts += ["--model", job.model] if job.model else []
    parts += [part for path in job.data for part in ("--data", str(path))]
    return shlex.join(parts)


__all__ = ["Prepared", "installed_versions", "prepare", "resume_hint", "train"]
