"""`astra import ...` and `astra synthesize ...`: records or tables in, a certified suite out."""

from __future__ import annotations

import hashlib
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from astra_gym.cli.output import console, errors, print_json, print_table, progress_bar
from astra_gym.records import JSON

if TYPE_CHECKING:
    from astra_gym.env_synthesis.report import RunReport
    from astra_gym.env_synthesis.sources.base import Source

import_app = typer.Typer(help="Somebody else's decompositions -> a certified suite.", no_args_is_help=True)
synthesize_app = typer.Typer(help="New envs -> a certified suite.", no_args_is_help=True)

InputFile = Annotated[Path, typer.Argument(exists=True, dir_okay=False, readable=True, help="JSONL file of records.")]
Output = Annotated[Path, typer.Option("-o", "--output", help="The suite to write (.jsonl).")]
Limit = Annotated[int | None, typer.Option(min=1, help="Read only the first so many records.")]
Workers = Annotated[int | None, typer.Option(min=1, help="Processes; default one a core. Does not change the output.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Start again although the output holds something.")]
SkipBad = Annotated[bool, typer.Option("--skip-bad", help="List unreadable lines as rejected instead of stopping.")]
Version = Annotated[str | None, typer.Option("--data-version", help="Release or commit of the data, for provenance.")]
AsJson = Annotated[bool, typer.Option("--json", help="Machine-readable output.")]
Prefix = Annotated[str | None, typer.Option(help="Start of every env name; default from the file name.")]


@import_app.command("gsm8k")
def import_gsm8k(
    file: InputFile,
    output: Output,
    limit: Limit = None,
    prefix: Prefix = None,
    version: Version = None,
    workers: Workers = None,
    overwrite: Overwrite = False,
    skip_bad: SkipBad = False,
    json: AsJson = False,
) -> None:
    """GSM8K (socratic or plain): each calculation becomes a named arithmetic tool."""
    from astra_gym.env_synthesis.sources.gsm8k import Gsm8kSource

    options: dict[str, Any] = {"limit": limit, "prefix": prefix, "version": version, "skip_bad": skip_bad}
    _run_import(Gsm8kSource(file, **options), file, output, options, workers, overwrite, json)


@import_app.command("two-wiki")
def import_two_wiki(
    file: InputFile,
    output: Output,
    limit: Limit = None,
    prefix: Prefix = None,
    version: Version = None,
    workers: Workers = None,
    overwrite: Overwrite = False,
    skip_bad: SkipBad = False,
    json: AsJson = False,
) -> None:
    """2WikiMultihopQA with evidence triples: each relation becomes a look-up tool."""
    from astra_gym.env_synthesis.sources.two_wiki import TwoWikiSource

    options: dict[str, Any] = {"limit": limit, "prefix": prefix, "version": version, "skip_bad": skip_bad}
    _run_import(TwoWikiSource(file, **options), file, output, options, workers, overwrite, json)


@import_app.command("musique")
def import_musique(
    file: InputFile,
    output: Output,
    limit: Limit = None,
    prefix: Prefix = None,
    version: Version = None,
    workers: Workers = None,
    overwrite: Overwrite = False,
    skip_bad: SkipBad = False,
    json: AsJson = False,
) -> None:
    """MuSiQue: each single-hop question of the decomposition becomes a look-up tool."""
    from astra_gym.env_synthesis.sources.musique import MusiqueSource

    options: dict[str, Any] = {"limit": limit, "prefix": prefix, "version": version, "skip_bad": skip_bad}
    _run_import(MusiqueSource(file, **options), file, output, options, workers, overwrite, json)


def _run_import(
    source: Source,
    file: Path,
    output: Path,
    options: dict[str, JSON],
    workers: int | None,
    overwrite: bool,
    json: bool,
) -> None:
    config = {**options, "file": file.name, "sha256": hashlib.sha256(file.read_bytes()).hexdigest()}
    with file.open("rb") as stream:
        lines = sum(1 for _ in stream)
    total = min(lines, options["limit"] or lines)
    run_and_show(source, output, config, total=total, limit=None, workers=workers, overwrite=overwrite, json=json)


def run_and_show(
    source: Source,
    output: Path,
    config: dict[str, JSON],
    *,
    total: int | None,
    limit: int | None,
    workers: int | None,
    overwrite: bool,
    json: bool,
) -> RunReport:
    """Run with a progress bar, then print what was kept and what was rejected and why."""
    from astra_gym.env_synthesis.runner import run

    with progress_bar(source.name, total, quiet=json) as bar:

        def show(report: RunReport) -> None:
            done = report.kept if limit is not None else report.kept + report.rejected
            bar.at(done, f"{report.kept} kept, {report.rejected} rejected")

        report = run(source, output, config=config, limit=limit, workers=workers, overwrite=overwrite, progress=show)
    if json:
        print_json(as_json(report))
    else:
        show_report(report)
    if limit is not None and report.kept < limit:
        console.print(f"[yellow]the source ended after {report.kept} of the {limit} envs asked for[/]")
        raise typer.Exit(1)
    if not report.kept:
        console.print("[yellow]nothing was kept[/]")
        raise typer.Exit(1)
    return report


def as_json(report: RunReport) -> dict[str, JSON]:
    """The report for machines."""
    return {
        "suite": str(report.suite),
        "rejected_file": str(report.rejected_file),
        "kept": report.kept,
        "rejected": report.rejected,
        "resumed": report.resumed,
        "rejected_by_stage": report.rejected_by_stage,
        "groups": [
            {"domain": domain, "scenario_type": scenario, "hops": hops, "envs": count}
            for (domain, scenario, hops), count in sorted(report.by_group.items())
        ],
    }


def show_report(report: RunReport) -> None:
    """The report for people: kept by domain and hops, rejected by stage and reason."""
    domains = sorted({domain for domain, _, _ in report.by_group})
    hops = sorted({hop for _, _, hop in report.by_group})
    if domains:
        counts = Counter[tuple[str, int]]()
        scenarios = Counter[str]()
        for (domain, scenario, hop), count in report.by_group.items():
            counts[domain, hop] += count
            scenarios[scenario] += count
        print_table(
            f"{report.kept} certified envs",
            ["domain", *(f"{hop} hop{'s' if hop > 1 else ''}" for hop in hops), "all"],
            [[d, *(counts[d, hop] for hop in hops), sum(counts[d, hop] for hop in hops)] for d in domains],
        )
        console.print("by scenario: " + ", ".join(f"{name} {count}" for name, count in sorted(scenarios.items())))
    if report.rejected:
        rows = sorted(report.reasons.items(), key=lambda item: (-item[1], item[0]))
        print_table(
            f"{report.rejected} rejected",
            ["stage", "reason", "items"],
            [[stage, reason, count] for (stage, reason), count in rows[:20]],
        )
        if len(rows) > 20:
            console.print(f"and {len(rows) - 20} more kinds of reason, all in {report.rejected_file}")
    resumed = f" ({report.resumed} items were there already)" if report.resumed else ""
    console.print(f"{report.suite}: {report.kept} envs{resumed}", soft_wrap=True)


@synthesize_app.command("tables")
def synthesize_tables(
    source: Annotated[
        str | None,
        typer.Argument(
            help="Built-in domains, comma separated, or a .csv, .parquet or .sqlite file; default: all built in."
        ),
    ] = None,
    n: Annotated[int, typer.Option("-n", min=1, help="How many certified envs.")] = 100,
    seed: Annotated[int, typer.Option(min=0, help="Another seed gives other envs.")] = 0,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Default: tables-n<N>-seed<SEED>.jsonl")] = None,
    description: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="For your own table: a TOML file with keys, units, relations."),
    ] = None,
    operations: Annotated[
        str | None,
        typer.Option(help="What tools may do, comma separated (lookups, places, aggregates, ...); default everything."),
    ] = None,
    min_hops: Annotated[int, typer.Option(min=1, max=8)] = 1,
    max_hops: Annotated[int, typer.Option(min=1, max=8)] = 8,
    workers: Workers = None,
    overwrite: Overwrite = False,
    json: AsJson = False,
) -> None:
    """Envs from real tables: exact answers by query programs, no LLM, no network."""
    from astra_gym.env_synthesis.sources.tables import TablesSource, summary, tables_source

    if min_hops > max_hops:
        raise typer.BadParameter(f"--min-hops {min_hops} is above --max-hops {max_hops}")
    options: dict[str, Any] = {"seed": seed, "min_hops": min_hops, "max_hops": max_hops}
    if operations is not None:
        options["groups"] = [name.strip() for name in operations.split(",") if name.strip()]
    made: TablesSource = tables_source(source, description=description, **options)
    for own in made.tables.values():
        errors.print(summary(own.description), markup=False)
    target = output or Path(f"tables-n{n}-seed{seed}.jsonl")
    run_and_show(made, target, made.config(), total=n, limit=n, workers=workers, overwrite=overwrite, json=json)
