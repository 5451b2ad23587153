"""How calls are rewritten: methods that can amplify, hash or compare, and spread arguments."""

from __future__ import annotations

import ast

from astra_gym.sandbox.guards.method_names import ALL_KEYED, KEYED
from astra_gym.sandbox.guards.methods import GUARDED_METHODS, REPLACED
from astra_gym.sandbox.policy import build
from astra_gym.sandbox.policy.expressions import Expressions
from astra_gym.sandbox.policy.names import TYPE_NAMES

_QUANTIFIERS = frozenset({"any", "all", "sum"})


class Calls(Expressions):
    """Rewriting of calls."""

    def visit_Call(self, node: ast.Call) -> ast.AST:
        function = node.func
        if (
            isinstance(function, ast.Attribute)
            and function.attr in GUARDED_METHODS
            and not self._is_module(function.value)
        ):
            return self._method_call(node, function)
        if self.is_builtin(function, _QUANTIFIERS) and _one_generator(node):
            assert isinstance(function, ast.Name)
            node.args = self.visit_all(node.args)
            node.func = build.name(f"_native_{function.id}_")
            return node
        if self.is_builtin(function, frozenset({"int"})) and (len(node.args) != 1 or node.keywords):
            self._arguments(node)
            node.func = build.name("_int_")
            return node
        if self.is_builtin(function, frozenset({"super"})):
            self._arguments(node)
            if node.args or node.keywords:
                node.func = build.name("_super_")
            return node
        node.func = self.visit(function)
        self._arguments(node)
        return node

    def _arguments(self, node: ast.Call) -> None:
        node.args = self.visit_all(node.args)
        for argument in node.args:
            if isinstance(argument, ast.Starred):
                argument.value = build.call("_star_", argument.value)
        for keyword in node.keywords:
            keyword.value = self.visit(keyword.value)
            if keyword.arg is None:
                keyword.value = build.call("_double_star_", keyword.value)
            elif keyword.arg.startswith("_"):
                self.refuse(node, "magic-name", f'the argument name "{keyword.arg}" is not available')

    def _method_call(self, node: ast.Call, function: ast.Attribute) -> ast.AST:
        """`value.name(...)` where the name is guarded."""
        name = function.attr
        self.check_attribute(function, name)
        on_type = self.is_builtin(function.value, TYPE_NAMES)
        if on_type:
            assert isinstance(function.value, ast.Name)
            value: ast.expr = build.name(f"_real_{function.value.id}_")
        else:
            value = self.visit(function.value)
        self._arguments(node)
        if name in REPLACED:
            node.func, node.args = build.name(f"_m_{name}_"), [value, *node.args]
            return node
        spread = any(isinstance(argument, ast.Starred) for argument in node.args)
        if on_type or spread:
            node.func, node.args = build.name("_call_method_"), [value, build.constant(name), *node.args]
            return node
        if name in ALL_KEYED:
            node.args = [build.call("_measured_", argument) for argument in node.args]
        elif name in KEYED and node.args:
            node.args[0] = self.hashed(node.args[0])
        receiver = value if name in KEYED or isinstance(value, ast.Constant) else build.call("_big_", value)
        node.func = ast.Attribute(receiver, name, ast.Load())
        return node


def _one_generator(node: ast.Call) -> bool:
    return len(node.args) == 1 and isinstance(node.args[0], ast.GeneratorExp) and not node.keywords
