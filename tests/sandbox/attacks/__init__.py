"""Tool sources written to break the sandbox, kept as data.

`attacks.jsonl` holds one record a line: `id`, `name`, `category`, `entry` (the tool that is called), `calls`, `source`
and `note`; optionally `library`, `data`, `parameters`, `arguments` (one a call, in turn), `also` (further tools) and
`call_names`. To stay readable it abbreviates: `variants` maps a token to the texts that take its place, one attack
each; `expand` maps a token to a text and how often it stands there; and inside values `{"$nest": 400}` and the like
stand for what `BUILDERS` makes of them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

OWN = tuple(sorted(Path(__file__).parent.glob("*.jsonl")))


@dataclass(frozen=True)
class Attack:
    """One source and how it is called."""

    id: str
    name: str
    category: str
    source: str
    entry: str = "f"
    calls: int = 1
    note: str = ""
    library: str = ""
    data: dict[str, Any] = field(default_factory=dict)
    parameters: dict[str, Any] = field(default_factory=lambda: {"type": "object"})
    arguments: list[dict[str, Any]] = field(default_factory=lambda: [{}])
    also: list[dict[str, str]] = field(default_factory=list)
    call_names: list[str] = field(default_factory=list)


def _nest(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


def _schema_depth(depth: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "object"}
    for _ in range(depth):
        schema = {"type": "object", "properties": {"a": schema}}
    return schema


BUILDERS: dict[str, Callable[..., Any]] = {
    "$nest": _nest,
    "$times": lambda pair: pair[0] * pair[1],
    "$list": lambda pair: [pair[0]] * pair[1],
    "$keys": lambda count: {f"k{number}": number for number in range(count)},
    "$rows": lambda count: [{"k": number} for number in range(count)],
    "$schema_depth": _schema_depth,
}


def build(value: Any) -> Any:
    """`value` with every abbreviation written out."""
    if isinstance(value, list):
        return [build(item) for item in value]
    if isinstance(value, dict):
        if len(value) == 1 and (name := next(iter(value))) in BUILDERS:
            return BUILDERS[name](value[name])
        return {key: build(item) for key, item in value.items()}
    return value


def replace(value: Any, token: str, text: str) -> Any:
    """`value` with `text` for every `token` in its strings."""
    if isinstance(value, str):
        return value.replace(token, text)
    if isinstance(value, list):
        return [replace(item, token, text) for item in value]
    if isinstance(value, dict):
        return {replace(key, token, text): replace(item, token, text) for key, item in value.items()}
    return value


def records(path: Path) -> Iterator[dict[str, Any]]:
    """The records of a list, one for each variant, still abbreviated."""
    for line in path.read_text(encoding="utf-8").splitlines():
        record = json.loads(line)
        variants = record.pop("variants", None)
        if variants is None:
            yield record
            continue
        ((token, texts),) = variants.items()
        for number, text in enumerate(texts, 1):
            made = replace(record, token, text)
            yield {**made, "id": f"{record['id']}.{number}", "name": f"{record['name']}: {text}"}


def attack_of(record: dict[str, Any]) -> Attack:
    """The attack that a record describes."""
    known = {name: record[name] for name in Attack.__dataclass_fields__ if name in record}
    for token, (text, times) in record.get("expand", {}).items():
        known["source"] = known["source"].replace(token, text * times)
    for name in ("data", "parameters", "arguments", "call_names"):
        if name in known:
            known[name] = build(known[name])
    return Attack(**known)
