"""Wrong calls whose error message says how to mend them: what the style `mistake_recovery` makes on purpose."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from random import Random
from typing import Any, Literal

from astra_gym.records import JSON
from astra_gym.types import ErrorCode, ToolCall, ToolSpec

MistakeKind = Literal["wrong_tool_name", "missing_argument", "misspelt_parameter", "wrong_type"]
MISTAKE_KINDS: tuple[MistakeKind, ...] = ("wrong_tool_name", "missing_argument", "misspelt_parameter", "wrong_type")
_VERBS = ("get", "find", "fetch", "lookup", "search", "query")


@dataclass(frozen=True, slots=True)
class Mistake:
    """A wrong call, and what the error has to say so that the right one follows from it."""

    kind: MistakeKind
    call: ToolCall
    code: ErrorCode
    named: tuple[str, ...]
    """Texts that must stand in the error message."""

    def is_explained_by(self, code: str, message: str) -> bool:
        """Whether this error names all that the repair needs."""
        return code == self.code and all(text in message for text in self.named)


def make_mistake(kind: MistakeKind, call: ToolCall, tools: Collection[ToolSpec], rng: Random) -> Mistake | None:
    """`call` gone wrong in this way; None when it cannot (no argument to leave out, for instance)."""
    tool = next(tool for tool in tools if tool.name == call.name)
    if kind == "wrong_tool_name":
        return _wrong_tool_name(call, {tool.name for tool in tools}, rng)
    names = sorted(call.arguments)
    rng.shuffle(names)
    properties: Mapping[str, Any] = tool.parameters.get("properties") or {}
    for name in names:
        if kind == "missing_argument":
            if name in (tool.parameters.get("required") or ()):
                left = {key: value for key, value in call.arguments.items() if key != name}
                return Mistake(kind, ToolCall(call.name, left), "invalid_arguments", (repr(name),))
        elif kind == "misspelt_parameter":
            wrong = _misspelt(name, set(properties), rng)
            if wrong is not None and tool.parameters.get("additionalProperties") is False:
                renamed = {wrong if key == name else key: value for key, value in call.arguments.items()}
                return Mistake(kind, ToolCall(call.name, renamed), "invalid_arguments", (repr(wrong), repr(name)))
        else:
            wanted = (properties.get(name) or {}).get("type")
            if isinstance(wanted, str):
                changed = {**call.arguments, name: _of_other_type(call.arguments[name])}
                return Mistake(kind, ToolCall(call.name, changed), "invalid_arguments", (f"/{name}", wanted))
    return None


def _wrong_tool_name(call: ToolCall, names: set[str], rng: Random) -> Mistake | None:
    words = call.name.split("_")
    wrong = [f"{rng.choice(_VERBS)}_{call.name}", "".join(words[:1] + [word.capitalize() for word in words[1:]])]
    wrong += ["_".join(words[:i] + words[i + 1 :]) for i in range(1, len(words))]
    if words[0] in _VERBS:
        wrong += ["_".join([verb, *words[1:]]) for verb in _VERBS]
    usable = [name for name in dict.fromkeys(wrong) if name and name not in names and len(name) <= 64]
    if not usable:
        return None
    return Mistake("wrong_tool_name", ToolCall(rng.choice(usable), call.arguments), "unknown_tool", (f"{call.name}",))


def _misspelt(name: str, taken: set[str], rng: Random) -> str | None:
    """A name that one would write by mistake: letters lost or doubled, another case, a word left out."""
    words = name.split("_")
    wrong = [name + "s", name[:-1], re.sub(r"_(\w)", lambda found: found[1].upper(), name), words[0], words[-1]]
    if len(name) > 3:
        place = rng.randrange(1, len(name) - 1)
        wrong += [name[:place] + name[place + 1 :], name[:place] + name[place] + name[place:]]
    usable = [text for text in dict.fromkeys(wrong) if text and text not in taken]
    return rng.choice(usable) if usable else None


def _of_other_type(value: JSON) -> JSON:
    """The value as somebody in a hurry would send it: a number as text, a text in a list, a list as its item."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, list):
        return ", ".join(str(item) for item in value) if value else ""
    return [value]
