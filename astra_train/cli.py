"""`astra train sft|grpo|ppo|export`: verl's training runs, checked before they start, followed and kept.

Exit codes as of `astra`: 0 done, 1 the training failed, 2 it cannot work as asked, 130 stopped.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from astra_gym.cli.output import console, errors, fail, print_json, print_table

if TYPE_CHECKING:
    from astra_train.training import Prepared
    from astra_train.training.presets import Recipe

app = typer.Typer(help="Train a policy on envs with verl: SFT, GRPO, PPO; export it.", no_args_is_help=True)

Preset = Annotated[
    str | None,
    typer.Option(help="cpu, gpu or paper, a variant (gpu_lora, paper_32b), or your own .yaml; default: cpu."),
]
Model = Annotated[str | None, typer.Option(help="Hugging Face folder to start from; default: the preset's.")]
Data = Annotated[
    list[Path] | None,
    typer.Option("--data", help="Folder with train.parquet and validation.parquet, or parquet files (repeat it)."),
]
Validation = Annotated[
    list[Path] | None, typer.Option("--validation", help="Parquet files of held-out rows, when --data names files.")
]
Run = Annotated[Path | None, typer.Option(help="Folder of the run: log, metrics, checkpoints, sampled episodes.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on from the last whole checkpoint of --run.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Check, show command and settings, start nothing.")]
Steps = Annotated[int | None, typer.Option(min=1, help="Steps in all; default: the preset's.")]
Seed = Annotated[int | None, typer.Option(min=0, help="Of data order, sampling and new weights.")]
BatchFilling = Annotated[
    bool | None, typer.Option("--batch-filling/--no-batch-filling", help="Train only on groups with a signal.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Machine-readable output.")]
Overrides = Annotated[
    list[str] | None, typer.Argument(metavar="[OVERRIDE]...", help="verl's own: key=value, +key=value, ~key.")
]


@app.command("sft")
def sft(
    overrides: Overrides = None,
    preset: Preset = None,
    model: Model = None,
    data: Data = None,
    validation: Validation = None,
    run: Run = None,
    resume: Resume = False,
    dry_run: DryRun = False,
    steps: Steps = None,
    seed: Seed = None,
    json: AsJson = False,
) -> None:
    """Supervised fine-tuning on trajectories (verl's sft_trainer)."""
    _go("sft", overrides, preset, model, data, validation, run, resume, dry_run, steps, seed, None, json)


@app.command("grpo")
def grpo(
    overrides: Overrides = None,
    preset: Preset = None,
    model: Model = None,
    data: Data = None,
    validation: Validation = None,
    run: Run = None,
    resume: Resume = False,
    dry_run: DryRun = False,
    steps: Steps = None,
    seed: Seed = None,
    batch_filling: BatchFilling = None,
    json: AsJson = False,
) -> None:
    """Reinforcement learning as in the paper: no KL, token-level loss, one update a batch (verl's main_ppo)."""
    _go("grpo", overrides, preset, model, data, validation, run, resume, dry_run, steps, seed, batch_filling, json)


@app.command("ppo")
def ppo(
    overrides: Overrides = None,
    preset: Preset = None,
    model: Model = None,
    data: Data = None,
    validation: Validation = None,
    run: Run = None,
    resume: Resume = False,
    dry_run: DryRun = False,
    steps: Steps = None,
    seed: Seed = None,
    batch_filling: BatchFilling = None,
    json: AsJson = False,
) -> None:
    """Reinforcement learning with a critic and GAE (verl's main_ppo)."""
    _go("ppo", overrides, preset, model, data, validation, run, resume, dry_run, steps, seed, batch_filling, json)


@app.command("export")
def export(
    run: Annotated[Path, typer.Argument(help="Folder of the run.")],
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Default: RUN/export/step_N.")] = None,
    step: Annotated[int | None, typer.Option(min=1, help="Which checkpoint; default: the last whole one.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what is at the output.")] = False,
    json: AsJson = False,
) -> None:
    """A plain Hugging Face folder from a run's checkpoint, with tokenizer and chat template; it is loaded once."""
    from astra_train.training.export import export_run

    exported = export_run(run, output, step, overwrite=overwrite)
    if json:
        print_json(exported.to_json())
    else:
        console.print(
            f"{exported.path}: {exported.parameters:,} parameters as {exported.dtype}, step {exported.step}",
            soft_wrap=True,
        )


def _go(
    recipe: Recipe,
    overrides: list[str] | None,
    preset: str | None,
    model: str | None,
    data: list[Path] | None,
    validation: list[Path] | None,
    run: Path | None,
    resume: bool,
    dry_run: bool,
    steps: int | None,
    seed: int | None,
    batch_filling: bool | None,
    json: bool,
) -> None:
    """Check the job, show it, and run it unless it is a dry run."""
    from astra_train.errors import TrainingError
    from astra_train.training import TrainingJob, prepare

    job = TrainingJob(
        recipe=recipe,
        preset=preset or "",
        model=model,
        data=tuple(data or ()),
        validation=tuple(validation or ()),
        run=run,
        resume=resume,
        dry_run=dry_run,
        steps=steps,
        seed=seed,
        batch_filling=batch_filling,
        overrides=tuple(overrides or ()),
    )
    try:
        prepared = prepare(job)
    except TrainingError as error:
        fail(str(error), exit_code=2)
    if not json:
        _show(prepared)
    if dry_run:
        if json:
            print_json(_as_json(prepared))
        return
    _run(prepared, json)


def _show(prepared: Prepared) -> None:
    """The settings that differ from verl's own, with their reasons, and the command."""
    from astra_train.training.table import settings_table

    print_table(
        f"{prepared.job.recipe}, preset {prepared.preset.name}: what is set",
        ["setting", "value", "why"],
        settings_table(prepared),
    )
    console.print("$ " + prepared.command.shown(), soft_wrap=True, markup=False)
    for note in prepared.notes:
        console.print(f"note: {note}", soft_wrap=True, markup=False)


def _as_json(prepared: Prepared) -> dict[str, Any]:
    return {
        "recipe": prepared.job.recipe,
        "preset": prepared.preset.name,
        "command": prepared.command.argv,
        "environment": prepared.command.environment,
        "total_steps": prepared.total_steps,
        "notes": list(prepared.notes),
        "config": prepared.config,
    }


def _run(prepared: Prepared, json: bool) -> None:
    """Run with one line a step on standard error; while waiting, what for."""
    from astra_train.training import train
    from astra_train.training.errors import StoppedError

    waiting = errors.status("starting") if errors.is_terminal and not json else None

    def say(line: str) -> None:
        if waiting is not None:
            waiting.stop()
        if not json:
            errors.print(line, soft_wrap=True, markup=False)

    def working(what: str) -> None:
        if waiting is not None:
            waiting.update(what)

    if waiting is not None:
        waiting.start()
    try:
        result = train(prepared, say, working)
    except StoppedError as error:
        fail(str(error), exit_code=130)
    finally:
        if waiting is not None:
            waiting.stop()
    if json:
        print_json(result)
    else:
        console.print(
            f"{result['run']}: done, step {result['step']}; `astra train export {result['run']}` makes a model folder",
            soft_wrap=True,
        )


def main() -> None:
    """`python -m astra_train.cli`: these commands without `astra`."""
    from astra_gym.errors import AstraError, MissingExtraError

    try:
        app()
    except AstraError as error:
        fail(str(error), exit_code=2 if isinstance(error, MissingExtraError) else 1)
    except BrokenPipeError:
        sys.exit(0)


if __name__ == "__main__":
    main()
