"""`astra distract`: a suite whose envs have irrelevant tools among their own."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from astra_gym.cli.make_suites import AsJson, Output, Overwrite, Workers, as_json, show_report
from astra_gym.cli.output import console, print_json, print_table, progress_bar
from astra_gym.records import JSON

if TYPE_CHECKING:
    from astra_gym.env_synthesis.report import RunReport

InputSuite = Annotated[Path, typer.Argument(exists=True, help="Suite file or folder.")]
Variant = Annotated[
    Literal["banded", "random", "none"], typer.Option(help="By likeness, as many of any likeness, or no tools at all.")
]
K = Annotated[int, typer.Option("--k", min=1, max=20, help="Tools at most of each band.")]
Bands = Annotated[str, typer.Option(help="Some of high (> 0.85), medium and low (< 0.4), comma separated.")]
Seed = Annotated[int, typer.Option(help="Another seed draws other tools.")]
EmbeddingName = Annotated[str, typer.Option(help="tfidf, openai:NAME or sentence-transformers:NAME.")]
BaseUrl = Annotated[str | None, typer.Option(help="OpenAI-compatible endpoint of openai:NAME.")]
Pool = Annotated[list[Path] | None, typer.Option(exists=True, help="Draw tools from this suite too; repeatable.")]


def add_to(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command("distract")(distract)


def distract(
    suite: InputSuite,
    output: Output,
    variant: Variant = "banded",
    k: K = 3,
    bands: Bands = "high,medium,low",
    seed: Seed = 0,
    embedding: EmbeddingName = "tfidf",
    base_url: BaseUrl = None,
    pool: Pool = None,
    workers: Workers = None,
    overwrite: Overwrite = False,
    json: AsJson = False,
) -> None:
    """Mix tools of other domains into every env of a suite, by likeness, and certify the envs that come out."""
    from astra_gym.distractors import DistractorError, Mixing
    from astra_gym.env_synthesis.runner import run
    from astra_gym.env_synthesis.sources.distracted import DistractedSource
    from astra_gym.suite import open_suite

    names = [name.strip() for name in bands.split(",") if name.strip()]
    try:
        mixing = Mixing.of(variant=variant, k=k, bands=names, seed=seed, embedding=embedding)
    except DistractorError as error:
        raise typer.BadParameter(str(error)) from None
    others = [open_suite(path) for path in pool or []]
    source = DistractedSource(open_suite(suite), mixing, others=others, base_url=base_url)
    total = len(source.suite)
    with progress_bar("distract", total, quiet=json) as bar:

        def show(report: RunReport) -> None:
            bar.at(report.kept + report.rejected, f"{report.kept} kept, {report.rejected} rejected")

        config = source.config()
        report = run(source, output, config=config, workers=workers, overwrite=overwrite, progress=show)
    source.close()
    mixed = _mixed_in(output)
    if json:
        print_json({**as_json(report), "pool": len(source.pool.tools), **mixed})
    else:
        show_report(report)
        _show(len(source.pool.tools), report.kept, mixed)
    if not report.kept:
        raise typer.Exit(1)


def _mixed_in(output: Path) -> dict[str, dict[str, JSON]]:
    """What the envs of a suite had mixed in: envs by band, tools by band, and refused candidates by reason."""
    from astra_gym.suite import open_suite

    envs, tools, refused = Counter[str](), Counter[str](), Counter[str]()
    for spec in open_suite(output) if output.stat().st_size else ():
        envs[spec.distractor_band] += 1
        note = spec.provenance.details.get("distractors", {})
        tools.update(band for band, _ in note.get("tools", {}).values())
        refused.update(note.get("refused", {}))
    return {"envs_by_band": dict(envs), "tools_by_band": dict(tools), "refused_by_reason": dict(refused)}


def _show(pool: int, envs: int, mixed: dict[str, dict[str, JSON]]) -> None:
    in_all = sum(mixed["tools_by_band"].values())
    named = {*mixed["envs_by_band"], *mixed["tools_by_band"]}
    bands = [band for band in ("high", "medium", "low", "random", "none") if band in named]
    rows = [[band, mixed["envs_by_band"].get(band, 0), mixed["tools_by_band"].get(band, 0)] for band in bands]
    print_table("distractors", ["band", "envs (by their highest)", "tools"], rows)
    mean = in_all / envs if envs else 0.0
    console.print(f"{in_all} tools of a pool of {pool} mixed in, {mean:.1f} an env")
    if refused := mixed["refused_by_reason"]:
        console.print("refused: " + ", ".join(f"{count} for {why!r}" for why, count in sorted(refused.items())))
