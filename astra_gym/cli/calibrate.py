"""`astra calibrate`: judge models asked about decompositions of which it is known whether they are sound."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from astra_gym.cli.endpoints import one_each
from astra_gym.cli.output import console, print_json, print_table, progress_bar
from astra_gym.records import JSON

if TYPE_CHECKING:
    from astra_gym.cli.output import Bar
    from astra_gym.env_synthesis.llm.calibration import CalibrationReport, Labelled
    from astra_gym.llm.settings import Endpoint, LlmSettings
    from astra_gym.llm.usage import Usage

Model = Annotated[list[str] | None, typer.Option(help="A judge; may come often, and then a majority decides.")]
BaseUrl = Annotated[
    list[str] | None,
    typer.Option(help="OpenAI-compatible endpoint, with /v1: one for all, or one each; default OPENAI_BASE_URL."),
]
Samples = Annotated[int, typer.Option("--judge-samples", min=1, help="Votes of each judge.")]
Temperature = Annotated[float, typer.Option(min=0.0)]
MaxTokens = Annotated[int, typer.Option(min=1, help="Of one reply.")]
Timeout = Annotated[float, typer.Option(min=0.1, help="Seconds for one attempt.")]
Reasks = Annotated[int, typer.Option(min=0, help="Further questions after a reply that does not fit.")]
ByRule = Annotated[bool, typer.Option("--by-rule", help="No model: the judge knows the truth. Shows the mechanism.")]
Suite = Annotated[
    Path | None, typer.Option(exists=True, help="Certified envs to take; default: the shipped ones made from tables.")
]
Checks = Annotated[list[str] | None, typer.Option("--check", help="Only this one; may come often. Default: all six.")]
Good = Annotated[int, typer.Option(min=1, help="Sound decompositions.")]
PerFlaw = Annotated[int, typer.Option(min=1, help="Broken decompositions of each of the six flaws.")]
Concurrency = Annotated[int, typer.Option(min=1, help="Decompositions and requests at the same time.")]
Cache = Annotated[Path | None, typer.Option(help="SQLite file of replies: asking again costs nothing.")]
AsJson = Annotated[bool, typer.Option("--json", help="Machine-readable output, misjudged decompositions included.")]


def add_to(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command("calibrate")(calibrate)


def calibrate(
    model: Model = None,
    base_url: BaseUrl = None,
    judge_samples: Samples = 1,
    temperature: Temperature = 1.0,
    max_tokens: MaxTokens = 8000,
    timeout_s: Timeout = 120.0,
    reasks: Reasks = 2,
    by_rule: ByRule = False,
    suite: Suite = None,
    check: Checks = None,
    good: Good = 24,
    per_flaw: PerFlaw = 12,
    concurrency: Concurrency = 8,
    cache: Cache = None,
    json: AsJson = False,
) -> None:
    """Measure judges: precision and recall of each check on decompositions that are sound or broken in a known way."""
    from astra_gym.env_synthesis.llm.calibration import CHECKS, labelled_set, table_envs
    from astra_gym.llm.settings import LlmSettings
    from astra_gym.suite import open_suite

    if by_rule == bool(model):
        raise typer.BadParameter("give --model NAME for a judge model, or --by-rule for none")
    checks = tuple(check or CHECKS)
    if unknown := sorted(set(checks) - set(CHECKS)):
        raise typer.BadParameter(f"no check is called {', '.join(unknown)}; there are {', '.join(CHECKS)}")
    labelled = labelled_set(open_suite(suite) if suite else table_envs(), good=good, per_flaw=per_flaw)
    labelled = [one for one in labelled if one.check is None or one.check in checks]
    with progress_bar("calibrate", len(labelled), quiet=json) as bar:
        if by_rule:
            report, usage = asyncio.run(_by_rule(labelled, checks, bar)), None
        else:
            judges = _judges(model or [], base_url or [], temperature, max_tokens)
            settings = LlmSettings(
                writer=judges[0], judges=judges, judge_samples=judge_samples, reasks=reasks, timeout_s=timeout_s
            )
            report, usage = asyncio.run(_by_models(labelled, checks, settings, concurrency, cache, bar))
    if json:
        print_json(_as_json(report, len(labelled), usage))
    else:
        _show(report, len(labelled), usage)


def _judges(models: list[str], urls: list[str], temperature: float, max_tokens: int) -> tuple[Endpoint, ...]:
    from astra_gym.llm.settings import Endpoint

    each = one_each(models, urls, "--model", "--base-url")
    return tuple(
        Endpoint(model=name, base_url=url, temperature=temperature, max_tokens=max_tokens)
        for name, url in zip(models, each, strict=True)
    )


async def _by_rule(labelled: list[Labelled], checks: tuple[str, ...], bar: Bar) -> CalibrationReport:
    from astra_gym.env_synthesis.llm.calibration import RuleJudge, measure

    return await measure(labelled, lambda one: RuleJudge(one.truth), checks=checks, progress=bar.at)


async def _by_models(
    labelled: list[Labelled],
    checks: tuple[str, ...],
    settings: LlmSettings,
    concurrency: int,
    cache: Path | None,
    bar: Bar,
) -> tuple[CalibrationReport, Usage]:
    from astra_gym.env_synthesis.llm.calibration import measure
    from astra_gym.llm.pool import LlmPool
    from astra_gym.llm.session import LlmSession
    from astra_gym.llm.settings import ItemBudget
    from astra_gym.llm.usage import Usage

    sessions: list[LlmSession] = []
    async with LlmPool(settings, cache=cache, concurrency=concurrency, budget=ItemBudget(calls=None)) as pool:

        def judge_of(one: Labelled) -> LlmSession:
            sessions.append(pool.session(one.drafted.item.id))
            return sessions[-1]

        report = await measure(labelled, judge_of, checks=checks, at_once=concurrency, progress=bar.at)
    return report, sum((session.usage for session in sessions), Usage())


def _show(report: CalibrationReport, total: int, usage: Usage | None) -> None:
    columns = ["check", "precision", "recall", "sound", "pass", "fail", "unknown"]
    columns += ["broken", "fail", "pass", "unknown", "agree", "kappa"]
    rows: list[list[object]] = []
    for one in report.checks:
        sound, broken, agreed = one.sound, one.broken, one.agreement
        counts = [sound.total, sound.passed, sound.failed, sound.unknown]
        counts += [broken.total, broken.failed, broken.passed, broken.unknown]
        rows.append([one.check, one.precision, one.recall, *counts, agreed.observed, agreed.kappa])
    print_table(f"Judges on {total} decompositions", columns, rows)
    console.print("sound ones should pass, broken ones fail; unknown never passes, and is no finding")
    if usage is not None:
        console.print(f"{usage.calls} calls, {usage.cached_calls} of them cached, {usage.tokens:,} tokens")


def _as_json(report: CalibrationReport, total: int, usage: Usage | None) -> dict[str, JSON]:
    checks = [
        {**one.model_dump(mode="json"), "precision": one.precision, "recall": one.recall, "kept": one.kept}
        for one in report.checks
    ]
    misses = [miss.model_dump(mode="json") for miss in report.misses]
    return {"decompositions": total, "checks": checks, "misses": misses, "usage": usage and usage.as_json()}
