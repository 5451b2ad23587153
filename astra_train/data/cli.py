"""`astra data sft` and `astra data rl`: a suite in, Parquet for training out, split by content, checked for leaks.

What the commands print with is imported when they run: `astra_gym.cli` itself imports this module.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias, cast

import orjson
import typer

from astra_gym.records import JSON

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from astra_gym.types import ToolEnvSpec
    from astra_train.chat_tokens import ChatTokens
    from astra_train.data.oracle_data import StyleReport
    from astra_train.data.sft import SftReport
    from astra_train.data.split import Split
    from astra_train.data.styles import StyleName

app = typer.Typer(help="Training data from a suite: SFT and RL rows as Parquet.", no_args_is_help=True)

Part: TypeAlias = Literal["train", "validation", "all"]
OnLong: TypeAlias = Literal["error", "drop"]
SuiteArgument = Annotated[Path, typer.Argument(exists=True, help="Suite file or folder.")]
Share = Annotated[float, typer.Option(min=0.01, max=0.99, help="Share of the entities to hold out.")]
SplitSeed = Annotated[int, typer.Option(help="Another seed holds out other entities.")]
Common = Annotated[
    float,
    typer.Option(min=0.0001, max=1.0, help="A text that more of a domain's envs name is no entity; 1: all are."),
]
TrainPart = Annotated[
    str, typer.Option(help="Train on a part of the envs only, as LOW-HIGH: 0-0.7 for SFT and 0.7-1 for RL share none.")
]
Policy = Annotated[Path | None, typer.Option(exists=True, help="Model folder: its tokenizer measures the rows.")]
OnLongOption = Annotated[OnLong, typer.Option(help="What becomes of rows over the limit.")]
SystemPrompt = Annotated[str | None, typer.Option(help="As the agent loop's option of that name.")]
AsJson = Annotated[bool, typer.Option("--json", help="Machine-readable output.")]


@app.command("sft")
def sft(
    suite: SuiteArgument,
    output: Annotated[
        Path, typer.Option("-o", "--output", help="Folder for train.parquet and validation.parquet, or one .parquet.")
    ],
    styles: Annotated[
        str, typer.Option(help="A mix (sequential, cpu, gpu) or styles, comma separated, as name or name=weight.")
    ] = "cpu",
    split: Annotated[Part, typer.Option(help="Which side goes into one .parquet; all: no split.")] = "train",
    validation: Share = 0.2,
    split_seed: SplitSeed = 0,
    common_share: Common = 0.02,
    train_part: TrainPart = "0-1",
    seed: Annotated[int, typer.Option(help="Of the styles drawn and of the episodes.")] = 0,
    per_spec: Annotated[int, typer.Option(min=1, help="Trajectories an env, each in another style.")] = 1,
    policy: Policy = None,
    max_length: Annotated[int | None, typer.Option(min=1, help="Longest row in tokens; needs --policy.")] = None,
    on_long: OnLongOption = "error",
    system_prompt: SystemPrompt = None,
    json: AsJson = False,
) -> None:
    """Play the gold solutions in several styles and write them as SFT rows."""
    from astra_gym.cli.output import print_json
    from astra_train.data.report_tables import sft_json, show_sft

    weights = _weights(styles)
    part = _train_part(train_part)
    if split == "all" and part != (0.0, 1.0):
        raise typer.BadParameter("--train-part is a part of one side; it does not go with --split all")
    whole = None if split == "all" else _split(suite, validation, split_seed, common_share, quiet=json)
    parts = whole and whole.training_part(*part)
    one_file = output.suffix != "" or split == "all"
    sides: tuple[Part, ...] = (split,) if one_file else ("train", "validation")
    told: dict[str, JSON] = {}
    rejected = False
    for side in sides:
        path = output if one_file else output / f"{side}.parquet"
        played = _Play(suite, side, weights, seed, per_spec, system_prompt, parts, train_part)
        written, report = played.write(path, _tokens(policy), max_length, on_long, quiet=json)
        rejected = rejected or bool(report.rejected)
        told[side] = sft_json(path, written, report, measured=policy is not None)
        if not json:
            show_sft(path, written, report, measured=policy is not None)
    if json:
        print_json(told[sides[0]] if one_file else told)
    if rejected:
        raise typer.Exit(1)


@dataclass(frozen=True, slots=True)
class _Play:
    """What to play for one SFT file."""

    suite: Path
    part: Part
    weights: dict[StyleName, float]
    seed: int
    per_spec: int
    system_prompt: str | None
    split: Split | None
    train_part: str

    def write(
        self, path: Path, tokens: ChatTokens | None, max_length: int | None, on_long: OnLong, *, quiet: bool
    ) -> tuple[SftReport, StyleReport]:
        from astra_gym.cli.output import progress_bar
        from astra_gym.suite import open_suite
        from astra_train.data.oracle_data import StyleReport, oracle_trajectories
        from astra_train.data.sft import write_sft

        opened = open_suite(self.suite)
        ids: Sequence[str] = opened.ids
        notes: dict[str, JSON] = {"suite": self.suite.name, "part": self.part}
        if self.split is not None:
            ids = self.split.train if self.part == "train" else self.split.validation
            notes |= _split_notes(self.split) | {"train_part": self.train_part}
        report = StyleReport()
        with progress_bar(f"play {self.part}", len(ids), quiet=quiet) as bar:

            def specs() -> Iterator[ToolEnvSpec]:
                for done, spec_id in enumerate(ids):
                    bar.at(done)
                    yield opened.load(spec_id)

            played = oracle_trajectories(
                specs(),
                seed=self.seed,
                weights=self.weights,
                per_spec=self.per_spec,
                system_prompt=self.system_prompt,
                report=report,
            )
            written = write_sft(path, played, tokens=tokens, max_length=max_length, on_long=on_long, notes=notes)
        return written, report


@app.command("rl")
def rl(
    suite: SuiteArgument,
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder for train.parquet and validation.parquet.")],
    validation: Share = 0.2,
    split_seed: SplitSeed = 0,
    common_share: Common = 0.02,
    train_part: TrainPart = "0-1",
    namespace: Annotated[str, typer.Option(help="Of the env ids.")] = "train",
    seed: Annotated[int, typer.Option(min=0, help="Of the episodes.")] = 0,
    env_kwargs: Annotated[str, typer.Option(help="Options of ToolEnv as a JSON object.")] = "{}",
    faults: Annotated[str, typer.Option(help="Injected faults: a rate, a JSON object or paper.")] = "",
    policy: Policy = None,
    max_prompt: Annotated[int | None, typer.Option(min=1, help="Longest prompt in tokens; needs --policy.")] = None,
    on_long: OnLongOption = "error",
    system_prompt: SystemPrompt = None,
    json: AsJson = False,
) -> None:
    """Split a suite by content and write a row an env for each side; exit 1 when the sides share anything."""
    from astra_train.data.leakage import check_files
    from astra_train.data.report_tables import show_rl
    from astra_train.data.rl import RlOptions, RlReport, write_rl

    bounds = _train_part(train_part)
    parts = _split(suite, validation, split_seed, common_share, quiet=json).training_part(*bounds)
    options = RlOptions(
        namespace=namespace,
        seed=seed,
        env_kwargs=_json_object(env_kwargs, "--env-kwargs"),
        faults=faults or None,
        max_prompt=max_prompt,
        on_long=on_long,
        system_prompt=system_prompt,
    )
    tokens = _tokens(policy)
    reports: dict[str, RlReport] = {}
    for part, ids in (("train", parts.train), ("validation", parts.validation)):
        notes = {"suite": suite.name, "part": part, "train_part": train_part, **_split_notes(parts)}
        reports[part] = write_rl(output / f"{part}.parquet", suite, ids, options=options, tokens=tokens, notes=notes)
    leaks = check_files([output / "train.parquet"], output / "validation.parquet")
    show_rl(output, parts, reports, leaks, json=json)
    if leaks:
        raise typer.Exit(1)


def _split(suite: Path, validation: float, seed: int, common_share: float, *, quiet: bool) -> Split:
    from astra_gym.cli.output import progress_bar
    from astra_gym.suite import open_suite
    from astra_train.data.content import content_of
    from astra_train.data.split import split_contents

    opened = open_suite(suite)
    contents = []
    with progress_bar("read", len(opened), quiet=quiet) as bar:
        for done, spec in enumerate(opened, start=1):
            contents.append(content_of(spec))
            bar.at(done)
    return split_contents(contents, validation=validation, seed=seed, common_share=common_share)


def _train_part(text: str) -> tuple[float, float]:
    """The bounds in LOW-HIGH. Raises: BadParameter."""
    low, _, high = text.partition("-")
    try:
        return float(low), float(high)
    except ValueError:
        raise typer.BadParameter(f"--train-part is LOW-HIGH, for example 0-0.7; found {text!r}") from None


def _split_notes(split: Split) -> dict[str, JSON]:
    return {
        "split_seed": split.seed,
        "validation_share": split.validation_share,
        "common": sorted(split.common),
    }


def _tokens(policy: Path | None) -> ChatTokens | None:
    if policy is None:
        return None
    from transformers import AutoTokenizer

    from astra_train.chat_tokens import ChatTokens

    return ChatTokens(AutoTokenizer.from_pretrained(policy))


def _weights(styles: str) -> dict[StyleName, float]:
    from astra_train.data.styles import MIXES

    if styles in MIXES:
        return dict(MIXES[styles])
    weights: dict[StyleName, float] = {}
    for part in styles.split(","):
        name, _, weight = part.strip().partition("=")
        try:
            weights[cast("StyleName", name)] = float(weight or 1.0)
        except ValueError:
            raise typer.BadParameter(f"--styles: expected name or name=weight, found {part!r}") from None
    return weights


def _json_object(text: str, option: str) -> dict[str, JSON]:
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise typer.BadParameter(f"{option}: not JSON: {error}") from None
    if not isinstance(found, dict):
        raise typer.BadParameter(f"{option}: expected a JSON object, found {text!r}")
    return found
