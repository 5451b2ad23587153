"""By rule: which tools could be one. Tools of another kind of answer, other parameters or other arithmetic cannot.

What is left may be one intent or not; that is asked of the writer (`cluster.py`).
"""

from __future__ import annotations

import ast
from typing import TypeAlias

from astra_gym.answers import Answer
from astra_gym.env_synthesis.llm.made import MadeTool
from astra_gym.records import JSON

ToolKey: TypeAlias = tuple[object, ...]
_OPERATORS = (ast.Sub, ast.Mult, ast.Div, ast.FloorDiv, ast.Mod, ast.Pow)
"""Addition is left out: it also joins texts and counts."""
_AGGREGATES = frozenset({"sum", "max", "min", "len", "round", "mean", "median", "sorted", "fsum", "prod"})


def tool_key(made: MadeTool, answer: Answer) -> ToolKey:
    """Equal for tools that may become one: answer shape, required parameters by type, operators, tables or none."""
    return (
        (answer.kind, answer.unit, bool(answer.choices)),
        tuple(sorted(required_types(made.tool.parameters))),
        operators(made.tool.source) if answer.kind in ("number", "money", "percentage") else frozenset(),
        bool(made.data),
    )


def required_types(parameters: dict[str, JSON]) -> list[str]:
    """The JSON type of each required parameter."""
    return [_type_of(parameters["properties"][name]) for name in parameters["required"]]


def operators(source: str) -> frozenset[str]:
    """The arithmetic in a source: operators, and functions that aggregate."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.BinOp | ast.AugAssign) and isinstance(node.op, _OPERATORS):
            found.add(type(node.op).__name__)
        elif isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            found |= {name} & _AGGREGATES
    return frozenset(found)


def _type_of(schema: JSON) -> str:
    kind = schema.get("type") if isinstance(schema, dict) else None
    if isinstance(kind, list):
        return "|".join(sorted(kind))
    return "number" if kind == "integer" else str(kind)
