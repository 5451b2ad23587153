"""`astra synthesize envs`: topics, documents or questions and a language model in, a certified suite out."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from astra_gym.cli.endpoints import one_each
from astra_gym.cli.output import errors, fail, progress_bar
from astra_gym.cli.synthesis_report import show_outcome, show_progress
from astra_gym.errors import PipelineError

if TYPE_CHECKING:
    from astra_gym.env_synthesis.llm.config import SynthesisConfig
    from astra_gym.env_synthesis.llm.items import LlmItem
    from astra_gym.env_synthesis.llm.suite_files import LlmRunReport
    from astra_gym.types import Rejected

_SOURCE, _MODELS, _BUDGET, _RUN = "What to ask for", "Models", "Budget of one item", "Run"

Sources = Annotated[
    list[Path] | None,
    typer.Argument(help="JSONL files, text or Markdown documents or folders of them, a suite: as the mode has it."),
]
Output = Annotated[Path, typer.Option("-o", "--output", help="The suite to write (.jsonl).")]
Config = Annotated[
    Path | None, typer.Option("--config", exists=True, dir_okay=False, help="TOML; the options below go over it.")
]
Mode = Annotated[
    str | None,
    typer.Option(
        help="corpus, domain, context, question, taxonomy, augment or given; documents are a corpus.",
        rich_help_panel=_SOURCE,
    ),
]
Domain = Annotated[
    str | None,
    typer.Option(help="For inputs that name none; in mode domain it may be all there is.", rich_help_panel=_SOURCE),
]
Language = Annotated[str | None, typer.Option(help="en or zh.", rich_help_panel=_SOURCE)]
MinHops = Annotated[int | None, typer.Option(min=1, rich_help_panel=_SOURCE)]
MaxHops = Annotated[int | None, typer.Option(min=1, rich_help_panel=_SOURCE)]
Repeats = Annotated[int | None, typer.Option(min=1, help="Requests for each content.", rich_help_panel=_SOURCE)]
Scenario = Annotated[
    list[str] | None,
    typer.Option(help="Shape and weight, for example 'Multi-Hop=2'; may come often.", rich_help_panel=_SOURCE),
]
Seed = Annotated[int | None, typer.Option(min=0, help="Another seed draws other shapes.", rich_help_panel=_SOURCE)]
License = Annotated[
    str | None,
    typer.Option(help="SPDX identifier of the input's licence; default NOASSERTION.", rich_help_panel=_SOURCE),
]
Attribution = Annotated[str | None, typer.Option(help="Whom that licence asks to be named.", rich_help_panel=_SOURCE)]
Limit = Annotated[int | None, typer.Option(min=1, help="Only the first so many items.", rich_help_panel=_SOURCE)]
Model = Annotated[str | None, typer.Option(help="The writer.", rich_help_panel=_MODELS)]
BaseUrl = Annotated[
    str | None,
    typer.Option(help="OpenAI-compatible endpoint, with /v1; default OPENAI_BASE_URL.", rich_help_panel=_MODELS),
]
JudgeModel = Annotated[
    list[str] | None,
    typer.Option("--judge-model", help="May come often; default: the writer judges.", rich_help_panel=_MODELS),
]
JudgeUrl = Annotated[
    list[str] | None,
    typer.Option("--judge-url", help="One for all judges, or one each; default --base-url.", rich_help_panel=_MODELS),
]
JudgeSamples = Annotated[int | None, typer.Option(min=1, help="Votes of each judge.", rich_help_panel=_MODELS)]
Temperature = Annotated[float | None, typer.Option(min=0.0, help="Of the writer.", rich_help_panel=_MODELS)]
PriceIn = Annotated[
    float | None, typer.Option(min=0.0, help="USD per million prompt tokens, of all models.", rich_help_panel=_MODELS)
]
PriceOut = Annotated[
    float | None, typer.Option(min=0.0, help="USD per million completion tokens.", rich_help_panel=_MODELS)
]
Timeout = Annotated[float | None, typer.Option(help="Seconds for one attempt.", rich_help_panel=_MODELS)]
Retries = Annotated[int | None, typer.Option(min=0, help="Further attempts.", rich_help_panel=_MODELS)]
MaxCalls = Annotated[int | None, typer.Option(min=1, rich_help_panel=_BUDGET)]
MaxTokens = Annotated[int | None, typer.Option(min=1, rich_help_panel=_BUDGET)]
MaxSeconds = Annotated[float | None, typer.Option(rich_help_panel=_BUDGET)]
MaxUsd = Annotated[float | None, typer.Option(rich_help_panel=_BUDGET)]
Concurrency = Annotated[
    int | None, typer.Option(min=1, help="Items and requests at the same time.", rich_help_panel=_RUN)
]
Engine = Annotated[str | None, typer.Option(help="local or ray.", rich_help_panel=_RUN)]
Actors = Annotated[int | None, typer.Option(min=1, help="Ray: processes; default one a core.", rich_help_panel=_RUN)]
Cache = Annotated[
    Path | None, typer.Option(help="SQLite file of replies; default beside the suite.", rich_help_panel=_RUN)
]
Screen = Annotated[
    list[Path] | None,
    typer.Option(
        exists=True, dir_okay=False, help="File to share no question with; may come often.", rich_help_panel=_RUN
    ),
]
Percentile = Annotated[
    float | None,
    typer.Option(min=0.0, max=99.9, help="Keep only what scores above this percentile.", rich_help_panel=_RUN),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Start again; cached replies stay.", rich_help_panel=_RUN)]
AsJson = Annotated[bool, typer.Option("--json", help="Machine-readable output.", rich_help_panel=_RUN)]


def add_to(app: typer.Typer) -> None:
    """Add the command to `astra synthesize`."""
    app.command("envs")(synthesize_envs)


def synthesize_envs(
    output: Output,
    sources: Sources = None,
    config: Config = None,
    mode: Mode = None,
    domain: Domain = None,
    language: Language = None,
    min_hops: MinHops = None,
    max_hops: MaxHops = None,
    repeats: Repeats = None,
    scenario: Scenario = None,
    seed: Seed = None,
    license: License = None,
    attribution: Attribution = None,
    limit: Limit = None,
    model: Model = None,
    base_url: BaseUrl = None,
    judge_model: JudgeModel = None,
    judge_url: JudgeUrl = None,
    judge_samples: JudgeSamples = None,
    temperature: Temperature = None,
    price_in: PriceIn = None,
    price_out: PriceOut = None,
    timeout_s: Timeout = None,
    retries: Retries = None,
    max_calls: MaxCalls = None,
    max_tokens: MaxTokens = None,
    max_seconds: MaxSeconds = None,
    max_usd: MaxUsd = None,
    concurrency: Concurrency = None,
    engine: Engine = None,
    actors: Actors = None,
    cache: Cache = None,
    screen: Screen = None,
    percentile: Percentile = None,
    overwrite: Overwrite = False,
    json: AsJson = False,
) -> None:
    """Envs from topics, documents or questions by a language model; every one certified, every rejection accounted for.

    Stopped by ctrl-C, a kill or a dead endpoint, the same command goes on where it was.
    """
    from astra_gym.env_synthesis.llm.config import check_apart, read_config

    prices = {"price_in": price_in, "price_out": price_out}
    writer = {"model": model, "base_url": base_url, "temperature": temperature, **prices}
    flags: dict[str, Any] = {
        "mode": mode,
        "source": {
            "domain": domain,
            "language": language,
            "min_hops": min_hops,
            "max_hops": max_hops,
            "repeats": repeats,
            "scenarios": _weights(scenario),
            "seed": seed,
            "license": license,
            "attribution": attribution,
        },
        "writer": writer,
        "judges": _judges(judge_model, judge_url, base_url, prices),
        "asking": {"judge_samples": judge_samples, "timeout_s": timeout_s, "retries": retries},
        "budget": {"calls": max_calls, "tokens": max_tokens, "seconds": max_seconds, "usd": max_usd},
        "run": {
            "concurrency": concurrency,
            "engine": engine,
            "actors": actors,
            "cache": cache,
            "screen": screen or None,
            "percentile": percentile,
        },
    }
    paths = sources or []
    merged = read_config(config, flags, paths)
    check_apart([output, merged.run.cache], paths)
    if mode is None:
        errors.print(f"mode {merged.mode}: --mode reads the input otherwise (a file of questions: --mode question)")
    _run_and_show(merged, paths, output, limit, overwrite, json)


def _weights(scenarios: list[str] | None) -> dict[str, float] | None:
    weights: dict[str, float] = {}
    for given in scenarios or ():
        name, _, weight = given.partition("=")
        try:
            weights[name.strip()] = float(weight or 1)
        except ValueError:
            raise typer.BadParameter(
                f"--scenario {given!r}: expected a shape and a weight, like 'Multi-Hop=2'"
            ) from None
    return weights or None


def _judges(
    models: list[str] | None, urls: list[str] | None, base_url: str | None, prices: dict[str, float | None]
) -> list[dict[str, Any]] | None:
    """Models and URLs paired: one URL for all, or one each."""
    if not models:
        if urls:
            raise typer.BadParameter("--judge-url needs --judge-model")
        return None
    each = one_each(models, urls or [], "--judge-model", "--judge-url", base_url)
    known = {name: price for name, price in prices.items() if price is not None}
    return [{"model": name, "base_url": url, **known} for name, url in zip(models, each, strict=True)]


def _run_and_show(
    config: SynthesisConfig, paths: list[Path], output: Path, limit: int | None, overwrite: bool, json: bool
) -> None:
    from astra_gym.env_synthesis.llm.config import source_of
    from astra_gym.env_synthesis.llm.run import run
    from astra_gym.env_synthesis.llm.sources import read_items

    def items() -> Iterator[LlmItem | Rejected]:
        return read_items(config.mode, paths, config.source)

    total = sum(1 for _ in islice(items(), limit))
    if not total:
        raise PipelineError("there is nothing to read in the input")
    last: list[LlmRunReport] = []
    interrupted = False
    with progress_bar(f"synthesize {config.mode}", total, quiet=json) as bar:

        def show(report: LlmRunReport) -> None:
            last[:] = [report]
            show_progress(bar, report)

        try:
            run(
                items,
                output,
                config.plan,
                source=source_of(config, paths),
                limit=limit,
                overwrite=overwrite,
                progress=show,
            )
        except KeyboardInterrupt:
            interrupted = True
        finally:
            bar.stop()
            if last:
                show_outcome(last[-1], total, json)
    if interrupted:
        fail("interrupted; what was finished is kept", exit_code=130)
    report = last[-1]
    if report.unanswered or not report.kept:
        raise typer.Exit(1)
