"""verl's configuration of a job, composed and checked with verl's own classes, without Ray and without a GPU.

What verl itself would only notice in the middle of a run is checked besides, in `rules`.
"""

from __future__ import annotations

import contextlib
import io
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from astra_gym.nearest import nearest
from astra_train.errors import TrainingError
from astra_train.training.overrides import split_override
from astra_train.training.presets import Recipe
from astra_train.training.rules import broken_rules

if TYPE_CHECKING:
    from omegaconf import DictConfig

CONFIG_NAMES: dict[Recipe, str] = {"sft": "sft_trainer_engine", "grpo": "ppo_trainer", "ppo": "ppo_trainer"}
"""verl's own top configuration of each recipe."""
_UNKNOWN_ARGUMENT = re.compile(r"unexpected keyword argument '(?P<key>\w+)'")
_TARGET = re.compile(r"target '(?P<target>[\w.]+)'")
_INNER = re.compile(
    r"Error in call to target '(?P<target>[\w.]+)':\s*\w+\((?P<quote>['\"])(?P<text>.*)(?P=quote)\)", re.DOTALL
)
_NUMBER_OR_WORD = frozenset({"trainer.save_freq", "trainer.test_freq"})
"""verl's SFT takes `after_each_epoch` besides a number."""
_NO_KEY = re.compile(r"Could not override '(?P<key>[^']+)'|Key '(?P<other>[^']+)' (?:is not in struct|not in)")


def verl_config_folder() -> str:
    """verl's configuration folder, found without importing verl."""
    spec = find_spec("verl")
    if spec is None or not spec.submodule_search_locations:
        raise TrainingError("verl is not installed; do: pip install 'astra-gym[train]'")
    return str(Path(spec.submodule_search_locations[0]) / "trainer" / "config")


def compose(recipe: Recipe, overrides: Sequence[str]) -> DictConfig:
    """verl's configuration with `overrides`, which hydra applies as it would in verl's own command.

    Raises: TrainingError for a line that is no override or a key that verl does not have, with the nearest keys.
    """
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    ours = [text for text in overrides if not split_override(text)[1].startswith("hydra.")]
    GlobalHydra.instance().clear()
    with initialize_config_dir(verl_config_folder(), version_base=None):
        try:
            return hydra_compose(CONFIG_NAMES[recipe], overrides=list(ours))
        except (HydraException, OmegaConfBaseException) as error:
            problem = error
    raise TrainingError(_explain(problem, _keys(recipe))) from problem


def resolved(config: DictConfig) -> dict[str, Any]:
    """Plain values, every reference followed; what has no value yet (`???`) stays."""
    from omegaconf import OmegaConf

    return dict(OmegaConf.to_container(config, resolve=True))


def validate(recipe: Recipe, config: DictConfig, *, model_is_here: bool) -> list[str]:
    """What verl's classes and our own rules have against a configuration; empty when nothing.

    Args:
        model_is_here: whether the model's folder can be read; its own settings are checked by their types only if not.
    """
    problems: dict[str, str] = {}
    check = _validate_sft if recipe == "sft" else _validate_rl
    with _quiet():
        for name, part in check(config, model_is_here):
            try:
                part()
            except Exception as error:  # noqa: BLE001 - whatever verl's classes raise is a finding, and they raise anything
                problems.setdefault(_explain(error, ()), name)
    found = [f"{name}: {text}" for text, name in problems.items()]
    return [*broken_rules(recipe, config), *found]


def _validate_rl(config: DictConfig, model_is_here: bool) -> Iterator[tuple[str, Any]]:
    from verl.trainer.ppo.utils import need_critic, need_reference_policy
    from verl.utils.config import omega_conf_to_dataclass, validate_config

    checked = _without(config, model_is_here)
    critic, reference = need_critic(config), need_reference_policy(config)
    sections = ["algorithm", "actor_rollout_ref.rollout", "actor_rollout_ref.actor"]
    sections += ["critic"] if critic else []
    sections += ["actor_rollout_ref.ref"] if reference else []
    for name in sections:
        yield name, lambda name=name: omega_conf_to_dataclass(_at(checked, name))
    yield "verl's validate_config", lambda: validate_config(checked, reference, critic)
    yield "actor_rollout_ref.model", lambda: _validate_model(config.actor_rollout_ref.model, model_is_here)
    sampler = config.trainer.v1.sampler.custom_sampler
    if sampler.path and sampler.name:
        yield "trainer.v1.sampler.custom_sampler", lambda: _validate_sampler(config)
    dataset = config.data.custom_cls
    if dataset.path and dataset.name:
        yield "data.custom_cls", lambda: _load(dataset.path, dataset.name)


def _validate_sft(config: DictConfig, model_is_here: bool) -> Iterator[tuple[str, Any]]:
    from verl.utils.config import omega_conf_to_dataclass

    for name in ("engine", "optim", "checkpoint", "profiler"):
        yield name, lambda name=name: omega_conf_to_dataclass(_at(config, name))
    yield "model", lambda: _validate_model(config.model, model_is_here)
    dataset = config.data.custom_cls
    if dataset.path and dataset.name:
        yield "data.custom_cls", lambda: _load(dataset.path, dataset.name)


def _validate_model(config: DictConfig, model_is_here: bool) -> None:
    """verl's model class reads the model's folder; without one only names and types are checked."""
    from omegaconf import OmegaConf
    from verl.utils.config import omega_conf_to_dataclass
    from verl.workers.config import HFModelConfig

    if model_is_here:
        omega_conf_to_dataclass(config)
    else:
        OmegaConf.merge(OmegaConf.structured(HFModelConfig), config)


def _validate_sampler(config: DictConfig) -> None:
    sampler = config.trainer.v1.sampler.custom_sampler
    _load(sampler.path, sampler.name)
    if str(sampler.path).startswith("pkg://astra_train.filling"):
        from astra_train.filling.checks import check_filling

        check_filling(config)


def _load(path: str, name: str) -> None:
    from verl.utils.import_utils import load_extern_object

    load_extern_object(path, name)


def as_verl_has_it(recipe: Recipe, config: Mapping[str, Any]) -> list[str]:
    """The keys of a resolved configuration whose values are verl's defaults."""
    found = _leaves(config)
    return [key for key, value in _defaults(recipe).items() if key in found and found[key] == value]


def mistyped(recipe: Recipe, config: Mapping[str, Any]) -> list[str]:
    """Values of a resolved configuration that are no number where verl's default is one."""
    problems = []
    found = _leaves(config)
    for key, default in _defaults(recipe).items():
        number = isinstance(default, int | float) and not isinstance(default, bool)
        if number and isinstance(found.get(key), str) and key not in _NUMBER_OR_WORD:
            problems.append(f"{key}={found[key]!r} is no number; verl's default is {default}")
    return problems


@cache
def _defaults(recipe: Recipe) -> dict[str, Any]:
    return _leaves(resolved(compose(recipe, ())))


def _leaves(value: Any, path: str = "") -> dict[str, Any]:
    """Dotted key -> value, of everything that is no mapping (an empty one counts)."""
    if not isinstance(value, Mapping) or not value:
        return {path: value} if path else {}
    found: dict[str, Any] = {}
    for key, item in value.items():
        found |= _leaves(item, f"{path}.{key}" if path else str(key))
    return found


def _without(config: DictConfig, model_is_here: bool) -> DictConfig:
    """A copy without what this machine lacks: the model's folder, and vLLM when only its LoRA ranks are looked up."""
    from omegaconf import OmegaConf, open_dict

    copy = cast("DictConfig", OmegaConf.create(OmegaConf.to_container(config, resolve=True)))
    with open_dict(copy):
        if not model_is_here:
            copy.critic.model = None
        if copy.actor_rollout_ref.rollout.name == "vllm" and find_spec("vllm") is None:
            copy.actor_rollout_ref.rollout.name = "hf"
    return copy


def _keys(recipe: Recipe) -> list[str]:
    """All dotted keys that verl has, of sections too."""
    keys = list(_defaults(recipe))
    return sorted({".".join(key.split(".")[:n]) for key in keys for n in range(1, key.count(".") + 2)})


def _explain(error: BaseException, known: Sequence[str]) -> str:
    """An error of hydra or of verl's classes in one line, with the nearest keys of an unknown one."""
    text = str(error)
    if (missing := _NO_KEY.search(text)) is not None:
        key = missing["key"] or missing["other"]
        near = nearest(key, known, 3)
        hint = f"; the nearest are {', '.join(near)}" if near else ""
        return f"verl's configuration has no {key!r}{hint} (a key of your own begins with +)"
    unknown, target = _UNKNOWN_ARGUMENT.search(text), _TARGET.search(text)
    if unknown is not None and target is not None:
        near = nearest(unknown["key"], _fields(target["target"]), 3)
        hint = f"; the nearest are {', '.join(near)}" if near else ""
        return f"{target['target'].rpartition('.')[2]} has no {unknown['key']!r}{hint}"
    if (inner := _INNER.search(text)) is not None:
        text = inner["text"]
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return " ".join(lines[:4]) or type(error).__name__


def _fields(target: str) -> list[str]:
    import dataclasses
    from importlib import import_module

    module, _, name = target.rpartition(".")
    try:
        return [field.name for field in dataclasses.fields(getattr(import_module(module), name))]
    except (ImportError, AttributeError, TypeError):
        return []


def _at(config: DictConfig, path: str) -> Any:
    from omegaconf import OmegaConf

    return OmegaConf.select(config, path)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """verl's checks print and warn on success too."""
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
