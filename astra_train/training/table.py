"""What a person needs to see of a run's settings before it starts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from astra_train.training.overrides import split_override

if TYPE_CHECKING:
    from astra_train.training.run import Prepared

_HIDDEN = ("hydra.", "ray_kwargs.ray_init.runtime_env.env_vars.")


def settings_table(prepared: Prepared) -> list[list[object]]:
    """(setting, value, why) of all that is not as verl has it: of the preset, of this run, and the user's own."""
    reasons = {setting.key.lstrip("+"): setting.why for setting in prepared.preset.settings}
    preset = {setting.key.lstrip("+"): setting.value for setting in prepared.preset.settings}
    own = {split_override(text)[1] for text in prepared.job.overrides}
    rows: list[list[object]] = []
    for text in prepared.command.overrides:
        _, key, rest = split_override(text)
        if key.startswith(_HIDDEN) or (key in prepared.unchanged and key not in own):
            continue
        value = _value(prepared.config, key)
        if key in own:
            why = f"yours; the preset has {preset[key]}" if key in preset else "yours"
        else:
            why = reasons.get(key, "this run")
        rows.append([key, rest[1:] if value is None else _short(value), why])
    return rows


def _value(config: dict[str, Any], key: str) -> Any:
    value: Any = config
    for part in key.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 80 else f"{text[:40]} ... {text[-36:]}"
