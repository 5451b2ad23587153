"""`template.format(...)` with indexes and item look-ups, but no attribute access."""

from __future__ import annotations

from _string import formatter_field_name_split, formatter_parser  # type: ignore[import-not-found]
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from astra_gym.sandbox.guards.compare import total
from astra_gym.sandbox.guards.text import format_converted
from astra_gym.sandbox.limits import MAX_LENGTH
from astra_gym.sandbox.meter import charge, out

Field = tuple[str, Any, tuple[Any, ...], str, int]
"""Literal text before it, first name ("" for automatic numbering, None for no field), item keys, spec, conversion."""


@lru_cache(maxsize=2048)
def _parse(template: str) -> tuple[Field, ...]:
    """The fields of a template. Raises: ValueError for an attribute look-up."""
    fields: list[Field] = []
    for literal, name, spec, conversion in formatter_parser(template):
        if name is None:
            fields.append((literal, None, (), "", -1))
            continue
        first, rest = formatter_field_name_split(name)
        keys = []
        for is_attribute, key in rest:
            if is_attribute:
                raise ValueError("attribute access in a format template is not available; use an f-string")
            keys.append(key)
        fields.append((literal, first, tuple(keys), spec or "", ord(conversion) if conversion else -1))
    return tuple(fields)


def format_template(template: str, args: Sequence[Any], options: Mapping[str, Any], nested: bool = False) -> str:
    """`template.format(*args, **options)`."""
    if len(template) > MAX_LENGTH // 8:
        out()
    parts: list[str] = []
    automatic = 0
    for literal, first, keys, spec, conversion in _parse(template):
        parts.append(literal)
        if first is None:
            continue
        if first == "":
            first = automatic
            automatic += 1
        value = _look_up(first, args, options)
        for key in keys:
            value = value[key] if isinstance(value, (dict, list, tuple, str)) else _no_items(value)
        if "{" in spec:
            if nested:
                raise ValueError("Max string recursion exceeded")
            count = sum(1 for _, name, _, _, _ in _parse(spec) if name == "")
            spec = format_template(spec, args[automatic:] if count else args, options, nested=True)
            automatic += count
        parts.append(format_converted(value, conversion, spec))
    charge(total(map(len, parts)))
    return "".join(parts)


def _look_up(name: Any, args: Sequence[Any], options: Mapping[str, Any]) -> Any:
    if isinstance(name, int):
        if name >= len(args):
            raise IndexError(f"Replacement index {name} out of range for positional args tuple")
        return args[name]
    return options[name]


def _no_items(value: Any) -> Any:
    raise TypeError(f"{type(value).__name__!r} object is not subscriptable in a format template")
