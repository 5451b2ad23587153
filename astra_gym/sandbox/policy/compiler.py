"""Tool source to a code object, once a process for each text."""

from __future__ import annotations

import ast
import warnings
from dataclasses import dataclass
from functools import lru_cache
from types import CodeType

from astra_gym.sandbox.modules.registry import MODULES
from astra_gym.sandbox.policy.analysis import Facts, facts_of
from astra_gym.sandbox.policy.definitions import Definitions
from astra_gym.sandbox.policy.names import PRIVATE_PREFIX
from astra_gym.sandbox.policy.prepare import FILE_NAME, Prepare, parse, taken_names
from astra_gym.sandbox.policy.violations import PolicyViolationError, Violation


@dataclass(frozen=True, slots=True)
class CompiledSource:
    """A source that passed the policy."""

    code: CodeType
    facts: Facts


@lru_cache(maxsize=4096)
def compile_source(source: str, name: str = "tool", outside: frozenset[str] = frozenset()) -> CompiledSource:
    """Check and compile `source`; `name` is for messages.

    Raises: PolicyViolationError with every reason why it is refused.
    """
    tree = parse(source, name)
    if taken := taken_names(tree):
        private, line = taken[0]
        message, hint = (
            f'names that start with "{PRIVATE_PREFIX}_" are reserved, found "{private}"',
            "choose another name",
        )
        raise PolicyViolationError(name, (Violation(line, 0, "reserved-name", message, hint),))
    Prepare().visit(tree)
    facts = facts_of(tree, outside)
    policy = Definitions(facts, MODULES)
    tree.body = policy.visit_body(tree.body)
    if policy.violations:
        found = sorted(dict.fromkeys(policy.violations), key=lambda violation: (violation.line, violation.column))
        raise PolicyViolationError(name, tuple(found))
    ast.fix_missing_locations(tree)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            code = compile(tree, FILE_NAME, "exec", dont_inherit=True, optimize=0)
        except (SyntaxError, ValueError, RecursionError) as error:
            line = getattr(error, "lineno", 1) or 1
            raise PolicyViolationError(name, (Violation(line, 0, "syntax", str(error.args[0])),)) from None
    return CompiledSource(code, facts)


def check_source(source: str, function_name: str) -> None:
    """Refuse tool source that the policy does not allow or that does not define `function_name`.

    Raises: PolicyViolationError (a PolicyError) whose message names line, rule and what would do.
    """
    compiled = compile_source(source, function_name, frozenset())  # as a program asks for it: compiled once
    if function_name not in compiled.facts.functions:
        defined = ", ".join(sorted(compiled.facts.functions)) or "none"
        message = f"no function {function_name!r} at the top level; found: {defined}"
        hint = "define a function with the tool's name"
        raise PolicyViolationError(function_name, (Violation(1, 0, "missing-function", message, hint),))
