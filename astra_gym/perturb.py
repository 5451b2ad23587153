"""Changed arguments for the certificate: what else could have been passed where the gold call passed this.

The changes keep the shape (a code stays a code, a date a date) and prefer values that the env's own tables hold, so
that a tool which only checks the form of its input is found out. No randomness: the same spec gives the same changes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from astra_gym.records import JSON, canonical_json
from astra_gym.types import ToolCall, ToolEnvSpec, ToolFunction

PER_ARGUMENT = 6
_SIBLINGS = 3
_YEAR = re.compile(r"\d{4}")


@dataclass(frozen=True, slots=True)
class Perturbation:
    """A gold call with one argument changed."""

    argument: str
    call: ToolCall


def perturbations(spec: ToolEnvSpec, tool: ToolFunction, call: ToolCall) -> list[Perturbation]:
    """For each required argument of `call` up to `PER_ARGUMENT` calls that differ from it in that argument only."""
    trials: list[Perturbation] = []
    properties = tool.parameters.get("properties", {})
    for name in tool.parameters.get("required", []):
        if name not in call.arguments:
            continue
        value = call.arguments[name]
        schema = properties.get(name, {})
        others = _others(value, schema if isinstance(schema, dict) else {}, spec.data)
        trials += [
            Perturbation(name, ToolCall(call.name, {**call.arguments, name: other}))
            for other in islice(_distinct(others, value), PER_ARGUMENT)
        ]
    return trials


def _distinct(values: Iterator[JSON], gold: JSON) -> Iterator[JSON]:
    seen = {canonical_json(gold)}
    for value in values:
        if (key := canonical_json(value)) not in seen:
            seen.add(key)
            yield value


def _others(value: JSON, schema: dict[str, JSON], data: JSON) -> Iterator[JSON]:
    if isinstance(schema.get("enum"), list):
        yield from schema["enum"]
    if isinstance(value, bool):
        yield not value
    elif isinstance(value, int):
        yield from (value + 1, 2 * value + 3, value * 1000 + 7, value // 2, -value - 7)
    elif isinstance(value, float):
        yield from (value * 1.37 + 1.0, value / 2 - 3.0, value * 1000.0 + 7.5, -value - 7.0)
    elif isinstance(value, str):
        yield from _strings(value, data)
    elif isinstance(value, list):
        yield from _lists(value, data)
    elif isinstance(value, dict):
        for key, item in value.items():
            for other in islice(_distinct(_others(item, {}, data), item), 2):
                yield {**value, key: other}
    else:
        yield "other"


def _strings(value: str, data: JSON) -> Iterator[str]:
    siblings = sorted(_siblings(value, data) - {value})
    step = max(1, len(siblings) // _SIBLINGS)
    yield from islice(siblings[::step], _SIBLINGS)
    if year := _YEAR.search(value):
        for shift in (7, -7):
            yield value[: year.start()] + f"{int(year[0]) + shift:04d}" + value[year.end() :]
    yield "".join(_next(c) for c in value)
    yield value[::-1]
    yield value + "x"


def _next(c: str) -> str:
    """The neighbour of a letter or digit within its own class; any other character is kept."""
    if c.isdecimal() and c.isascii():
        return str((int(c) + 3) % 10)
    if "a" <= c <= "z" or "A" <= c <= "Z":
        return chr(ord(c) + 1) if c not in "zZ" else chr(ord(c) - 25)
    return c


def _lists(value: list[JSON], data: JSON) -> Iterator[list[JSON]]:
    if len(value) > 1:
        yield value[:-1]
        yield value[1:]
    for i, item in enumerate(value[:2]):
        for other in islice(_distinct(_others(item, {}, data), item), 2):
            yield [*value[:i], other, *value[i + 1 :]]
    if value:
        yield [*value, value[0]]


def _siblings(value: str, data: JSON) -> set[str]:
    """Strings that stand in the tables where `value` stands: other keys, list members, the same field of other rows."""
    found: set[str] = set()
    waiting = [data]
    while waiting:
        node = waiting.pop()
        children = list(node.values()) if isinstance(node, dict) else node if isinstance(node, list) else []
        if isinstance(node, dict) and value in node:
            found.update(node)
        if value in (child for child in children if isinstance(child, str)):
            found.update(child for child in children if isinstance(child, str))
        rows = [child for child in children if isinstance(child, dict)]
        for name in {name for row in rows for name, cell in row.items() if cell == value and isinstance(cell, str)}:
            found.update(row[name] for row in rows if isinstance(row.get(name), str))
        waiting += [child for child in children if isinstance(child, dict | list)]
    return found
