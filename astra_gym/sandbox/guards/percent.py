"""`template % values` with bounded widths and the sandbox's own text for what is not a scalar."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

from astra_gym.sandbox.guards.compare import total
from astra_gym.sandbox.guards.text import repr_of, str_of
from astra_gym.sandbox.limits import FREE_SIZE, MAX_FORMAT_WIDTH, MAX_LENGTH
from astra_gym.sandbox.meter import charge, out

_FIELD = re.compile(
    r"%(?:\((?P<key>[^)]*)\))?[-+ #0]*(?P<width>\*|\d*)(?:\.(?P<precision>\*|\d*))?[hlL]?(?P<kind>.)", re.DOTALL
)
_SCALARS = frozenset({int, float, bool, str, type(None)})


@lru_cache(maxsize=4096)
def _parse(template: str) -> tuple[tuple[str | None, str], ...]:
    """(mapping key or None, conversion letter) of each field that takes a value.

    Raises: LimitExceeded for a huge width; ValueError for one that is taken from the values.
    """
    fields: list[tuple[str | None, str]] = []
    for match in _FIELD.finditer(template):
        for part in (match["width"], match["precision"]):
            if part == "*":
                raise ValueError("a '*' width in % formatting is not available; use an f-string")
            if part and (len(part) > 4 or int(part) > MAX_FORMAT_WIDTH):
                out("format_width")
        if match["kind"] != "%":
            fields.append((match["key"], match["kind"]))
    return tuple(fields)


def percent_format(template: str, values: Any) -> str:
    """`template % values`."""
    if len(template) > MAX_LENGTH // 8:
        out()
    fields = _parse(template)
    if type(values) is tuple:
        replaced: Any = tuple(
            _shown(value, fields[index][1] if index < len(fields) else "s") for index, value in enumerate(values)
        )
    elif isinstance(values, dict):
        if all(name is not None for name, _ in fields) and fields:
            replaced = {name: _shown(values[name], kind) for name, kind in fields}
        else:
            replaced = (str_of(values),) if fields else values
    else:
        replaced = (_shown(values, fields[0][1] if fields else "s"),)
    parts = [replaced[name] for name, _ in fields] if isinstance(replaced, dict) else replaced
    total(len(part) for part in parts if type(part) is str)
    text: str = template % replaced
    if len(text) > FREE_SIZE:
        charge(len(text))
        if len(text) > MAX_LENGTH:
            out()
    return text


def _shown(value: Any, kind: str) -> Any:
    """What to hand to the native operator in place of `value`."""
    if kind in "ra":
        # A text whose own repr would be quoted again: handed over as an object with exactly that repr.
        return _Verbatim(repr_of(value)) if type(value) not in (int, float, bool, type(None)) else value
    if type(value) in _SCALARS:
        return value
    return str_of(value) if kind == "s" else value


class _Verbatim:
    """An object whose text is fixed."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return self.text

    __str__ = __repr__
