"""What a tool's source must look like, read from its syntax tree: before the sandbox runs anything.

The function has exactly the parameters of the document; what the tool knows stands in its tables and not in the source.
What source may do at all is the sandbox's policy (`astra_gym.sandbox`).
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping

from astra_gym.answers import QUANTITIES, Answer
from astra_gym.env_synthesis.llm.feedback import Unfit, shown
from astra_gym.records import JSON, check_json
from astra_gym.types import TABLE_NAME, ToolSpec
from astra_gym.values.texts import fold

_TRIVIAL = 100
"""Whole numbers up to this, and powers of ten, may stand in a source by chance."""


def check_signature(source: str, tool: ToolSpec) -> None:
    """Raises: Unfit when the function's parameters are not those of the document.

    `source` has passed the policy, so it parses and defines the function.
    """
    tree = ast.parse(source)
    function = _function(tree, tool.name)
    if tool.name in local_names(tree):
        raise Unfit(f"{tool.name!r} names something besides the tool's function; choose another name for that")
    arguments = function.args
    if arguments.vararg or arguments.kwarg or arguments.posonlyargs:
        raise Unfit(f"{tool.name} must name its parameters, without *args, **kwargs and /")
    defaults = dict(_defaults(arguments))
    properties, required = tool.parameters["properties"], tool.parameters["required"]
    if set(defaults) != set(properties):
        raise Unfit(f"{tool.name} has the parameters {list(defaults)}, the document has {list(properties)}")
    for name, default in defaults.items():
        if name in required and default is not None:
            raise Unfit(f"{name!r} is required by the document, so it must have no default in the function")
        if name not in required and default is None:
            raise Unfit(f"{name!r} is optional in the document, so it needs a default in the function")
        documented = properties[name].get("default") if isinstance(properties[name], dict) else None
        if default is not None and documented is not None and not _is_constant(default, documented):
            found = ast.unparse(default)
            raise Unfit(f"the default of {name!r} is {shown(documented)} in the document, {found} in the function")


def check_tables(source: str, data: Mapping[str, JSON]) -> None:
    """Raises: Unfit when the tables are not plain JSON under upper-case names that the source reads."""
    if odd := [name for name in data if not TABLE_NAME.fullmatch(name)]:
        raise Unfit(f"tables need upper-case names such as PRICES, found {odd}")
    try:
        check_json(dict(data), "`data`")
    except ValueError as error:
        raise Unfit(str(error)) from None
    tree = ast.parse(source)
    if bound := sorted(data.keys() & names_bound(tree)):
        raise Unfit(f"the source assigns {bound}, which are tables in `data`; let it only read them")
    if unread := sorted(data.keys() - names_read(tree)):
        raise Unfit(f"nothing in the source reads the tables {unread}; read them as global names, or leave them out")


def check_constants(source: str, data: Mapping[str, JSON], answer: Answer) -> None:
    """Raises: Unfit when a tool without tables holds the answer in its source: it must find it, or compute it.

    A label that is chosen by comparing sizes ("calm" below some speed) may stand there.
    """
    tree = ast.parse(source)
    if data or any(isinstance(node, ast.Lt | ast.LtE | ast.Gt | ast.GtE) for node in ast.walk(tree)):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and _gives(answer, node.value):
            raise Unfit(
                f"line {node.lineno} of the source holds the answer {shown(answer.value)} as a constant; put what the "
                "tool knows into tables in `data`, with several entities, and look it up or compute it",
                stage="probe",
                of_the_case=True,
            )


def names_read(tree: ast.AST) -> set[str]:
    """Names that are read somewhere."""
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}


def names_bound(tree: ast.AST) -> set[str]:
    """Names that are given a value somewhere, be it by assignment, definition, import, parameter or pattern."""
    found: set[str] = set()
    for node in ast.walk(tree):
        match node:
            case ast.Name(ctx=ast.Store() | ast.Del()):
                found.add(node.id)
            case ast.FunctionDef() | ast.ClassDef():
                found.add(node.name)
            case ast.arg():
                found.add(node.arg)
            case ast.alias():
                found.add((node.asname or node.name).partition(".")[0])
            case ast.ExceptHandler() | ast.MatchAs() | ast.MatchStar() if node.name:
                found.add(node.name)
            case ast.MatchMapping() if node.rest:
                found.add(node.rest)
            case ast.Global() | ast.Nonlocal():
                found.update(node.names)
    return found


def local_names(tree: ast.Module) -> set[str]:
    """Names bound otherwise than by a function's definition at the top level: there a name is another thing."""
    found: set[str] = set()
    for node in tree.body:
        parts = ast.iter_child_nodes(node) if isinstance(node, ast.FunctionDef) else [node]
        for part in parts:
            found |= names_bound(part)
    return found


def _function(tree: ast.Module, name: str) -> ast.FunctionDef:
    """The last definition of `name` at the top level: the one that is called."""
    found = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == name]
    if found[-1].decorator_list:
        raise Unfit(f"{name} must not be decorated: its parameters have to be those that are written")
    return found[-1]


def _defaults(arguments: ast.arguments) -> Iterator[tuple[str, ast.expr | None]]:
    """(name, default) of each parameter, in order."""
    without = len(arguments.args) - len(arguments.defaults)
    for index, argument in enumerate(arguments.args):
        yield argument.arg, arguments.defaults[index - without] if index >= without else None
    for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        yield argument.arg, default


def _is_constant(node: ast.expr, value: JSON) -> bool:
    try:
        found = ast.literal_eval(node)
    except (ValueError, TypeError):
        return False
    return bool(found == value)


def _gives(answer: Answer, constant: object) -> bool:
    """Whether a constant in source is the answer, and not so by chance."""
    if answer.kind == "bool" or answer.choices:
        return False
    if isinstance(constant, str):
        texts = _texts(answer)
        return bool(texts) and fold(constant) in {fold(text) for text in texts}
    if answer.kind not in QUANTITIES or isinstance(constant, bool) or not isinstance(constant, int | float):
        return False
    return not _is_trivial(constant) and answer.matches(constant)


def _texts(answer: Answer) -> list[str]:
    if answer.kind in ("text", "date"):
        return [str(answer.value), *answer.aliases]
    if answer.kind in ("set", "list"):
        return [item for item in answer.value if isinstance(item, str)]
    return []


def _is_trivial(number: float) -> bool:
    if number != int(number):
        return False
    digits = str(abs(int(number)))
    return abs(number) <= _TRIVIAL or digits == "1" + "0" * (len(digits) - 1)
