"""A program: the tools of one env with everything they may see; what executors run and vet records are about."""

from __future__ import annotations

import hashlib
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from importlib.metadata import version
from pathlib import Path

import orjson

from astra_gym.errors import SpecError
from astra_gym.records import JSON, canonical_json
from astra_gym.sandbox.limits import Limits
from astra_gym.sandbox.session import Loader, ProgramParts, load_program
from astra_gym.types import ToolEnvSpec, ToolFunction

GLOBAL_NAME = re.compile(r"[A-Z][A-Z0-9_]*")
_PACKAGE = Path(__file__).parent


@dataclass(frozen=True, eq=False)
class Program:
    """Tools with their shared library, tables and clock."""

    tools: tuple[ToolFunction, ...]
    library: str = ""
    """Source that runs before the tools; the names it defines are visible to each."""
    data: Mapping[str, JSON] = field(default_factory=dict)
    """Tables, bound as global names in upper case; a fresh copy for each episode."""
    clock: str = "2025-01-01T00:00:00+00:00"
    name: str = "program"
    """Goes into the seeds of the tools' random numbers."""
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        names = [tool.name for tool in self.tools]
        if len(set(names)) != len(names):
            raise SpecError(f"{self.name}: tool names must be unique, found {names}")
        if len({name.upper() for name in self.data}) != len(self.data):
            raise SpecError(f"{self.name}: table names differ in case alone: {sorted(self.data)}")
        for table in self.data:
            if not GLOBAL_NAME.fullmatch(table.upper()):
                raise SpecError(f"{self.name}: table {table!r}: expected a letter, then letters, digits and _")

    @classmethod
    def from_spec(cls, spec: ToolEnvSpec, limits: Limits | None = None) -> Program:
        """The program of an env."""
        return cls(spec.tools, spec.library, spec.data, spec.clock, spec.id, limits or Limits())

    @cached_property
    def parts(self) -> ProgramParts:
        """This program as plain data, without the schemas."""
        try:
            tables = orjson.dumps({table.upper(): value for table, value in self.data.items()})
        except TypeError as error:
            raise SpecError(f"{self.name}: the tables are not plain JSON: {error}") from None
        sources = tuple((tool.name, tool.source) for tool in self.tools)
        return ProgramParts(self.name, sources, self.library, tables, self.clock, self.limits)

    @cached_property
    def loader(self) -> Loader:
        """The compiled sources. Raises: PolicyViolationError (a PolicyError)."""
        return load_program(self.parts)

    @property
    def stateless(self) -> bool:
        """Whether it is proved from the text that no call changes what a later call sees."""
        return self.loader.stateless

    @cached_property
    def key(self) -> str:
        """Hash of everything that a vet record depends on: content, schemas, policy, versions, limits."""
        digest = hashlib.sha256()
        schemas = [[tool.name, tool.parameters] for tool in self.tools]
        for part in (canonical_json(schemas), repr(self.parts.to_wire()).encode("utf-8", "replace"), environment_key()):
            digest.update(len(part).to_bytes(8, "big"))
            digest.update(part)
        return digest.hexdigest()


@lru_cache(maxsize=1)
def environment_key() -> bytes:
    """What a vet record depends on besides the program: this sandbox's own source and the versions under it."""
    digest = hashlib.sha256()
    for path in sorted(_PACKAGE.rglob("*.py")):
        digest.update(path.relative_to(_PACKAGE).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    python = f"{sys.implementation.name} {sys.version_info.major}.{sys.version_info.minor}"
    digest.update(f"{version('RestrictedPython')} {python} {sys.platform}".encode())
    return digest.digest()
