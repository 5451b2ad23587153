"""Names that are each one thing in an instance: of tools, and of the tables that they read.

A name is changed in the syntax tree of the source, so that texts which happen to hold it stay as they are, and wherever
else it stands: in the calls, in the document, in the tables.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

from astra_gym.env_synthesis.llm.made import MadeTool
from astra_gym.env_synthesis.llm.source_rules import local_names, names_bound, names_read
from astra_gym.records import JSON
from astra_gym.types import ToolFunction

MAX_NAME_CHARS = 64


def with_unique_names(made: Sequence[MadeTool]) -> list[MadeTool]:
    """`made` with every tool and table name given once; what is shared stays shared, and the first keeps its name."""
    tools: dict[int, MadeTool] = {}
    taken_names: set[str] = set()
    taken_tables: dict[str, JSON] = {}
    settled = []
    for one in made:
        key = id(one.tool)
        if key not in tools:
            tools[key] = own = _with_own_tables(_with_own_name(one, taken_names), taken_tables)
            taken_names.add(own.tool.name)
            taken_tables |= own.data
        settled.append(_as(one, tools[key]))
    return settled


def _as(one: MadeTool, own: MadeTool) -> MadeTool:
    """`one` with the tool, tables and document of `own`."""
    call = one.call.model_copy(update={"tool": own.tool.name})
    return replace(one, tool=own.tool, data=own.data, document=own.document, call=call)


def _with_own_name(one: MadeTool, taken: set[str]) -> MadeTool:
    name = one.tool.name
    if name not in taken:
        return one
    used = taken | _names(one.tool.source)
    new = next(new for n in range(2, len(used) + 3) if (new := _numbered(name, n)) not in used)
    tool = ToolFunction(
        name=new,
        description=_renamed_text(one.tool.description, name, new),
        parameters=one.tool.parameters,
        source=renamed_source(one.tool.source, {name: new}),
    )
    document = one.document
    if document is not None:
        description = _renamed_text(document.description, name, new)
        document = document.model_copy(update={"name": new, "description": description})
    return replace(one, tool=tool, document=document)


def _with_own_tables(one: MadeTool, taken: Mapping[str, JSON]) -> MadeTool:
    """Tables whose names another tool has for other content get the tool's name in front."""
    clashing = [name for name, table in one.data.items() if name in taken and not _same(taken[name], table)]
    if not clashing:
        return one
    used = {*taken, *one.data, *_names(one.tool.source)}
    new_names: dict[str, str] = {}
    for name in clashing:
        stem = f"{one.tool.name.upper()}_{name}"
        candidates = (stem, *(f"{stem}_{number}" for number in range(2, len(used) + 3)))
        new_names[name] = next(candidate for candidate in candidates if candidate not in used)
        used.add(new_names[name])
    data = {new_names.get(name, name): table for name, table in one.data.items()}
    tool = one.tool.model_copy(update={"source": renamed_source(one.tool.source, new_names)})
    return replace(one, tool=tool, data=data)


def renamed_source(source: str, new_names: Mapping[str, str]) -> str:
    """`source` with global names replaced wherever they are read, called or defined; comments are lost.

    Raises: ValueError when one of the names is also a parameter or the like, so that it means two things.
    """
    tree = ast.parse(source)
    if twice := sorted(new_names.keys() & local_names(tree)):
        raise ValueError(f"{twice} are both global and local names of the source, so they cannot be renamed")
    return ast.unparse(ast.fix_missing_locations(_Renamer(new_names).visit(tree))) + "\n"


class _Renamer(ast.NodeTransformer):
    def __init__(self, new_names: Mapping[str, str]) -> None:
        self._new = new_names

    def visit_Name(self, node: ast.Name) -> ast.Name:
        node.id = self._new.get(node.id, node.id)
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:
        node.name = self._new.get(node.name, node.name)
        self.generic_visit(node)
        return node

    def visit_Global(self, node: ast.Global) -> ast.Global:
        node.names = [self._new.get(name, name) for name in node.names]
        return node


def _names(source: str) -> set[str]:
    tree = ast.parse(source)
    return names_bound(tree) | names_read(tree)


def _renamed_text(text: str, old: str, new: str) -> str:
    return re.sub(rf"(?<!\w){re.escape(old)}(?!\w)", new, text)


def _numbered(name: str, number: int) -> str:
    suffix = f"_{number}"
    return name[: MAX_NAME_CHARS - len(suffix)] + suffix


def _same(left: JSON, right: JSON) -> bool:
    return type(left) is type(right) and bool(left == right)
