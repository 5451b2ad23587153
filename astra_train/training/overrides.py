"""verl's command line: settings to hydra overrides and back.

Hydra's grammar: https://hydra.cc/docs/advanced/override_grammar/basic/
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from astra_train.errors import TrainingError
from astra_train.training.presets import Setting

_PLAIN = re.compile(r"^[A-Za-z_./][\w./\-]*$")
_INTERPOLATION = re.compile(r"^\$\{[\w.]+\}$")
_RESERVED = frozenset({"null", "true", "false", "nan", "inf"})
_OVERRIDE = re.compile(r"^(?P<prefix>\+\+|\+|~)?(?P<key>[\w.@/\-]+)(?P<rest>=.*)?$", re.DOTALL)


def render(value: Any) -> str:
    """A value as hydra reads it back: strings are quoted where they could be taken for something else."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, dict):
        return "{" + ",".join(f"{key}:{render(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(render(item) for item in value) + "]"
    text = str(value)
    if _INTERPOLATION.match(text) or (_PLAIN.match(text) and text.lower() not in _RESERVED):
        return text
    if not set(text) & set('"\\'):
        return f'"{text}"'
    escaped = re.sub(r"(\\*)'", r"\1\1\\'", text)
    trailing = len(escaped) - len(escaped.rstrip("\\"))
    return f"'{escaped}{chr(92) * trailing}'"


def as_overrides(settings: Sequence[Setting]) -> list[str]:
    """The settings as hydra overrides, in order."""
    return [f"{setting.key}={render(setting.value)}" for setting in settings]


def split_override(text: str) -> tuple[str, str, str]:
    """Prefix (`+`, `++`, `~` or nothing), key and the rest from `=` on.

    Raises: TrainingError when it is no override.
    """
    found = _OVERRIDE.match(text)
    if found is None or (found["rest"] is None and found["prefix"] != "~"):
        raise TrainingError(f"{text!r} is no override of verl's configuration; write key=value, +key=value or ~key")
    return found["prefix"] or "", found["key"], found["rest"] or ""


def combine(base: Sequence[str], own: Sequence[str]) -> list[str]:
    """The preset's overrides and the user's, which win.

    A user's `key=value` takes the place of the preset's line of the same key; the preset's `+` is kept, so that a user
    need not know which keys verl's configuration lacks. `~key` of a key that only the preset added just leaves it out.
    """
    lines = {split_override(line)[1]: line for line in base}
    for text in own:
        prefix, key, rest = split_override(text)
        before = split_override(lines[key])[0] if key in lines else ""
        if prefix == "~":
            lines.pop(key, None)
            if before != "+":
                lines[key] = text
            continue
        lines.pop(key, None)
        lines[key] = f"{prefix or before}{key}{rest}"
    return list(lines.values())
