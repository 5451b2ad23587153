"""The base of the policy: RestrictedPython's deny-by-default transformer, with names, literals and refusals.

RestrictedPython supplies the list of known syntax (an unknown node is an error) and its own checks; this project adds
budgets, so most `visit_` methods are replaced in `expressions.py` and `statements.py`. Attribute names are constants
when source is compiled: they are checked here once, and loaded natively ever after.
"""

from __future__ import annotations

import ast
from typing import Any

from RestrictedPython.transformer import FORBIDDEN_FUNC_NAMES, RestrictingNodeTransformer

from astra_gym.sandbox.limits import MAX_BITS, MAX_LENGTH
from astra_gym.sandbox.policy import build
from astra_gym.sandbox.policy.analysis import Facts
from astra_gym.sandbox.policy.names import (
    DENIED_ATTRIBUTES,
    FORBIDDEN_STATEMENTS,
    MAGIC_METHODS,
    NAMED_TUPLE_API,
    UNAVAILABLE_NAMES,
)
from astra_gym.sandbox.policy.violations import Violation


class PolicyBase(RestrictingNodeTransformer):
    """Names, literals and the collection of violations."""

    def __init__(self, facts: Facts, modules: dict[str, Any]) -> None:
        super().__init__([], [], {})
        self.facts = facts
        self.modules = modules
        self.violations: list[Violation] = []
        self.class_depth = 0
        self.held = 0
        """How many `try ... finally` and `with` blocks of the current function surround the node."""

    def refuse(self, node: ast.AST, rule: str, message: str, hint: str = "") -> None:
        line, column = getattr(node, "lineno", 0) or 0, getattr(node, "col_offset", 0) or 0
        self.violations.append(Violation(line, column, rule, message, hint))

    def error(self, node: ast.AST, info: str) -> None:
        """What RestrictedPython itself refuses."""
        self.refuse(node, "restricted", info)

    def not_allowed(self, node: ast.AST) -> None:
        hint = next((text for kind, text in FORBIDDEN_STATEMENTS.items() if isinstance(node, kind)), "")
        self.refuse(node, "syntax-not-allowed", f"{type(node).__name__} is not allowed", hint)

    def generic_visit(self, node: ast.AST) -> ast.AST:
        self.not_allowed(node)
        return node

    def visit_body(self, statements: list[ast.stmt]) -> list[ast.stmt]:
        """The statements of a block, visited; one may become several."""
        result: list[ast.stmt] = []
        for statement in statements:
            visited = self.visit(statement)
            if isinstance(visited, list):
                result.extend(visited)
            elif visited is not None:
                result.append(visited)
        return result

    def visit_all(self, nodes: list[Any]) -> list[Any]:
        return [self.visit(node) for node in nodes]

    # Names

    def check_name(self, node: ast.AST, name: str | None, allow_magic_methods: bool = False) -> None:
        if name is None:
            return
        if allow_magic_methods and self.class_depth and name in MAGIC_METHODS:
            return
        if name.startswith("_") and name != "_":
            self.refuse(node, "magic-name", f'the name "{name}" is not available', _magic_hint(name))
        elif name.endswith("__roles__") or (name in FORBIDDEN_FUNC_NAMES and name != "print"):
            self.refuse(node, "reserved-name", f'the name "{name}" is reserved', "choose another name")

    def check_attribute(self, node: ast.AST, name: str) -> None:
        if name in NAMED_TUPLE_API:
            return
        if (name.startswith("_") and name != "_") or name.endswith("__roles__"):
            self.refuse(node, "magic-attribute", f'the attribute "{name}" is not available', _magic_hint(name))
        elif name in DENIED_ATTRIBUTES:
            self.refuse(node, "denied-attribute", f'the attribute "{name}" is not available', "choose another name")

    def visit_Name(self, node: ast.Name) -> ast.AST:
        self.check_name(node, node.id)
        if isinstance(node.ctx, ast.Load) and self.is_builtin(node, frozenset({"super"})):
            self.refuse(node, "super", "super is only available as a call", "write super().method(...)")
        if isinstance(node.ctx, ast.Load) and node.id in UNAVAILABLE_NAMES and node.id not in self.facts.bound:
            self.refuse(node, "unavailable-name", f'"{node.id}" is not available', UNAVAILABLE_NAMES[node.id])
        return node

    def is_builtin(self, node: ast.AST, names: frozenset[str]) -> bool:
        """Whether a node is one of these builtin names, not rebound in this source."""
        return isinstance(node, ast.Name) and node.id in names and node.id not in self.facts.bound

    # Literals

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        value = node.value
        if isinstance(value, complex):
            self.refuse(node, "literal", "complex numbers are not available", "use two floats")
        elif type(value) is int and value.bit_length() > MAX_BITS:
            self.refuse(node, "literal", "the number is too large", f"at most {MAX_BITS:,} bits")
        elif isinstance(value, (str, bytes)) and len(value) > MAX_LENGTH:
            self.refuse(node, "literal", "the text is too long", f"at most {MAX_LENGTH:,} characters")
        return node

    def visit_TemplateStr(self, node: ast.AST) -> ast.AST:
        self.not_allowed(node)
        return node

    visit_Interpolation = visit_TemplateStr

    def weigh(self, body: list[ast.stmt], weight: int) -> list[ast.stmt]:
        """A block that pays for being long: one more unit of fuel for every `weight` nodes."""
        units = build.node_count(*body) // weight
        return [build.statement("_spend_", build.constant(units)), *body] if units else body


def _magic_hint(name: str) -> str:
    hints = {
        "__class__": "use isinstance() or type(x).__name__",
        "__dict__": "name the attributes",
        "__eq__": "write a method `equals`, or use a dataclass",
        "__lt__": "sort with key=",
        "__hash__": "use a frozen dataclass or a tuple",
        "__len__": "write a method `size`",
        "__iter__": "write a generator method",
        "__getitem__": "write a method `get`",
        "__import__": "use an import statement",
        "__name__": "it is available as type(x).__name__",
    }
    return hints.get(name, f"the magic methods that a class may define are {', '.join(sorted(MAGIC_METHODS))}")
