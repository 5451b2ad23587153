"""The allowed subset of Python in words, for prompts and documentation; generated from the policy's own tables."""

from __future__ import annotations

from astra_gym.sandbox import limits
from astra_gym.sandbox.guards.builtins import EXCEPTIONS, FUNCTIONS
from astra_gym.sandbox.guards.classes import CLASS_FUNCTIONS
from astra_gym.sandbox.modules.registry import MODULES
from astra_gym.sandbox.policy.names import (
    DENIED_ATTRIBUTES,
    FORBIDDEN_STATEMENTS,
    MAGIC_METHODS,
    NAMED_TUPLE_API,
    PRIVATE_PREFIX,
    UNAVAILABLE_NAMES,
)

_QUIET = frozenset({"gi_frame", "mro", "format_map", "with_traceback", "add_note"})


def describe_policy() -> str:
    """What tool source may contain: language, builtins, modules, limits. Markdown, without a heading of its own."""
    return "\n\n".join((_language(), _builtins(), _modules(), _limits()))


def _language() -> str:
    forbidden = "\n".join(f"- {kind.__name__}: {hint}." for kind, hint in FORBIDDEN_STATEMENTS.items())
    return f"""A tool is a plain function: its parameters are the properties of its JSON Schema, its result is JSON
(dict, list, str, int, float, bool, None; tuples, sets, dates, Decimal, dataclasses and enums are converted). It signals
bad input by `raise ValueError("what is wrong and what would do")`. Ordinary Python works: annotations, f-strings,
comprehensions, generators, nested functions, lambda, try, with, match, classes, dataclasses, decorators, global.

Not available:
{forbidden}
- names: {", ".join(sorted(UNAVAILABLE_NAMES))}.
- attributes that start with an underscore (except {", ".join(sorted(NAMED_TUPLE_API))}; `_x` and `self._x` of your own
  are fine and are renamed to `{PRIVATE_PREFIX}_x`), and {", ".join(sorted(DENIED_ATTRIBUTES & _QUIET))} and the like.
- magic methods other than {", ".join(sorted(MAGIC_METHODS))}; classes derived from builtin containers; metaclasses.
- return, break or continue inside finally; yield inside try ... finally or with; `except` catches Exception at most."""


def _builtins() -> str:
    known = {**FUNCTIONS, **CLASS_FUNCTIONS}
    functions = sorted(name for name in known if name not in EXCEPTIONS and name[0].islower())
    return f"Builtins: {', '.join(functions)}.\nExceptions: {', '.join(sorted(EXCEPTIONS))}."


def _modules() -> str:
    lines = []
    for name, module in sorted(MODULES.items()):
        members = sorted(member for member in module.__dict__ if not member.startswith("_"))
        lines.append(f"- `{name}`: {', '.join(members)}")
    return (
        "Modules (nothing else can be imported; `datetime.now` and `time.time` give the episode's frozen clock, "
        "`random` the episode's seeded numbers, and sets are walked in sorted order):\n" + "\n".join(lines)
    )


def _limits() -> str:
    default = limits.Limits()
    return f"""Limits of one call:
- {default.fuel:,} loop steps and function calls; large values cost one for every {limits.SIZE_PER_FUEL} elements.
- {limits.MAX_LENGTH:,} elements a value, {limits.MAX_BITS:,} bits an integer, {limits.MAX_RANGE:,} numbers a range.
- {limits.MAX_FRAMES} levels of recursion.
- a result of {limits.MAX_RESULT_BYTES:,} bytes, {limits.MAX_RESULT_NODES:,} values, {limits.MAX_RESULT_DEPTH} levels.
- regular expressions of {limits.MAX_PATTERN:,} characters without nested or overlapping repeats.
- source of {limits.MAX_SOURCE_BYTES:,} bytes."""
