"""`astra eval`: play a suite with one model or several, and show what they solved, side by side."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from astra_gym.cli.output import Bar, console, errors, print_json, progress_bar
from astra_gym.cli.use_suites import AsJson, IsolationOption, SuiteArgument, shipped_suite
from astra_gym.errors import PipelineError

if TYPE_CHECKING:
    from astra_gym.evaluation import EvaluationReport
    from astra_gym.evaluation_log import Key
    from astra_gym.evaluation_plan import EvaluationPlan
    from astra_gym.summary import EpisodeScore

MAX_FAILED = 0.1
"""Share of a model's episodes that may fail before the command does."""
Models = Annotated[
    list[str] | None,
    typer.Option("--model", help="oracle, random, first-tool, every-tool, openai:NAME or hf:DIR; may be repeated."),
]
Ids = Annotated[list[str] | None, typer.Option(help="Only these env ids, * and ? are wildcards; may be repeated.")]
MaxTurns = Annotated[int | None, typer.Option(min=1, help="Turns of an episode; default: what each env says.")]
MaxTokens = Annotated[int | None, typer.Option(min=1, help="Longest assistant turn, in tokens.")]
Concurrency = Annotated[int | None, typer.Option(min=1, help="Episodes at a time; default by the kind of model.")]
Output = Annotated[
    Path | None,
    typer.Option("-o", "--output", help="Write the trajectories to this JSONL; the same command goes on with it."),
]


def add_to(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command("eval")(eval_)


def eval_(
    suite: SuiteArgument = None,
    model: Models = None,
    baselines: Annotated[bool, typer.Option("--baselines", help="Also play the trivial policies.")] = False,
    n_samples: Annotated[int, typer.Option(min=1, help="Episodes of each env.")] = 1,
    base_url: Annotated[str | None, typer.Option(help="OpenAI-compatible endpoint of openai:NAME.")] = None,
    temperature: Annotated[float | None, typer.Option(min=0.0)] = None,
    top_p: Annotated[float | None, typer.Option(min=0.0, max=1.0)] = None,
    top_k: Annotated[int | None, typer.Option(min=-1)] = None,
    max_tokens: MaxTokens = None,
    max_turns: MaxTurns = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first so many envs.")] = None,
    ids: Ids = None,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    faults: Annotated[str | None, typer.Option(help="Injected faults: a rate, `paper` (20 %), or JSON.")] = None,
    concurrency: Concurrency = None,
    isolation: IsolationOption = "auto",
    output: Output = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Start again although the output is there.")] = False,
    json: AsJson = False,
) -> None:
    """Play every env of a suite: F1, solve rate, calls and final answers side by side.

    Solved, and pass@k, mean that every sub-question that needs a tool was solved. Intervals are 95 % bootstraps over
    envs. Episodes whose model or sandbox failed are counted and left out. Several models are compared env by env.
    """
    from astra_gym.evaluation_plan import EvaluationPlan, select_ids
    from astra_gym.models.resolve import BASELINES
    from astra_gym.suite import open_suite

    opened = open_suite(suite or shipped_suite())
    models = tuple(model or () if baselines else model or ("oracle",))
    sampling = {"temperature": temperature, "top_p": top_p, "top_k": top_k, "max_tokens": max_tokens}
    plan = EvaluationPlan(
        opened,
        models,
        tuple(name for name in BASELINES if name not in models) if baselines else (),
        ids=select_ids(opened, ids or (), limit) if ids or limit else None,
        n_samples=n_samples,
        seed=seed,
        max_turns=max_turns,
        sampling={key: value for key, value in sampling.items() if value is not None},
        base_url=base_url,
        faults=faults,
        concurrency=concurrency,
        isolation=isolation,
    )
    if output is not None and output.resolve() == opened.path.resolve():
        raise PipelineError(f"{output}: is the suite itself; choose another --output")
    _run_and_show(plan, output, overwrite, json)


def _run_and_show(plan: EvaluationPlan, output: Path | None, overwrite: bool, json: bool) -> None:
    from astra_gym.cli.evaluation_tables import show_report
    from astra_gym.evaluation_log import EvaluationLog

    settings = plan.settings()
    opening = nullcontext() if output is None else EvaluationLog(output, settings, overwrite=overwrite)
    with opening as log, progress_bar("eval", plan.episodes, quiet=json or "human" in plan.players) as bar:
        resumed = 0 if log is None else len(log.done)
        report = plan.run(log, _Running(bar, resumed).note)
    if json:
        print_json({"settings": settings, **report.model_dump(mode="json")})
    else:
        show_report(report, plan)
        if output is not None:
            again = f", {resumed} of them from before" if resumed else ""
            console.print(f"{output}: {plan.episodes} trajectories{again}", soft_wrap=True)
    if _too_many_failed(report):
        raise typer.Exit(1)


class _Running:
    """What the progress bar says: the model at work and its means so far."""

    def __init__(self, bar: Bar, resumed: int) -> None:
        self._bar = bar
        self._done = resumed
        self._model = ""
        self._sums = [0.0, 0.0, 0.0, 0.0]
        bar.at(resumed)

    def note(self, key: Key, score: EpisodeScore) -> None:
        if key.model != self._model:
            self._model, self._sums = key.model, [0.0, 0.0, 0.0, 0.0]
        new = (1.0, score.f1, score.solved, 0.0) if score.played else (0.0, 0.0, 0.0, 1.0)
        self._sums = [a + b for a, b in zip(self._sums, new, strict=True)]
        played, f1, solved, failed = self._sums
        self._done += 1
        means = f"F1 {f1 / played:.3f}, solved {solved / played:.3f}" if played else ""
        self._bar.at(self._done, f"{key.model}: {means}{f', {failed:.0f} failed' if failed else ''}")


def _too_many_failed(report: EvaluationReport) -> bool:
    """Say which models failed and why. Returns whether one failed in more than `MAX_FAILED` of its episodes."""
    worst = 0.0
    for found in report.models:
        if failed := found.all.failed:
            total = failed + found.all.episodes
            worst = max(worst, failed / total)
            first = found.errors[0] if found.errors else "no reason given"
            errors.print(
                f"{found.model}: {failed} of {total} episodes failed and do not count; the first: {first}",
                markup=False,
                soft_wrap=True,
            )
    return worst > MAX_FAILED
