"""How statements are rewritten: every loop and function draws fuel, and no exception handler can hold on to a limit.

`for t in X` becomes `for _, t in zip(fuel, X)`, `while C` a loop over the fuel itself, and a function begins with one
step of such a loop: at C speed, a dozen nanoseconds each.
"""

from __future__ import annotations

import ast

from astra_gym.sandbox.policy import build
from astra_gym.sandbox.policy.calls import Calls
from astra_gym.sandbox.policy.names import (
    FLAT_CALLS,
    FLAT_METHODS,
    METERED_SIZE,
    NATIVE_AUGMENTED,
)


class Statements(Calls):
    """Rewriting of statements."""

    def tick(self) -> ast.stmt:
        """One unit of fuel."""
        empty = build.statement("_no_fuel_")
        return ast.For(build.stored("_t_"), build.name("_fuel_"), [ast.Break()], [empty], None)

    # Loops

    def _metered(self, source: ast.expr, target: ast.expr) -> tuple[ast.expr, ast.expr]:
        """Iterable and target of a loop that draws one unit of fuel a step."""
        flat = self._is_flat(source)
        values = self.visit(source)
        if not flat:
            unpacks = isinstance(target, (ast.Tuple, ast.List))
            values = build.call("_unpackable_" if unpacks else "_iter_", values)
        both = ast.Tuple([build.stored("_t_"), self.visit(target)], ast.Store())
        return build.call("_zip_", build.name("_fuel_"), values), both

    def _is_flat(self, node: ast.expr) -> bool:
        """Whether an expression is known to be neither a set nor to hold sets that would be unpacked."""
        if isinstance(node, (ast.ListComp, ast.DictComp, ast.Constant, ast.JoinedStr)):
            return True
        if not isinstance(node, ast.Call):
            return False
        if isinstance(node.func, ast.Attribute):
            return node.func.attr in FLAT_METHODS
        return self.is_builtin(node.func, FLAT_CALLS)

    def visit_For(self, node: ast.For) -> ast.AST:
        node.iter, node.target = self._metered(node.iter, node.target)
        node.body = self.weigh(self.visit_body(node.body), METERED_SIZE)
        node.orelse = self.visit_body(node.orelse)
        return node

    def visit_While(self, node: ast.While) -> ast.AST:
        test = self.visit(node.test)
        body = self.weigh(self.visit_body(node.body), METERED_SIZE)
        if node.orelse:
            node.test, node.body, node.orelse = test, [self.tick(), *body], self.visit_body(node.orelse)
            return node
        stop = ast.If(ast.UnaryOp(ast.Not(), test), [ast.Break()], [])
        empty = build.statement("_no_fuel_")
        return ast.copy_location(ast.For(build.stored("_t_"), build.name("_fuel_"), [stop, *body], [empty], None), node)

    def visit_comprehension(self, node: ast.comprehension) -> ast.AST:
        if node.is_async:
            self.refuse(node.target, "syntax-not-allowed", "async comprehensions are not allowed")
        node.iter, node.target = self._metered(node.iter, node.target)
        node.ifs = self.visit_all(node.ifs)
        return node

    def _elements(self, node: ast.ListComp | ast.SetComp | ast.GeneratorExp) -> None:
        if isinstance(node.elt, ast.Starred):
            self.refuse(node, "syntax-not-allowed", "unpacking in a comprehension is not allowed", "nest two loops")
        node.generators = self.visit_all(node.generators)
        node.elt = self.visit(node.elt)
        units = build.node_count(node.elt, *node.generators) // METERED_SIZE
        if units:
            node.generators[-1].ifs.insert(0, build.call("_spend_", build.constant(units)))

    def visit_ListComp(self, node: ast.ListComp) -> ast.AST:
        self._elements(node)
        return node

    def visit_GeneratorExp(self, node: ast.GeneratorExp) -> ast.AST:
        self._elements(node)
        return node

    def visit_SetComp(self, node: ast.SetComp) -> ast.AST:
        self._elements(node)
        node.elt = build.call("_key_", node.elt)
        return node

    def visit_DictComp(self, node: ast.DictComp) -> ast.AST:
        node.generators = self.visit_all(node.generators)
        node.key = self.hashed(self.visit(node.key))
        node.value = self.visit(node.value)
        units = build.node_count(node.key, node.value, *node.generators) // METERED_SIZE
        if units:
            node.generators[-1].ifs.insert(0, build.call("_spend_", build.constant(units)))
        return node

    # Assignment

    def visit_Assign(self, node: ast.Assign) -> ast.AST:
        unpacks = any(isinstance(target, (ast.Tuple, ast.List)) for target in node.targets)
        literal = isinstance(node.value, (ast.Tuple, ast.List))
        value = self.visit(node.value)
        node.targets = self.visit_all(node.targets)
        node.value = build.call("_sequence_", value) if unpacks and not literal else value
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        """Only the fields of a class are left here."""
        node.target = self.visit(node.target)
        if node.value is not None:
            node.value = self.visit(node.value)
        return node

    def visit_AugAssign(self, node: ast.AugAssign) -> ast.AST | list[ast.stmt]:
        target, op = node.target, node.op
        if isinstance(op, ast.MatMult):
            self.not_allowed(op)
        if isinstance(target, ast.Name):
            self.visit(target)
            value = self.visit(node.value)
            if self._stays_native(op, value):
                node.value = value
                return node
            new = build.call("_in_place_", build.constant(type(op).__name__), build.name(target.id), value)
            return ast.copy_location(ast.Assign([build.stored(target.id)], new), node)
        return self._augmented_item(node)

    def _stays_native(self, op: ast.operator, value: ast.expr) -> bool:
        is_step = isinstance(op, (ast.Add, ast.Sub, ast.BitOr, ast.BitAnd, ast.BitXor))
        return isinstance(op, NATIVE_AUGMENTED) or (is_step and build.is_number(value))

    def _augmented_item(self, node: ast.AugAssign) -> list[ast.stmt]:
        """`x[k] += v` and `x.a += v`: the object and the key are evaluated once."""
        target = node.target
        holder = self.gen_tmp_name()
        assert isinstance(target, (ast.Subscript, ast.Attribute))
        steps: list[ast.stmt] = [ast.Assign([build.stored(holder)], self.visit(target.value))]
        if isinstance(target, ast.Subscript):
            if isinstance(target.slice, ast.Slice):
                self.refuse(node, "slice-augmented", "augmented assignment of a slice is not allowed", "assign it anew")
            key = self.gen_tmp_name()
            steps.append(ast.Assign([build.stored(key)], self.hashed(self.visit(target.slice))))
            load: ast.expr = ast.Subscript(build.name(holder), build.name(key), ast.Load())
            store: ast.expr = ast.Subscript(build.name(holder), build.name(key), ast.Store())
        else:
            self.check_attribute(target, target.attr)
            load = ast.Attribute(build.name(holder), target.attr, ast.Load())
            store = ast.Attribute(build.call("_write_", build.name(holder)), target.attr, ast.Store())
        value = self.visit(node.value)
        if self._stays_native(node.op, value):
            result: ast.expr = ast.BinOp(load, node.op, value)
        else:
            result = build.call("_in_place_", build.constant(type(node.op).__name__), load, value)
        steps.append(ast.Assign([store], result))
        return [ast.copy_location(step, node) for step in steps]

    # Exceptions

    def visit_Try(self, node: ast.Try) -> ast.AST:
        for jump in _jumps_out(node.finalbody):
            self.refuse(
                jump, "jump-in-finally", "return, break or continue inside finally is not allowed", "move it out"
            )
        self.held += bool(node.finalbody)
        node.body = self.visit_body(node.body)
        node.handlers = self.visit_all(node.handlers)
        node.orelse = self.visit_body(node.orelse)
        self.held -= bool(node.finalbody)
        node.finalbody = self.visit_body(node.finalbody)
        return node

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> ast.AST:
        self.check_name(node, node.name)
        node.type = self.visit(node.type) if node.type is not None else build.name("Exception")
        node.body = [build.statement("_unlimited_"), *self.visit_body(node.body)]
        return node

    def visit_With(self, node: ast.With) -> ast.AST:
        self.held += 1
        node.items = self.visit_all(node.items)
        node.body = self.visit_body(node.body)
        self.held -= 1
        return node

    def visit_Yield(self, node: ast.Yield) -> ast.AST:
        self._check_yield(node)
        if node.value is not None:
            node.value = self.visit(node.value)
        return node

    def visit_YieldFrom(self, node: ast.YieldFrom) -> ast.AST:
        self._check_yield(node)
        node.value = build.call("_yield_from_", self.visit(node.value))
        return node

    def _check_yield(self, node: ast.AST) -> None:
        if self.held:
            self.refuse(
                node, "yield-held", "yield inside try ... finally or with is not allowed", "collect into a list"
            )

    def visit_Global(self, node: ast.Global) -> ast.AST:
        for name in node.names:
            self.check_name(node, name)
        return node

    def visit_Nonlocal(self, node: ast.Nonlocal) -> ast.AST:
        for name in node.names:
            self.check_name(node, name)
        return node


def _jumps_out(body: list[ast.stmt], in_loop: bool = False) -> list[ast.AST]:
    """Statements in a `finally` block that leave it: they would swallow the exception on its way."""
    found: list[ast.AST] = []
    for statement in body:
        if isinstance(statement, ast.Return) or (isinstance(statement, (ast.Break, ast.Continue)) and not in_loop):
            found.append(statement)
        if isinstance(statement, (ast.FunctionDef, ast.ClassDef)):
            continue
        looping = in_loop or isinstance(statement, (ast.For, ast.While))
        for name in ("body", "finalbody"):
            found.extend(_jumps_out(getattr(statement, name, []), looping))
        found.extend(_jumps_out(getattr(statement, "orelse", []), in_loop))
        for holder in (*getattr(statement, "handlers", ()), *getattr(statement, "cases", ())):
            found.extend(_jumps_out(holder.body, looping))
    return found
