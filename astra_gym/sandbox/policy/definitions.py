"""How functions, classes, imports and `match` are rewritten."""

from __future__ import annotations

import ast

from astra_gym.sandbox.guards.methods import GUARDED_METHODS
from astra_gym.sandbox.policy import build
from astra_gym.sandbox.policy.analysis import MUTATORS
from astra_gym.sandbox.policy.names import GENERATOR_START, METERED_SIZE, TYPE_NAMES
from astra_gym.sandbox.policy.statements import Statements


class Definitions(Statements):
    """Rewriting of definitions: the whole policy."""

    # Functions

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        self.check_name(node, node.name, allow_magic_methods=True)
        self._parameters(node.args)
        self._check_type_parameters(node)
        node.decorator_list = self.visit_all(node.decorator_list)
        held, self.held = self.held, 0
        depth, self.class_depth = self.class_depth, 0
        body = self.weigh(self.visit_body(_without_docstring(node.body)), METERED_SIZE)
        self.held, self.class_depth = held, depth
        if _is_generator(node):
            body = [build.statement("_spend_", build.constant(GENERATOR_START)), *body]
        elif node.name in self.facts.recursive:
            counted = ast.Try(body, [], [], [build.statement("_leave_")])
            body = [build.statement("_enter_"), counted]
        node.body = [self.tick(), *body]
        return node

    def _parameters(self, arguments: ast.arguments) -> None:
        for argument in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs):
            self.check_name(argument, argument.arg)
        for extra in (arguments.vararg, arguments.kwarg):
            if extra is not None:
                self.check_name(extra, extra.arg)
        arguments.defaults = self.visit_all(arguments.defaults)
        arguments.kw_defaults = [None if value is None else self.visit(value) for value in arguments.kw_defaults]

    def _check_type_parameters(self, node: ast.FunctionDef | ast.ClassDef) -> None:
        if getattr(node, "type_params", None):
            self.refuse(node, "syntax-not-allowed", "type parameters are not allowed", "leave them out")

    def visit_Lambda(self, node: ast.Lambda) -> ast.AST:
        self._parameters(node.args)
        held, self.held = self.held, 0
        body = self.visit(node.body)
        self.held = held
        units = 1 + build.node_count(body) // METERED_SIZE
        step = (
            build.call("_next_", build.name("_fuel_")) if units == 1 else build.call("_spend_", build.constant(units))
        )
        node.body = ast.BoolOp(ast.And(), [step, body])
        return node

    # Classes

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        self.check_name(node, node.name)
        self._check_type_parameters(node)
        if node.keywords:
            self.refuse(node, "class-keywords", "keyword arguments of a class are not allowed", "leave them out")
        node.bases = [self._base(base) for base in node.bases]
        node.decorator_list = self.visit_all(node.decorator_list)
        self.class_depth += 1
        node.body = self.weigh(self.visit_body(_without_docstring(node.body)), METERED_SIZE)
        self.class_depth -= 1
        node.keywords = [ast.keyword("metaclass", build.name("_metaclass_"))]
        return node

    def _base(self, base: ast.expr) -> ast.expr:
        if isinstance(base, ast.Starred):
            self.refuse(base, "syntax-not-allowed", "spread base classes are not allowed", "name them")
        return self.visit(base)  # type: ignore[no-any-return]

    # Imports

    def visit_Import(self, node: ast.Import) -> ast.AST | list[ast.stmt]:
        if getattr(node, "is_lazy", 0):
            self.refuse(node, "syntax-not-allowed", "lazy imports are not allowed", "import at the top")
        statements: list[ast.stmt] = []
        for alias in node.names:
            if not self._has_module(node, alias.name):
                continue
            local = alias.asname or alias.name.partition(".")[0]
            self.check_name(node, local)
            module = alias.name if alias.asname else alias.name.partition(".")[0]
            statements.append(ast.Assign([build.stored(local)], build.name(module_guard(module))))
        return [ast.copy_location(item, node) for item in statements] or ast.copy_location(ast.Pass(), node)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.AST | list[ast.stmt]:
        if node.level or getattr(node, "is_lazy", 0):
            self.refuse(node, "import", "relative and lazy imports are not allowed", "import an allowed module by name")
        module = node.module or ""
        if module == "__future__":
            return ast.copy_location(ast.Pass(), node)
        if not self._has_module(node, module):
            return node
        statements: list[ast.stmt] = []
        for alias in node.names:
            if alias.name.startswith("_") or alias.name not in self.modules[module].__dict__:
                members = sorted(name for name in self.modules[module].__dict__ if not name.startswith("_"))
                message = f'"{module}.{alias.name}" is not available'
                self.refuse(node, "module-member", message, "available: " + " ".join(members))
                continue
            local = alias.asname or alias.name
            self.check_name(node, local)
            member = ast.Attribute(build.name(module_guard(module)), alias.name, ast.Load())
            statements.append(ast.Assign([build.stored(local)], member))
        return [ast.copy_location(item, node) for item in statements] or ast.copy_location(ast.Pass(), node)

    def _has_module(self, node: ast.AST, module: str) -> bool:
        if module in self.modules:
            return True
        hint = "available: " + " ".join(sorted(self.modules))
        self.refuse(node, "import", f'the module "{module}" is not available', hint)
        return False

    # match

    def visit_Match(self, node: ast.Match) -> ast.AST:
        subject = self.visit(node.subject)
        node.subject = subject if build.is_scalar(subject) else build.call("_bounded_", subject)
        for case in node.cases:
            self._pattern(case.pattern)
            case.guard = None if case.guard is None else self.visit(case.guard)
            case.body = self.visit_body(case.body)
        return node

    def _pattern(self, node: ast.pattern) -> None:
        if isinstance(node, ast.MatchValue):
            self._pattern_value(node.value)
        elif isinstance(node, (ast.MatchAs, ast.MatchStar)):
            self.check_name(node, node.name)
        elif isinstance(node, ast.MatchMapping):
            self.check_name(node, node.rest)
            for key in node.keys:
                if not build.is_scalar(key):
                    self.refuse(node, "match-key", "a mapping pattern takes literal keys", "compare in the guard")
        elif isinstance(node, ast.MatchClass):
            for attribute in node.kwd_attrs:
                self.check_attribute(node, attribute)
                if attribute in GUARDED_METHODS or attribute in MUTATORS:
                    self.refuse(node, "match-method", f'the method "{attribute}" cannot be captured', "call it")
            node.cls = self._pattern_class(node.cls)
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.pattern):
                self._pattern(child)

    def _pattern_value(self, node: ast.expr) -> None:
        while isinstance(node, ast.Attribute):
            self.check_attribute(node, node.attr)
            node = node.value
        if isinstance(node, ast.Name):
            self.check_name(node, node.id)
        elif not build.is_scalar(node):
            self.refuse(node, "match-value", "this value pattern is not allowed", "compare in the guard")

    def _pattern_class(self, node: ast.expr) -> ast.expr:
        if self.is_builtin(node, TYPE_NAMES):
            assert isinstance(node, ast.Name)
            return build.name(f"_real_{node.id}_")
        self._pattern_value(node)
        return node


def module_guard(module: str) -> str:
    """The name under which tools find an allowed module."""
    return f"_mod_{module.replace('.', '_')}_"


def _without_docstring(body: list[ast.stmt]) -> list[ast.stmt]:
    first = body[0]
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
        return body[1:] or [ast.copy_location(ast.Pass(), first)]
    return body


def _is_generator(node: ast.FunctionDef) -> bool:
    waiting: list[ast.AST] = list(node.body)
    while waiting:
        child = waiting.pop()
        if isinstance(child, (ast.Yield, ast.YieldFrom)):
            return True
        if not isinstance(child, (ast.FunctionDef, ast.Lambda, ast.ClassDef)):
            waiting.extend(ast.iter_child_nodes(child))
    return False
