"""Every tool of some suites, once each and fit to stand in another env: with its own tables and helpers.

A record has one namespace of tables and one library, so a tool that moves carries what it reads: its library is put
before its source, and each of its tables gets a name that says its content (`COUNTRIES_1F0A3C`), bound to the name that
the source knows by a line before all else. So two tools with different `COUNTRIES` live in one record, and two with the
same share it.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import lru_cache

import orjson

from astra_gym.errors import AstraError
from astra_gym.records import JSON
from astra_gym.types import ToolEnvSpec, ToolFunction


class DistractorError(AstraError, ValueError):
    """Tools cannot be mixed as asked: options, a suite or an env that does not suit."""


@dataclass(frozen=True, slots=True)
class PoolTool:
    """A tool as it stands in the pool."""

    tool: ToolFunction
    """With the source that it has in another env."""
    written: str
    """Its source as it was in its own env."""
    key: str
    """Hash of the tool as it was: name, description, schema and source."""
    tables: tuple[tuple[str, bytes], ...]
    """Its tables by their new names, as JSON."""
    free_names: frozenset[str]
    """Names that the source uses and does not bind: another env's library must not bind them."""
    domains: frozenset[str]
    """Domains of the envs that have it."""
    origin: str
    """Id of the env that it was taken from: of all that have it, the one with the smallest tables for it."""
    dataset: str
    license: str

    @property
    def table_bytes(self) -> int:
        return sum(len(table) for _, table in self.tables)

    @property
    def data(self) -> dict[str, JSON]:
        """Its tables, parsed anew."""
        return {name: orjson.loads(table) for name, table in self.tables}


@dataclass(frozen=True)
class ToolPool:
    """The tools, in an order that depends on the suites alone."""

    tools: tuple[PoolTool, ...]
    content: str
    """Hash of the suites that it was made from."""
    envs: int
    by_key: dict[str, int] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "by_key", {tool.key: number for number, tool in enumerate(self.tools)})

    @classmethod
    def of(cls, specs: Iterable[ToolEnvSpec]) -> ToolPool:
        """The pool of these envs' tools; each env is looked at once and let go.

        Raises: DistractorError when there is none, or one has distractors already.
        """
        found: dict[str, PoolTool] = {}
        digest = hashlib.sha256()
        envs = 0
        for spec in specs:
            envs += 1
            if spec.distractor_band != "none":
                raise DistractorError(f"{spec.id}: has distractors already; mix from the suite as it was without")
            digest.update(f"{spec.id} {spec.certificate.content_hash if spec.certificate else '-'}\n".encode())
            for tool in _pool_tools(spec):
                found[tool.key] = _joined(found[tool.key], tool) if tool.key in found else tool
        if not found:
            raise DistractorError("the suites hold no env, so there are no tools to mix in")
        return cls(tuple(found.values()), digest.hexdigest(), envs)

    def numbers(self, spec: ToolEnvSpec) -> list[int]:
        """Where the tools of an env stand in the pool. Raises: DistractorError when one is not there."""
        keys = {tool.name: tool_key(tool) for tool in spec.tools}
        if missing := [name for name, key in keys.items() if key not in self.by_key]:
            raise DistractorError(f"{spec.id}: the pool does not know {missing}; add the suite that holds this env")
        return [self.by_key[key] for key in keys.values()]


def tool_key(tool: ToolFunction) -> str:
    """Hash of what a tool is: name, description, schema and source."""
    content = [tool.name, tool.description, tool.parameters, tool.source]
    return hashlib.sha256(orjson.dumps(content)).hexdigest()


def _joined(old: PoolTool, new: PoolTool) -> PoolTool:
    """The same tool of two envs: the smaller tables, and the domains of both."""
    best = new if new.table_bytes < old.table_bytes else old
    domains = old.domains | new.domains
    return best if domains == best.domains else replace(best, domains=domains)


def _pool_tools(spec: ToolEnvSpec) -> Iterator[PoolTool]:
    tables = {name: (_table_name(name, raw := orjson.dumps(table)), raw) for name, table in spec.data.items()}
    library = _names(spec.library)
    for tool in spec.tools:
        used = _names(tool.source)
        needs_library = bool(used.loaded & library.bound)
        if needs_library and used.bound & library.bound:
            continue  # its helpers would take the place of the library's
        loaded = used.loaded | library.loaded if needs_library else used.loaded
        bound = used.bound | library.bound if needs_library else used.bound
        own = {name: named for name, named in tables.items() if name in loaded}
        lines = [f"{name} = {named}\n" for name, (named, _) in own.items()]
        source = "".join(lines) + (spec.library.rstrip("\n") + "\n\n\n" if needs_library else "") + tool.source
        yield PoolTool(
            tool=tool.model_copy(update={"source": source}) if lines or needs_library else tool,
            written=tool.source,
            key=tool_key(tool),
            tables=tuple(own.values()),
            free_names=loaded - bound - own.keys(),
            domains=frozenset({spec.domain}),
            origin=spec.id,
            dataset=spec.provenance.dataset,
            license=spec.provenance.license,
        )


def _table_name(name: str, raw: bytes) -> str:
    return f"{name}_{hashlib.sha256(raw).hexdigest()[:8].upper()}"


@dataclass(frozen=True, slots=True)
class _Names:
    loaded: frozenset[str]
    bound: frozenset[str]
    """At the top level."""


@lru_cache(maxsize=8192)
def _names(source: str) -> _Names:
    """The names that a source reads, and those that it binds at the top level."""
    tree = ast.parse(source)
    loaded = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    return _Names(frozenset(loaded), frozenset(name for node in tree.body for name in _bound_by(node)))


def _bound_by(node: ast.stmt) -> Iterator[str]:
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        yield node.name
    elif isinstance(node, ast.Import | ast.ImportFrom):
        for alias in node.names:
            yield alias.asname or alias.name.partition(".")[0]
    else:
        for inner in ast.walk(node):
            if isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Store):
                yield inner.id


def library_names(spec: ToolEnvSpec) -> frozenset[str]:
    """What an env's library binds for all its tools."""
    return _names(spec.library).bound
