"""`astra list`, `check`, `play`, `bench`: what one does with a suite; `eval` is in `evaluate.py`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, TypeAlias

import typer

from astra_gym.cli.output import console, errors, print_json, print_table, progress_bar

Isolation: TypeAlias = Literal["auto", "inprocess", "worker", "require-os"]
SuiteArgument = Annotated[
    Path | None, typer.Argument(exists=True, help="Suite file or folder; default: the shipped suite.")
]
SuiteOption = Annotated[
    Path | None, typer.Option("--suite", exists=True, help="Also register this suite file or folder.")
]
Namespace = Annotated[str, typer.Option(help="Namespace for the ids of --suite.")]
IsolationOption = Annotated[Isolation, typer.Option(help="Where tools run.")]
AsJson = Annotated[bool, typer.Option("--json", help="Machine-readable output.")]
SkipBad = Annotated[bool, typer.Option("--skip-bad", help="Go on without the lines that cannot be read.")]
Workers = Annotated[int | None, typer.Option(min=1, help="Processes; default one a core.")]


def add_to(app: typer.Typer) -> None:
    """Add the commands of this module to `app`."""
    for command in (list_, check, play, bench):
        app.command(command.__name__.rstrip("_"))(command)


def shipped_suite() -> Path:
    """The folder of the shipped suite."""
    from astra_gym.registration import SHIPPED

    return SHIPPED


def list_(suite: SuiteArgument = None, json: AsJson = False) -> None:
    """List the envs of a suite."""
    from astra_gym.suite import open_suite

    specs = list(open_suite(suite or shipped_suite()))
    namespace = "astra/" if suite is None else ""
    rows = [[namespace + s.id, s.domain, s.scenario_type, s.hops, len(s.tools), s.question] for s in specs]
    columns = ["id", "domain", "scenario", "hops", "tools", "question"]
    if json:
        print_json([dict(zip(columns, row, strict=True)) for row in rows])
    else:
        print_table(f"{len(rows)} envs", columns, rows)


def check(
    suite: SuiteArgument = None, skip_bad: SkipBad = False, workers: Workers = None, json: AsJson = False
) -> None:
    """Certify every env of a suite again; exit 1 and a table when one does not hold."""
    from astra_gym.recertify import recertify
    from astra_gym.suite import open_suite

    opened = open_suite(suite or shipped_suite(), skip_bad=skip_bad)
    columns = ["id", "stage", "reason"]
    failed = [[f"line {line}", "read", reason] for line, reason in opened.skipped]
    with progress_bar("check", len(opened), quiet=json) as bar:
        for done, (env_id, rejected) in enumerate(recertify(opened, workers=workers), start=1):
            if rejected is not None:
                failed.append([env_id, rejected.stage, rejected.reason])
            bar.at(done, f"{len(failed)} failed")
    if json:
        rows = [dict(zip(columns, row, strict=True)) for row in failed]
        print_json({"suite": str(opened.path), "envs": len(opened), "failed": rows})
    elif failed:
        print_table(f"{len(failed)} of {len(opened) + len(opened.skipped)} do not hold", columns, failed)
    else:
        console.print(f"{opened.path}: all {len(opened)} envs hold", soft_wrap=True)
    if failed or not len(opened):
        raise typer.Exit(1)


def play(
    env_id: Annotated[str, typer.Argument(help="For example astra/airports-...-v0; see `astra list`.")],
    model: Annotated[
        str, typer.Option(help="oracle, random, human, openai:NAME, hf:DIR or another of `astra eval`.")
    ] = "human",
    base_url: Annotated[str | None, typer.Option(help="OpenAI-compatible endpoint of openai:NAME.")] = None,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    suite: SuiteOption = None,
    namespace: Namespace = "mine",
    isolation: IsolationOption = "auto",
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Append the trajectory to this JSONL.")] = None,
    json: AsJson = False,
) -> None:
    """Play one episode and show it."""
    import astra_gym
    from astra_gym.cli.transcript import show_trajectory
    from astra_gym.models import resolve_model
    from astra_gym.rollout import rollout, write_trajectories

    if suite is not None:
        astra_gym.register_suite(suite, namespace=namespace)
    env = astra_gym.make(env_id, isolation=isolation)
    try:
        trajectory = rollout(env, resolve_model(model, base_url=base_url), seed=seed)
    finally:
        env.close()
    if output is not None:
        write_trajectories(output, [trajectory], append=True)
    if json:
        print_json(trajectory.to_json())
    else:
        show_trajectory(trajectory, skip_question=model == "human")


def bench(
    quick: Annotated[bool, typer.Option("--quick", help="Smaller sizes: under a minute.")] = False,
    json: AsJson = False,
) -> None:
    """Measure the envs on this machine, every figure beside a yardstick of the same run."""
    from astra_gym.bench import run_benchmarks, show_benchmarks

    results = run_benchmarks(quick=quick, report=None if json else lambda name: errors.print(f"measuring {name} ..."))
    print_json(results) if json else show_benchmarks(results)
