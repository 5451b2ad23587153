"""The configuration of a run: a TOML file, what the command line says over it, checked as one record."""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import Field, ValidationError

from astra_gym.env_synthesis.llm.items import Mode
from astra_gym.env_synthesis.llm.run import RunPlan
from astra_gym.env_synthesis.llm.sources import SourceOptions
from astra_gym.env_synthesis.llm.sources.documents import SUFFIXES
from astra_gym.env_synthesis.llm.thresholds import Thresholds
from astra_gym.errors import PipelineError
from astra_gym.llm.settings import Asking, Endpoint, ItemBudget, LlmSettings
from astra_gym.records import JSON, Record

MODES: tuple[str, ...] = get_args(Mode)


class Running(Record):
    """How a run is done, and what becomes of its envs beside one another; see `RunPlan`."""

    engine: Literal["local", "ray"] = "local"
    concurrency: int = Field(default=8, ge=1)
    actors: int | None = Field(default=None, ge=1)
    cache: Path | None = None
    screen: tuple[Path, ...] = ()
    percentile: float | None = Field(default=None, ge=0, lt=100)


class SynthesisConfig(Record):
    """The sections of the file."""

    mode: Mode
    source: SourceOptions = SourceOptions()
    writer: Endpoint
    judges: tuple[Endpoint, ...] = ()
    asking: Asking = Asking()
    thresholds: Thresholds = Thresholds()
    budget: ItemBudget = ItemBudget()
    run: Running = Running()

    @property
    def plan(self) -> RunPlan:
        settings = LlmSettings(writer=self.writer, judges=self.judges, **self.asking.model_dump())
        return RunPlan(settings, thresholds=self.thresholds, budget=self.budget, **dict(self.run))


def read_config(file: Path | None, flags: Mapping[str, Any], paths: Sequence[Path]) -> SynthesisConfig:
    """The configuration in `file`, with `flags` (nested as the file is, None where nothing was said) over it.

    Raises: PipelineError that names the file and the field.
    """
    content = {} if file is None else _toml(file)
    merged = _over(content, flags)
    if "mode" not in merged:
        merged["mode"] = _guessed_mode(paths)
    writer = merged.get("writer", {})
    if isinstance(writer, dict) and not writer.get("model"):
        raise PipelineError("name a model with --model, or under [writer] in the file of --config")
    try:
        config = SynthesisConfig.model_validate(merged)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(step) for step in first["loc"])
        raise PipelineError(f"{file or 'the options'}: {where}: {first['msg']}") from error
    _check_prices(config)
    return config


def _toml(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise PipelineError(f"{file}: cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise PipelineError(f"{file}: not TOML: {error}") from error


def _over(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        if isinstance(value, Mapping):
            under = merged.get(key, {})
            if found := _over(under if isinstance(under, Mapping) else {}, value):
                merged[key] = found
        elif value is not None:
            merged[key] = value
    return merged


def _guessed_mode(paths: Sequence[Path]) -> Mode:
    """Documents are a corpus when nothing else is said; for the rest it has to be."""
    if missing := [path for path in paths if not path.exists()]:
        raise PipelineError(f"{missing[0]}: there is no such file or folder")
    if paths and all(path.is_dir() or path.suffix.lower() in SUFFIXES for path in paths):
        return "corpus"
    raise PipelineError(f"say with --mode what the input holds: one of {', '.join(MODES)}")


def _check_prices(config: SynthesisConfig) -> None:
    asked = (config.writer, *config.judges)
    if config.budget.usd is not None and (free := [one.model for one in asked if one.price_in is None]):
        raise PipelineError(f"a budget in USD needs the prices of {free}: --price-in and --price-out, or in the file")


def check_apart(written: Sequence[Path | None], paths: Sequence[Path]) -> None:
    """Raises: PipelineError when a file that the run writes stands in a folder that it reads.

    A second run would find other input there, and could not go on.
    """
    for file in written:
        for path in paths:
            if file is not None and path.is_dir() and file.resolve().is_relative_to(path.resolve()):
                raise PipelineError(f"{file}: stands in {path}, which is read; choose a place outside of it")


def source_of(config: SynthesisConfig, paths: Sequence[Path]) -> dict[str, JSON]:
    """What determines the items: mode, options, and the names and hashes of what was read."""
    return {
        "mode": config.mode,
        "source": config.source.model_dump(mode="json"),
        "files": [[name, digest] for path in paths for name, digest in _hashes(path)],
    }


def _hashes(path: Path) -> list[tuple[str, str]]:
    files = sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]
    try:
        return [(file.relative_to(path.parent).as_posix(), _sha256(file)) for file in files]
    except OSError as error:
        raise PipelineError(f"{error.filename or path}: cannot be read: {error.strerror or error}") from error


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
