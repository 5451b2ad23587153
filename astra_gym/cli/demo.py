"""`astra demo`: envs from tables, played, in under two minutes; with --train a policy learns on others like them."""

from __future__ import annotations

from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from astra_gym.cli.output import console, print_table, progress_bar

if TYPE_CHECKING:
    from astra_gym.cli.transcript import Played


TRAINING_DEMO = "astra_gym.demo"
"""Entry point group of modules with `check_demo()` and `run_demo(folder, seed)`, for --train."""


def add_to(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command("demo")(demo)


def demo(
    n: Annotated[int, typer.Option("-n", min=12, help="How many envs to make.")] = 120,
    seed: Annotated[int, typer.Option(min=0, help="Another seed gives other envs.")] = 0,
    output: Annotated[Path, typer.Option("-o", "--output", help="Where the suite goes.")] = Path(
        "runs/demo/suite.jsonl"
    ),
    train: Annotated[
        bool,
        typer.Option("--train", help="Also train a policy: SFT, then GRPO with verl. Needs the extra train."),
    ] = False,
) -> None:
    """Make fresh envs from real tables, certify them, play them with two policies; --train trains a third."""
    from astra_gym.cli.make_suites import run_and_show
    from astra_gym.cli.transcript import show_trajectory
    from astra_gym.env import ToolEnv
    from astra_gym.env_synthesis.sources.tables import tables_source
    from astra_gym.models import OracleModel, RandomModel
    from astra_gym.registration import register_suite
    from astra_gym.rollout import rollout
    from astra_gym.suite import open_suite

    demos = _training_demos() if train else []
    console.rule("[bold]1. Real tables become certified environments", align="left")
    source = tables_source(None, seed=seed)
    run_and_show(source, output, source.config(), total=n, limit=n, workers=None, overwrite=True, json=False)

    console.rule("[bold]2. Two policies play all of them", align="left")
    specs = list(open_suite(output))
    played: dict[str, Played] = {}
    for model in (OracleModel(), RandomModel()):
        trajectories = []
        with progress_bar(f"{model.name} plays", len(specs)) as bar:
            for done, spec in enumerate(specs, start=1):
                with ToolEnv(spec) as env:
                    trajectories.append((spec, rollout(env, model, seed=seed)))
                bar.at(done)
        played[model.name] = trajectories
    for title, key in (("domain", "domain"), ("hops", "hops"), ("scenario", "scenario_type")):
        _compare(title, key, played)

    console.rule("[bold]3. One episode to read", align="left")
    best = max(
        played["oracle"], key=lambda pair: (pair[0].scenario_type == "Parallel Multi-Hop", -abs(pair[0].hops - 3))
    )
    show_trajectory(best[1])
    ids = register_suite(output, namespace="demo")
    for module in demos:
        module.run_demo(output.parent / "training", seed=seed)
    console.rule("[bold]Now you", align="left")
    console.print(f"astra play {ids[0]} --suite {output} --namespace demo    play one yourself", soft_wrap=True)
    console.print("astra list                                               the envs that are shipped", soft_wrap=True)


def _training_demos() -> list[Any]:
    """What is installed for --train. Raises: MissingExtraError when it cannot run, before anything else is done."""
    found = [entry.load() for entry in entry_points(group=TRAINING_DEMO)]
    for module in found:
        module.check_demo()
    return found


def _compare(title: str, key: str, played: dict[str, Played]) -> None:
    """The models side by side, by one property of the envs."""
    from astra_gym.summary import summarize

    groups = sorted({getattr(spec, key) for pairs in played.values() for spec, _ in pairs})
    rows = []
    for group in groups:
        row: list[object] = [group]
        for pairs in played.values():
            summary = summarize([trajectory for spec, trajectory in pairs if getattr(spec, key) == group])
            row += [summary.f1, summary.solve_rate, summary.calls]
        rows.append([*row[:1], summary.episodes, *row[1:]])
    columns = [f"{name} {what}" for name in played for what in ("F1", "solved", "calls")]
    print_table(f"mean F1, share solved entirely and calls an episode, by {title}", [title, "envs", *columns], rows)
