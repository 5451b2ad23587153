"""One operation of a query program: a tool with documents and source, and the same computation in plain Python.

The two computations are written apart on purpose: gold answers come from `run`, and the certificate holds only if the
tool's own source, executed in the sandbox, gives the same.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256

from astra_gym.env_synthesis.sources.tables.description import Row
from astra_gym.env_synthesis.sources.tables.kinds import SMALL, Kind
from astra_gym.records import JSON
from astra_gym.types import ToolFunction

World = Mapping[str, Mapping[str, Row]]
"""The rows that one env holds: table name to key to row."""

MAX_NAME = 60


class Undecided(Exception):
    """The operation has no single answer here: nothing found, a tie, a missing cell, a division by zero."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """One required argument of a tool."""

    name: str
    kind: Kind
    description: str
    drawn_from: tuple[str, str] | None = None
    """Table and column whose values a question may state here; without it, the keys of the table of an entity."""

    @property
    def schema(self) -> dict[str, JSON]:
        """Its JSON Schema. Dates have no `format`, so that a random but well-formed date is no likely argument."""
        described: dict[str, JSON] = {"description": self.description}
        if self.kind.base == "entities":
            return {"type": "array", "items": {"type": "string"}, "minItems": 1, **described}
        if self.kind.base == "number":
            return {"type": "number", **described}
        if self.kind.base in SMALL:
            return {"type": "integer", "minimum": 1, **described}
        return {"type": "string", **described}


@dataclass(frozen=True, eq=False)
class Operation:
    """A tool that may occur in a program. `np` and `ask` are wordings with a `{parameter}` for each argument."""

    name: str
    family: str
    """Operations that do the same to different columns; programs mix families."""
    description: str
    parameters: tuple[Parameter, ...]
    output: Kind
    field: str
    """Where the answer stands in the tool's output, an object."""
    noun: str
    """What the result is called when it is spoken of again: "that country"."""
    source: str
    run: Callable[[World, Mapping[str, JSON]], JSON]
    """The answer, computed apart from `source`. Raises Undecided."""
    np: tuple[str, ...]
    """Noun phrases for the result: "the country in which {airport} lies"."""
    ask: tuple[str, ...] = ()
    """Questions of its own, beside those that every noun phrase gives."""
    needs: Mapping[str, frozenset[str]] = dataclasses.field(default_factory=dict)
    """The columns it reads, by table (the key is always there)."""
    decimals: int | None = None
    """To how many decimals the result is rounded, when it is computed."""
    scoped: bool = False
    """Whether the answer depends on which rows the register holds."""
    chooses: bool = False
    """Whether the answer is one of the arguments, so that the question may name it."""

    @cached_property
    def tool(self) -> ToolFunction:
        """The tool as an env holds it."""
        schema: dict[str, JSON] = {
            "type": "object",
            "properties": {parameter.name: parameter.schema for parameter in self.parameters},
            "required": [parameter.name for parameter in self.parameters],
            "additionalProperties": False,
        }
        return ToolFunction(name=self.name, description=self.description, parameters=schema, source=self.source)

    @cached_property
    def documents(self) -> str:
        """All that a model reads of the tool, as one text."""
        parts = [self.name, self.description]
        for parameter in self.parameters:
            parts += [parameter.name, parameter.description]
        return " | ".join(parts)

    @property
    def path(self) -> str:
        return f"/{self.field}"


def tool_name(*parts: str) -> str:
    """The parts as one identifier; a long one is cut and ends in a digest of the whole."""
    name = re.sub(r"_+", "_", "_".join(part for part in parts if part)).strip("_")
    if not name[:1].isalpha():
        name = f"get_{name}"
    if len(name) > MAX_NAME:
        name = f"{name[: MAX_NAME - 6].rstrip('_')}_{sha256(name.encode()).hexdigest()[:5]}"
    return name
