"""Small makers of syntax nodes; positions are filled in once for the whole tree by the compiler."""

from __future__ import annotations

import ast
from typing import Any


def name(identifier: str) -> ast.Name:
    return ast.Name(identifier, ast.Load())


def stored(identifier: str) -> ast.Name:
    return ast.Name(identifier, ast.Store())


def call(function: str, *args: ast.expr) -> ast.Call:
    return ast.Call(func=name(function), args=list(args), keywords=[])


def statement(function: str, *args: ast.expr) -> ast.Expr:
    return ast.Expr(call(function, *args))


def constant(value: Any) -> ast.Constant:
    return ast.Constant(value)


def is_number(node: ast.AST) -> bool:
    """Whether a node is an int or float literal, perhaps signed."""
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.USub, ast.UAdd)):
        node = node.operand
    return isinstance(node, ast.Constant) and type(node.value) in (int, float)


def is_scalar(node: ast.AST) -> bool:
    """Whether a node is a literal that compares and hashes in bounded time."""
    return is_number(node) or isinstance(node, ast.Constant)


def node_count(*nodes: ast.AST) -> int:
    return sum(1 for node in nodes for _ in ast.walk(node))
