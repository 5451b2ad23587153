"""Source text to a syntax tree of bounded size, with what has no meaning in a tool taken out.

Private names are renamed (names with a leading underscore belong to the sandbox), annotations dropped except for the
fields of a class, and `if __name__ == "__main__":` removed. What may stand in the tree is decided in `transformer.py`.
"""

from __future__ import annotations

import ast
import warnings
from typing import Any

from astra_gym.sandbox.limits import MAX_SOURCE_BYTES, MAX_SOURCE_DEPTH, MAX_SOURCE_NODES
from astra_gym.sandbox.policy.names import NAMED_TUPLE_API, PRIVATE_PREFIX
from astra_gym.sandbox.policy.violations import PolicyViolationError, Violation

FILE_NAME = "<tool \ud800>"
"""What tool source is said to be read from. To show the line of a syntax error Python opens the file of that name; this
one has no name that a file system could hold, so that nothing is opened (in a worker even trying would be the end)."""


def parse(source: str, name: str) -> ast.Module:
    """The tree of `source`. Raises: PolicyViolationError when it is no Python, too long, too large or too deep."""

    def refuse(rule: str, message: str, hint: str, line: int = 1, column: int = 0) -> PolicyViolationError:
        return PolicyViolationError(name, (Violation(line, column, rule, message, hint),))

    if len(source) > MAX_SOURCE_BYTES or not _encodable(source):
        raise refuse(
            "source-size", f"the source has {len(source):,} characters", f"at most {MAX_SOURCE_BYTES:,}, UTF-8"
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(source, FILE_NAME)
    except SyntaxError as error:
        raise refuse("syntax", error.msg, "write valid Python", error.lineno or 1, error.offset or 0) from None
    except (ValueError, RecursionError, MemoryError) as error:
        raise refuse("syntax", f"cannot be parsed: {type(error).__name__}", "write plain, flat Python") from None
    _check_shape(tree, refuse)
    return tree


def _encodable(source: str) -> bool:
    try:
        source.encode()
    except UnicodeEncodeError:
        return False
    return True


def _check_shape(tree: ast.Module, refuse: Any) -> None:
    count = 0
    stack: list[tuple[ast.AST, int]] = [(tree, 0)]
    while stack:
        node, depth = stack.pop()
        count += 1
        line = getattr(node, "lineno", 1)
        if count > MAX_SOURCE_NODES:
            raise refuse("source-size", "the source has too many parts", f"at most {MAX_SOURCE_NODES:,} nodes", line)
        if depth > MAX_SOURCE_DEPTH:
            raise refuse("source-depth", "the source is nested too deeply", f"at most {MAX_SOURCE_DEPTH} levels", line)
        stack.extend([(child, depth + 1) for child in ast.iter_child_nodes(node)])


def is_private(name: str) -> bool:
    """Whether a name is private to the source: a leading underscore, but no magic name and not `_` itself."""
    if not name.startswith("_") or name == "_" or name in NAMED_TUPLE_API:
        return False
    return not (name.startswith("__") and name.endswith("__"))


def public_name(name: str) -> str:
    """The name that a private name is given."""
    return PRIVATE_PREFIX + name if is_private(name) else name


def _optional(name: str | None) -> str | None:
    return None if name is None else public_name(name)


class Prepare(ast.NodeTransformer):
    """Renames private names and drops annotations and the main guard, in place."""

    def __init__(self) -> None:
        self._in_class = False

    def visit_Name(self, node: ast.Name) -> ast.AST:
        node.id = public_name(node.id)
        return node

    def visit_arg(self, node: ast.arg) -> ast.AST:
        node.arg = public_name(node.arg)
        node.annotation = None
        return node

    def visit_keyword(self, node: ast.keyword) -> ast.AST:
        node.arg = _optional(node.arg)
        return self.generic_visit(node)

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        node.attr = public_name(node.attr)
        return self.generic_visit(node)

    def visit_Global(self, node: ast.Global) -> ast.AST:
        node.names = [public_name(name) for name in node.names]
        return node

    def visit_Nonlocal(self, node: ast.Nonlocal) -> ast.AST:
        node.names = [public_name(name) for name in node.names]
        return node

    def visit_alias(self, node: ast.alias) -> ast.AST:
        node.asname = _optional(node.asname)
        return node

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> ast.AST:
        node.name = _optional(node.name)
        return self.generic_visit(node)

    def visit_MatchAs(self, node: ast.MatchAs) -> ast.AST:
        node.name = _optional(node.name)
        return self.generic_visit(node)

    def visit_MatchStar(self, node: ast.MatchStar) -> ast.AST:
        node.name = _optional(node.name)
        return node

    def visit_MatchMapping(self, node: ast.MatchMapping) -> ast.AST:
        node.rest = _optional(node.rest)
        return self.generic_visit(node)

    def visit_MatchClass(self, node: ast.MatchClass) -> ast.AST:
        node.kwd_attrs = [public_name(name) for name in node.kwd_attrs]
        return self.generic_visit(node)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.name = public_name(node.name)
        node.returns = None
        outer, self._in_class = self._in_class, False
        self.generic_visit(node)
        self._in_class = outer
        return node

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        node.name = public_name(node.name)
        outer, self._in_class = self._in_class, True
        self.generic_visit(node)
        self._in_class = outer
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        is_field = self._in_class and isinstance(node.target, ast.Name) and not _is_class_variable(node.annotation)
        if is_field:
            node.annotation = ast.copy_location(ast.Constant(None), node.annotation)
            return self.generic_visit(node)
        if node.value is None:
            return ast.copy_location(ast.Pass(), node)
        assign = ast.copy_location(ast.Assign(targets=[node.target], value=node.value), node)
        return self.generic_visit(assign)

    def visit_If(self, node: ast.If) -> ast.AST:
        test = node.test
        if isinstance(test, ast.Compare) and isinstance(test.left, ast.Name) and test.left.id == "__name__":
            return ast.copy_location(ast.Pass(), node)
        return self.generic_visit(node)


def _is_class_variable(annotation: ast.expr) -> bool:
    """Whether a field annotation says ClassVar."""
    head = annotation.value if isinstance(annotation, ast.Subscript) else annotation
    name = head.attr if isinstance(head, ast.Attribute) else getattr(head, "id", "")
    return name == "ClassVar"


def taken_names(tree: ast.AST) -> list[tuple[str, int]]:
    """(name, line) of names in the source that private names are renamed to."""
    return [
        (name, getattr(node, "lineno", 1))
        for node in ast.walk(tree)
        for name in (getattr(node, field, None) for field in ("id", "arg", "attr", "name"))
        if isinstance(name, str) and name.startswith(PRIVATE_PREFIX + "_")
    ]
