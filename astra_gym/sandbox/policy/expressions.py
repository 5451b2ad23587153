"""How expressions are rewritten: attributes, subscripts, operators, comparisons, displays and f-strings.

What is known to be harmless from the text alone stays native; everything else calls a guard (`namespace.py` lists them)
whose name starts with an underscore, so that tool source can neither call nor replace it.
"""

from __future__ import annotations

import ast

from astra_gym.sandbox.guards.methods import GUARDED_METHODS
from astra_gym.sandbox.guards.operators import BINARY
from astra_gym.sandbox.guards.text import check_spec
from astra_gym.sandbox.limits import FREE_SIZE, LimitExceeded
from astra_gym.sandbox.policy import build
from astra_gym.sandbox.policy.base import PolicyBase
from astra_gym.sandbox.policy.names import DISPLAY_SIZE, TYPE_NAMES

COMPARISONS: dict[type[ast.cmpop], str] = {
    ast.Eq: "_eq_",
    ast.NotEq: "_ne_",
    ast.Lt: "_lt_",
    ast.LtE: "_le_",
    ast.Gt: "_gt_",
    ast.GtE: "_ge_",
}
NUMBER_SAFE = {"Add", "Sub", "BitOr", "BitAnd", "BitXor"}
"""Operators that stay native when one side is a number literal (then the other must be a number too)."""


class Expressions(PolicyBase):
    """Rewriting of expressions."""

    # Attributes

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        if node.attr == "__init__" and self._is_super_call(node.value):
            node.value = self.visit(node.value)
            return node
        if isinstance(node.ctx, ast.Load) and node.attr == "__name__":
            return self._class_name(node)
        self.check_attribute(node, node.attr)
        if self._is_module(node.value):
            self._check_member(node)
            return node
        if self.is_builtin(node.value, TYPE_NAMES):
            return self._type_attribute(node)
        node.value = self.visit(node.value)
        if not isinstance(node.ctx, ast.Load):
            node.value = build.call("_write_", node.value)
        elif node.attr in GUARDED_METHODS:
            return build.call("_bound_", node.value, build.constant(node.attr))
        return node

    def _is_super_call(self, node: ast.AST) -> bool:
        return isinstance(node, ast.Call) and self.is_builtin(node.func, frozenset({"super"}))

    def _class_name(self, node: ast.Attribute) -> ast.AST:
        """`type(x).__name__`, `x.__class__.__name__` and `C.__name__`."""
        value = node.value
        if isinstance(value, ast.Call) and self.is_builtin(value.func, frozenset({"type"})) and len(value.args) == 1:
            return build.call("_type_name_", self.visit(value.args[0]))
        if isinstance(value, ast.Attribute) and value.attr == "__class__":
            return build.call("_type_name_", self.visit(value.value))
        return build.call("_class_name_", self.visit(value))

    def _is_module(self, node: ast.AST) -> bool:
        return isinstance(node, ast.Name) and node.id in self.facts.aliases

    def _check_member(self, node: ast.Attribute) -> None:
        assert isinstance(node.value, ast.Name)
        module = self.facts.aliases[node.value.id]
        available = self.modules.get(module)
        if available is not None and node.attr not in available.__dict__:
            hint = "available: " + " ".join(sorted(name for name in available.__dict__ if not name.startswith("_")))
            self.refuse(node, "module-member", f'"{module}.{node.attr}" is not available', hint)
        if not isinstance(node.ctx, ast.Load):
            self.refuse(node, "module-write", f'"{module}" cannot be changed', "use a variable of your own")

    def _type_attribute(self, node: ast.Attribute) -> ast.AST:
        """`str.lower` and the like, on the name of a builtin type."""
        assert isinstance(node.value, ast.Name)
        real = build.name(f"_real_{node.value.id}_")
        if not isinstance(node.ctx, ast.Load):
            self.refuse(node, "type-write", f'"{node.value.id}" cannot be changed', "use a variable of your own")
        if node.attr in GUARDED_METHODS:
            return build.call("_bound_", real, build.constant(node.attr))
        return ast.Attribute(real, node.attr, ast.Load())

    # Subscripts

    def visit_Subscript(self, node: ast.Subscript) -> ast.AST:
        if isinstance(node.ctx, ast.Load) and self.is_builtin(node.value, TYPE_NAMES):
            alias: ast.AST = self.visit(node.value)  # such as dict[str, int]
            return alias
        node.value = self.visit(node.value)
        if isinstance(node.slice, ast.Slice):
            return self._slice(node)
        if isinstance(node.ctx, ast.Del):
            node.value = build.call("_big_", node.value)
        node.slice = self.hashed(self.visit(node.slice))
        return node

    def _slice(self, node: ast.Subscript) -> ast.AST:
        assert isinstance(node.slice, ast.Slice)
        lower, upper, step = (
            self.visit(x) if x else None for x in (node.slice.lower, node.slice.upper, node.slice.step)
        )
        node.slice = ast.Slice(lower, upper, step)
        if isinstance(node.ctx, ast.Store):
            node.value = build.call("_slice_store_", node.value)
        elif isinstance(node.ctx, ast.Del):
            node.value = build.call("_big_", node.value)
        elif isinstance(node.ctx, ast.Load) and not _short_slice(lower, upper):
            bounds = [bound or build.constant(None) for bound in (lower, upper, step)]
            return build.call("_slice_", node.value, *bounds)
        return node

    def hashed(self, node: ast.expr) -> ast.expr:
        """An expression that is about to be hashed."""
        if build.is_scalar(node) or isinstance(node, ast.JoinedStr):
            return node
        if isinstance(node, ast.Name):
            is_atom = ast.Compare(build.call("_type_", build.name(node.id)), [ast.In()], [build.name("_atoms_")])
            return ast.IfExp(is_atom, build.name(node.id), build.call("_key_", build.name(node.id)))
        return build.call("_key_", node)

    # Operators

    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
        if isinstance(node.op, ast.MatMult):
            self.not_allowed(node.op)
        node.left, node.right = self.visit(node.left), self.visit(node.right)
        name = type(node.op).__name__
        if name not in BINARY or self.harmless(name, node.left, node.right):
            return node
        return build.call(f"_op_{name}_", node.left, node.right)

    def harmless(self, name: str, left: ast.expr, right: ast.expr) -> bool:
        """Whether an operator cannot amplify, by its literals."""
        if name in NUMBER_SAFE:
            return build.is_number(left) or build.is_number(right)
        if name == "Mod":
            return build.is_number(left)
        if name == "Mult":
            return any(isinstance(side, ast.Constant) and type(side.value) is float for side in (left, right))
        return False

    def visit_UnaryOp(self, node: ast.UnaryOp) -> ast.AST:
        node.operand = self.visit(node.operand)
        if isinstance(node.op, (ast.UAdd, ast.USub)) and not build.is_number(node.operand):
            return build.call(f"_op_{type(node.op).__name__}_", node.operand)
        return node

    def visit_Compare(self, node: ast.Compare) -> ast.AST:
        node.left = self.visit(node.left)
        node.comparators = self.visit_all(node.comparators)
        if len(node.ops) == 1:
            return self._comparison(node, node.left, node.ops[0], node.comparators[0])
        if any(isinstance(op, (ast.In, ast.NotIn)) for op in node.ops):
            self.refuse(
                node, "chained-in", "`in` inside a chained comparison is not allowed", "join two tests with `and`"
            )
        node.left, *node.comparators = [
            side if build.is_scalar(side) else build.call("_bounded_", side) for side in (node.left, *node.comparators)
        ]
        return node

    def _comparison(self, node: ast.Compare, left: ast.expr, op: ast.cmpop, right: ast.expr) -> ast.AST:
        if isinstance(op, (ast.Is, ast.IsNot)):
            return node
        if isinstance(op, (ast.In, ast.NotIn)):
            if isinstance(right, (ast.Tuple, ast.List)) and all(build.is_scalar(item) for item in right.elts):
                return node
            found = build.call("_in_", left, right)
            return ast.UnaryOp(ast.Not(), found) if isinstance(op, ast.NotIn) else found
        if build.is_scalar(left) or build.is_scalar(right):
            return node
        return build.call(COMPARISONS[type(op)], left, right)

    # Displays

    def visit_List(self, node: ast.List) -> ast.AST:
        return self._sequence_display(node)

    def visit_Tuple(self, node: ast.Tuple) -> ast.AST:
        return self._sequence_display(node)

    def _sequence_display(self, node: ast.List | ast.Tuple) -> ast.AST:
        node.elts = self.visit_all(node.elts)
        if not isinstance(node.ctx, ast.Load):
            return node
        for element in node.elts:
            if isinstance(element, ast.Starred):
                element.value = build.call("_star_", element.value)
        return self._paid(node, len(node.elts))

    def visit_Set(self, node: ast.Set) -> ast.AST:
        node.elts = [self._set_element(self.visit(element)) for element in node.elts]
        return self._paid(node, len(node.elts))

    def _set_element(self, element: ast.expr) -> ast.expr:
        if isinstance(element, ast.Starred):
            element.value = build.call("_measured_", build.call("_star_", element.value))
            return element
        return self.hashed(element)

    def visit_Dict(self, node: ast.Dict) -> ast.AST:
        values = self.visit_all(node.values)
        node.values = [
            value if key is not None else build.call("_double_star_", value)
            for key, value in zip(node.keys, values, strict=True)
        ]
        node.keys = [None if key is None else self.hashed(self.visit(key)) for key in node.keys]
        return self._paid(node, len(node.values))

    def _paid(self, node: ast.expr, size: int) -> ast.expr:
        """A long display pays for its elements."""
        return build.call("_display_", build.constant(size), node) if size > DISPLAY_SIZE else node

    # f-strings

    def visit_FormattedValue(self, node: ast.FormattedValue) -> ast.AST:
        value = self.visit(node.value)
        spec = node.format_spec
        if spec is None and node.conversion == -1:
            node.value = value if build.is_scalar(value) else build.call("_field_", value)
            return node
        if spec is None:
            text: ast.expr = build.constant("")
        elif isinstance(spec, ast.JoinedStr) and all(isinstance(part, ast.Constant) for part in spec.values):
            text = build.constant("".join(str(part.value) for part in spec.values if isinstance(part, ast.Constant)))
            self._check_width(node, text)
        else:
            text = self.visit(spec)
        node.value = build.call("_converted_", value, build.constant(node.conversion), text)
        node.conversion, node.format_spec = -1, None
        return node

    def _check_width(self, node: ast.AST, spec: ast.Constant) -> None:
        try:
            check_spec(str(spec.value)) if "%" not in str(spec.value) else None
        except LimitExceeded:
            self.refuse(node, "format-width", "the format width is too large", "at most four digits")


def _short_slice(lower: ast.expr | None, upper: ast.expr | None) -> bool:
    """Whether a slice has at most a few hundred elements by its literal bounds."""
    low, high = _literal(lower), _literal(upper)
    if upper is not None:
        return high is not None and 0 <= high <= FREE_SIZE and (lower is None or low is not None)
    return low is not None and -FREE_SIZE <= low < 0


def _literal(node: ast.expr | None) -> int | None:
    sign = 1
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        node, sign = node.operand, -1
    if isinstance(node, ast.Constant) and type(node.value) is int:
        return sign * node.value
    return None
