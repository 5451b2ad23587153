"""Presets: files of plain verl overrides, each line with the reason for it.

A file of `astra_train/configs` is a mapping `dotted.key: value  # why`; `include` names files whose lines come first
(later lines win) and `batch_filling` says whether that file's lines are added. A key that verl's own configuration does
not have begins with `+`, as on verl's command line.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias, cast

from astra_train.errors import TrainingError

Recipe: TypeAlias = Literal["sft", "grpo", "ppo"]
RECIPES: tuple[Recipe, ...] = ("sft", "grpo", "ppo")
CONFIGS = Path(__file__).parent.parent / "configs"
"""The packaged presets: RECIPE_NAME.yaml, and what they share in `shared`."""
_LINE = re.compile(r"^(?P<key>[+\w][\w.+]*):\s.*?\s#\s+(?P<why>.+)$")
_META = ("include", "batch_filling")
_MAX_DEPTH = 8


@dataclass(frozen=True, slots=True)
class Setting:
    """One override of verl's configuration."""

    key: str
    """Dotted, with a leading `+` when verl's configuration has no such key."""
    value: Any
    """A YAML value: a number, a string, a list or a mapping."""
    why: str = ""
    """The reason or the source of this value."""


@dataclass(frozen=True, slots=True)
class Preset:
    """The settings of one recipe on one kind of machine."""

    recipe: Recipe
    name: str
    settings: tuple[Setting, ...]
    batch_filling: bool
    """Whether the run fills its batches adaptively unless told otherwise."""

    def with_batch_filling(self, on: bool | None) -> Preset:
        """The preset with its batch filling lines, when `on` (or when None and the preset says so)."""
        wanted = self.batch_filling if on is None else on
        if self.recipe == "sft" or not wanted:
            return Preset(self.recipe, self.name, self.settings, False)
        added, _ = _read(CONFIGS / "shared" / "batch_filling.yaml")
        return Preset(self.recipe, self.name, merge(self.settings, added), True)


def preset_names(recipe: Recipe) -> list[str]:
    """The packaged presets of a recipe."""
    return sorted(path.stem.removeprefix(f"{recipe}_") for path in CONFIGS.glob(f"{recipe}_*.yaml"))


def load_preset(recipe: Recipe, name: str) -> Preset:
    """A packaged preset by its name, or one's own file (a path that ends in .yaml).

    Raises: TrainingError when there is no such preset or its file cannot be used.
    """
    own = name.endswith((".yaml", ".yml"))
    path = Path(name) if own else CONFIGS / f"{recipe}_{name}.yaml"
    if not path.is_file():
        known = ", ".join(preset_names(recipe))
        raise TrainingError(
            f"there is no preset {name!r} for {recipe}; there are: {known}, or a file of your own (.yaml)"
        )
    settings, meta = _read(path)
    return Preset(recipe, path.stem if own else name, settings, bool(meta.get("batch_filling", False)))


def merge(first: tuple[Setting, ...], second: tuple[Setting, ...]) -> tuple[Setting, ...]:
    """Both, a later setting of the same key in the place of the earlier one."""
    merged = {setting.key.lstrip("+"): setting for setting in first}
    for setting in second:
        before = merged.get(setting.key.lstrip("+"))
        key = before.key if before is not None else setting.key
        merged[setting.key.lstrip("+")] = Setting(key, setting.value, setting.why)
    return tuple(merged.values())


def _read(path: Path, depth: int = 0) -> tuple[tuple[Setting, ...], Mapping[str, Any]]:
    """The settings of a file after those it includes, and what else it says."""
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    if depth > _MAX_DEPTH:
        raise TrainingError(f"{path}: presets include each other in a circle")
    try:
        loaded = OmegaConf.to_container(OmegaConf.load(path), resolve=False)
    except (OSError, YAMLError, OmegaConfBaseException) as error:
        raise TrainingError(f"{path}: the preset cannot be read: {error}") from error
    if not isinstance(loaded, dict):
        raise TrainingError(f"{path}: a preset is a mapping of `key: value  # why`, found {type(loaded).__name__}")
    content = cast("dict[str, Any]", loaded)
    settings: tuple[Setting, ...] = ()
    meta: dict[str, Any] = {}
    for name in content.get("include") or ():
        included, inherited = _read(_find(path, str(name)), depth + 1)
        settings, meta = merge(settings, included), {**meta, **inherited}
    reasons = _reasons(path)
    own = tuple(Setting(key, value, reasons.get(key, "")) for key, value in content.items() if key not in _META)
    return merge(settings, own), {**meta, **{key: content[key] for key in _META if key in content}}


def _find(path: Path, name: str) -> Path:
    """An included file: beside the preset, among the shared ones, or a packaged preset."""
    places = (path.parent / f"{name}.yaml", CONFIGS / "shared" / f"{name}.yaml", CONFIGS / f"{name}.yaml")
    for place in places:
        if place.is_file() and place.resolve() != path.resolve():
            return place
    raise TrainingError(f"{path}: includes {name!r}, which is in none of {sorted({str(p.parent) for p in places})}")


def _reasons(path: Path) -> dict[str, str]:
    """The comment behind each line."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return {found["key"]: found["why"].strip() for line in lines if (found := _LINE.match(line))}
