"""Facts about a whole source that the rewriting of single statements needs: names, recursion, modules, state."""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from typing import Any

from astra_gym.sandbox.words import words

FunctionNode = ast.FunctionDef | ast.Lambda


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of one prepared source."""

    bound: frozenset[str]
    """Names that the source binds anywhere."""
    recursive: frozenset[str]
    """Functions that may call themselves, directly or through others."""
    aliases: dict[str, str]
    """Local name to the module that `import` binds it to."""
    modules: frozenset[str]
    """Modules that the source imports."""
    functions: frozenset[str] = field(default_factory=frozenset)
    """Functions defined at the top level."""
    stateless: bool = False
    """Whether no call can change what a later call sees (proved from the text, so it may be False without cause)."""


def facts_of(tree: ast.Module, outside: frozenset[str] = frozenset()) -> Facts:
    """The facts of a prepared tree whose global names include those of `outside`, which it does not bind itself."""
    bound: set[str] = set(outside)
    imports: list[tuple[str, str]] = []
    modules: set[str] = set()
    plain: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            bound.add(node.id)
        elif isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            bound.add(node.name)
        elif isinstance(node, ast.arg):
            bound.add(node.arg)
        elif isinstance(node, ast.ExceptHandler | ast.MatchAs | ast.MatchStar) and node.name:
            bound.add(node.name)
        elif isinstance(node, ast.MatchMapping) and node.rest:
            bound.add(node.rest)
        elif isinstance(node, ast.Import):
            modules.update(alias.name for alias in node.names)
            imports.extend((alias.asname or alias.name, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            modules.add(node.module or "")
            bound.update(alias.asname for alias in node.names if alias.asname not in (None, alias.name))
            plain.update(alias.name for alias in node.names if alias.asname in (None, alias.name))
    stateless = _is_stateless(tree, modules, bound)
    bound |= plain
    aliases = {local: module for local, module in imports if local not in bound}
    functions = frozenset(node.name for node in tree.body if isinstance(node, ast.FunctionDef))
    return Facts(
        frozenset(bound),
        _recursive(tree),
        aliases,
        frozenset(modules),
        functions,
        stateless,
    )


def _recursive(tree: ast.Module) -> frozenset[str]:
    """Names of functions and classes in a cycle of name references (over-approximated by spelling)."""
    references: dict[str, set[str]] = {}
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            references.setdefault(node.name, set()).update(_spelled(node))
    for name, used in references.items():
        references[name] = used & references.keys()
    found = set()
    for name, used in references.items():
        seen: set[str] = set()
        waiting = list(used)
        while waiting:
            other = waiting.pop()
            if other not in seen:
                seen.add(other)
                waiting.extend(references[other])
        if name in seen:
            found.add(name)
    return frozenset(found)


def _spelled(node: ast.AST) -> set[str]:
    names = {child.id for child in ast.walk(node) if isinstance(child, ast.Name) and isinstance(child.ctx, ast.Load)}
    return names | {child.attr for child in ast.walk(node) if isinstance(child, ast.Attribute)}


MUTATORS = frozenset(
    words(
        "append extend insert remove pop clear sort reverse update setdefault popitem add discard appendleft "
        "extendleft popleft rotate subtract intersection_update difference_update symmetric_difference_update "
        "move_to_end send throw seed"
    )
)
"""Methods that change their receiver."""
STATEFUL_MODULES = frozenset({"random"})
STATEFUL_CALLS = frozenset(
    words(
        "next getattr setattr delattr heappush heappop heapify heappushpop heapreplace insort insort_left "
        "insort_right shuffle lru_cache cache cached_property attrgetter methodcaller"
    )
)
"""Functions that change an argument or remember something between calls."""
_FRESH = (ast.List, ast.Dict, ast.Set, ast.ListComp, ast.DictComp, ast.SetComp, ast.JoinedStr, ast.Constant)
_FRESH_CALLS = frozenset({"list", "dict", "set", "sorted", "defaultdict", "Counter", "deque", "OrderedDict"})
_LOAD_CALLS = frozenset(
    words(
        "list dict set sorted tuple frozenset len range min max sum round abs str int float bool Decimal "
        "Fraction compile date datetime timedelta namedtuple items keys values get lower upper strip split "
        "join"
    )
)
"""Calls at module level that leave nothing behind which is used up or filled by reading it."""


def _is_stateless(tree: ast.Module, modules: set[str], bound: set[str]) -> bool:
    """Whether functions change nothing but lists, dicts and sets that they made themselves."""
    if modules & STATEFUL_MODULES or bound & _FRESH_CALLS:
        return False
    for node in ast.walk(tree):
        if isinstance(node, (ast.Global, ast.Nonlocal, ast.ClassDef, ast.Yield, ast.YieldFrom)):
            return False
        if isinstance(node, ast.Call) and _called_name(node) in STATEFUL_CALLS:
            return False
        if isinstance(node, ast.Attribute) and node.attr in STATEFUL_CALLS:
            return False
        if isinstance(node, ast.ImportFrom) and STATEFUL_CALLS & {alias.name for alias in node.names}:
            return False
    functions = [node for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.Lambda))]
    for node in _module_level(tree):
        if isinstance(node, ast.GeneratorExp) or (isinstance(node, ast.Call) and not _loads(node, bound)):
            return False
    return all(_keeps_to_itself(function) for function in functions)


def _loads(node: ast.Call, bound: set[str]) -> bool:
    """Whether a call at module level is one of those that leave nothing behind, under its own name."""
    return _called_name(node) in _LOAD_CALLS and not (isinstance(node.func, ast.Name) and node.func.id in bound)


def _module_level(tree: ast.Module) -> list[ast.AST]:
    """Every node outside of functions."""
    found: list[ast.AST] = []
    waiting: list[ast.AST] = list(tree.body)
    while waiting:
        node = waiting.pop()
        if not isinstance(node, (ast.FunctionDef, ast.Lambda)):
            found.append(node)
            waiting.extend(ast.iter_child_nodes(node))
    return found


def _keeps_to_itself(function: ast.FunctionDef | ast.Lambda) -> bool:
    """Whether everything that `function` changes in place is a local name bound to fresh containers alone."""
    if isinstance(function, ast.FunctionDef) and function.decorator_list:
        return False
    args = function.args
    defaults = [*args.defaults, *(value for value in args.kw_defaults if value)]
    if not all(_immutable(default) for default in defaults):
        return False
    fresh = _fresh_names(function)
    return all(
        isinstance(target, ast.Name) and target.id in fresh
        for node in _own_nodes(function)
        for target in _changed(node)
    )


def _own_nodes(function: ast.FunctionDef | ast.Lambda) -> list[ast.AST]:
    """The nodes of a function without those of the functions inside it, which are judged by themselves."""
    found: list[ast.AST] = []
    waiting: list[ast.AST] = list(function.body) if isinstance(function, ast.FunctionDef) else [function.body]
    while waiting:
        node = waiting.pop()
        found.append(node)
        if not isinstance(node, (ast.FunctionDef, ast.Lambda)):
            waiting.extend(ast.iter_child_nodes(node))
    return found


def _immutable(node: ast.AST) -> bool:
    if isinstance(node, ast.Tuple):
        return all(_immutable(item) for item in node.elts)
    if isinstance(node, ast.UnaryOp):
        node = node.operand
    return isinstance(node, ast.Constant)


def _changed(node: ast.AST) -> list[ast.AST]:
    """What a node changes in place."""
    if isinstance(node, (ast.Subscript, ast.Attribute)) and not isinstance(node.ctx, ast.Load):
        return [node.value]
    if isinstance(node, ast.AugAssign):
        return [] if _is_immutable_step(node) else [node.target]
    if isinstance(node, ast.Attribute) and node.attr in MUTATORS:
        return [node.value]
    return []


def _is_immutable_step(node: ast.AugAssign) -> bool:
    """`n += 1` and the like: the name is bound anew, unless it holds a list or set."""
    value: ast.AST = node.value
    if isinstance(value, ast.UnaryOp):
        value = value.operand
    if isinstance(node.op, (ast.Add, ast.Sub)):
        return isinstance(value, ast.Constant) and isinstance(value.value, (int, float))
    return isinstance(node.op, (ast.Div, ast.FloorDiv, ast.Mod, ast.Pow, ast.LShift, ast.RShift))


def _fresh_names(function: ast.FunctionDef | ast.Lambda) -> set[str]:
    """Local names that are only ever bound to containers made on the spot (whose elements they do not change)."""
    good: set[str] = set()
    bad = {arg.arg for arg in ast.walk(function.args) if isinstance(arg, ast.arg)}
    for node in _own_nodes(function):
        if isinstance(node, ast.Assign):
            for target in node.targets:
                if isinstance(target, ast.Name) and _is_fresh(node.value):
                    good.add(target.id)
                else:
                    bad |= _bound_in(target)
        elif isinstance(node, (ast.For, ast.comprehension, ast.NamedExpr)):
            bad |= _bound_in(node.target)
        elif isinstance(node, ast.withitem) and node.optional_vars is not None:
            bad |= _bound_in(node.optional_vars)
        elif isinstance(node, (ast.MatchAs, ast.MatchStar, ast.ExceptHandler, ast.FunctionDef)) and node.name:
            bad.add(node.name)
        elif isinstance(node, ast.MatchMapping) and node.rest:
            bad.add(node.rest)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            bad.update(alias.asname or alias.name for alias in node.names)
    return good - bad


def _bound_in(target: ast.AST) -> set[str]:
    return {node.id for node in ast.walk(target) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}


def _is_fresh(value: Any) -> bool:
    if isinstance(value, ast.Call):
        return _called_name(value) in _FRESH_CALLS and isinstance(value.func, ast.Name)
    return isinstance(value, _FRESH)


def _called_name(node: ast.Call) -> str:
    function = node.func
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
