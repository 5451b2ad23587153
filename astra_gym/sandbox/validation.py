"""Whether a call's arguments fit the tool's JSON Schema, and what to tell the model when they do not.

The compiled check (`jsonschema-rs`) runs on every call; only after it failed is the readable message made, by
`jsonschema`, in one wording: where, what was found, what would do.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Any

import jsonschema
import jsonschema_rs
import orjson

from astra_gym.errors import SpecError
from astra_gym.records import JSON
from astra_gym.sandbox.regex_risk import longest_subject, regex_risk
from astra_gym.types import ToolError, ToolSpec

META = jsonschema.Draft202012Validator
MAX_SHOWN = 80
MAX_PROBLEMS = 3
MAX_SCHEMA_NODES = 20_000
MAX_DEPTH = 64
_SCALARS = frozenset({int, bool, type(None)})
"""Exact types of which every value is fit for JSON."""


class ArgumentValidator:
    """The compiled schema of one tool."""

    __slots__ = ("_is_valid", "_longest", "_schema", "tool_name")

    def __init__(self, tool: ToolSpec) -> None:
        self.tool_name = tool.name
        self._schema = tool.parameters
        try:
            schema = orjson.dumps(tool.parameters)
        except TypeError as error:
            raise SpecError(f"tool {tool.name!r}: the schema is not plain JSON: {error}") from None
        self._is_valid, self._longest = _compile(tool.name, schema)

    def check(self, arguments: Mapping[str, JSON]) -> ToolError | None:
        """None when the arguments fit, else an `invalid_arguments` error. Never raises, whatever the arguments."""
        try:
            if self._longest is not None and _longest_text(arguments) > self._longest:
                return self._error(f"a text is too long for the schema's patterns: at most {self._longest:,} letters")
            if self._is_valid(arguments):
                for value in arguments.values():
                    kind = type(value)
                    if not (value.isascii() if kind is str else kind in _SCALARS):
                        return _unfit(self.tool_name, arguments)
                return None
        except Exception as error:  # noqa: BLE001 - arguments are a model's: one bad call is contained here
            return _unfit(self.tool_name, arguments) or self._error(
                f"the arguments cannot be checked: {type(error).__name__}; send plain JSON values"
            )
        return _unfit(self.tool_name, arguments) or self._error(self._explain(arguments))

    def _error(self, message: str) -> ToolError:
        return ToolError("invalid_arguments", f"arguments of {self.tool_name!r}: {message}")

    def _explain(self, arguments: Mapping[str, JSON]) -> str:
        """Up to three problems, the most relevant first."""
        try:
            errors = sorted(
                META(self._schema).iter_errors(arguments), key=jsonschema.exceptions.relevance, reverse=True
            )
        except Exception as error:  # noqa: BLE001 - the explanation must not be what fails
            return f"they do not fit the schema ({type(error).__name__})"
        problems = [_problem(error) for error in errors[:MAX_PROBLEMS]]
        if len(errors) > MAX_PROBLEMS:
            problems.append(f"and {len(errors) - MAX_PROBLEMS} more")
        return "; ".join(problems) or "they do not fit the schema"


@lru_cache(maxsize=8192)
def _compile(name: str, schema: bytes) -> tuple[Callable[[Any], bool], int | None]:
    """The compiled check of a schema, and how long a text its patterns may be run on (None: any length).

    Raises: SpecError when it is no usable schema.
    """
    document = orjson.loads(schema)
    check_schema(document, name)
    try:
        validator = jsonschema_rs.Draft202012Validator(document)
    except (ValueError, TypeError, jsonschema_rs.ReferencingError) as error:
        raise SpecError(f"tool {name!r}: the schema cannot be compiled: {_short(str(error), 200)}") from None
    limits = [longest_subject(pattern) for _, pattern in _patterns(document)]
    return validator.is_valid, min((limit for limit in limits if limit is not None), default=None)


def _longest_text(value: JSON) -> int:
    """Characters of the longest text, name or value, anywhere in `value`."""
    longest = 0
    waiting: list[Any] = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, str):
            longest = max(longest, len(item))
        elif isinstance(item, Mapping):
            waiting.extend(item)
            waiting.extend(item.values())
        elif isinstance(item, list):
            waiting.extend(item)
    return longest


def _patterns(schema: JSON) -> Iterator[tuple[str, str]]:
    """(place, pattern) of every regular expression in a schema."""
    for place, key, value in _walk(schema):
        if key == "patternProperties" and isinstance(value, dict):
            yield from ((place, pattern) for pattern in value)
        elif key == "pattern" and isinstance(value, str):
            yield place, value


def check_schema(schema: JSON, name: str) -> None:
    """Refuse a schema that is invalid, refers outside itself or holds a pattern that could take for ever.

    Raises: SpecError naming the place.
    """
    try:
        META.check_schema(schema)
    except jsonschema.SchemaError as error:
        place = "/" + "/".join(map(str, error.absolute_path))
        raise SpecError(f"tool {name!r}: schema at {place}: {_short(error.message, 200)}") from None
    for count, (place, key, value) in enumerate(_walk(schema)):
        if count > MAX_SCHEMA_NODES:
            raise SpecError(f"tool {name!r}: the schema has more than {MAX_SCHEMA_NODES:,} parts")
        if key in ("$ref", "$dynamicRef") and isinstance(value, str) and not value.startswith("#"):
            raise SpecError(
                f"tool {name!r}: schema at {place}: only references inside the schema ('#/...') are allowed"
            )
        if key == "$id" and isinstance(value, str):
            raise SpecError(f"tool {name!r}: schema at {place}: '$id' is not allowed")
    for place, pattern in _patterns(schema):
        if risk := regex_risk(pattern):
            raise SpecError(f"tool {name!r}: schema at {place}: pattern {_short(repr(pattern))} refused: {risk}")


def _walk(schema: JSON) -> Iterator[tuple[str, str, JSON]]:
    """(place, key, value) of every member of every object that is a schema (not of enums, constants and examples)."""
    waiting: list[tuple[str, JSON, bool]] = [("", schema, True)]
    while waiting:
        place, node, is_schema = waiting.pop()
        if isinstance(node, list):
            waiting.extend([(f"{place}/{index}", item, is_schema) for index, item in enumerate(node)])
        elif isinstance(node, dict):
            for key, value in node.items():
                if is_schema and key in ("enum", "const", "examples", "default"):
                    continue
                if is_schema:
                    yield place or "/", key, value
                names = is_schema and key in (
                    "properties",
                    "$defs",
                    "definitions",
                    "patternProperties",
                    "dependentSchemas",
                )
                waiting.append((f"{place}/{key}", value, not names))


def _problem(error: jsonschema.ValidationError) -> str:
    """One problem: where, what was found, what would do."""
    place = "".join(f"/{_short(str(part), 40)}" for part in error.absolute_path)
    where = f"at {place}: " if place else ""
    found, wanted = error.instance, error.validator_value
    match error.validator:
        case "required":
            missing = [name for name in wanted if isinstance(found, dict) and name not in found]
            return f"{where}missing {', '.join(map(repr, missing))}; given: {_names(found)}"
        case "additionalProperties" if isinstance(found, dict):
            known = sorted(error.schema.get("properties", ()))
            extra = [name for name in found if name not in known]
            return f"{where}unknown {', '.join(_short(repr(name)) for name in extra[:5])}; expected only {known}"
        case "type":
            return f"{where}expected {_kinds(wanted)}, found {_kind(found)} {_show(found)}"
        case "enum":
            return f"{where}expected one of {_short(_show_list(wanted), 300)}, found {_show(found)}"
        case "const":
            return f"{where}expected {_show(wanted)}, found {_show(found)}"
        case "pattern":
            return f"{where}expected text that matches {_short(repr(wanted))}, found {_show(found)}"
        case _:
            return f"{where}found {_show(found)}, which breaks {error.validator}: {_show(wanted)}"


def _unfit(name: str, arguments: Mapping[str, JSON]) -> ToolError | None:
    """The error for values that JSON does not have: NaN, infinities, lone surrogates, other types, endless nesting."""
    waiting: list[tuple[str, Any, int]] = [("", arguments, 0)]
    while waiting:
        place, value, depth = waiting.pop()
        problem = _unfit_value(value, depth)
        if problem:
            return ToolError("invalid_arguments", f"arguments of {name!r}: at {place or '/'}: {problem}")
        if isinstance(value, dict):
            waiting.extend(
                [(f"{place}/{_short(_clean(str(key)), 40)}", item, depth + 1) for key, item in value.items()]
            )
        elif isinstance(value, list):
            waiting.extend([(f"{place}/{index}", item, depth + 1) for index, item in enumerate(value)])
    return None


def _unfit_value(value: Any, depth: int) -> str | None:
    if depth > MAX_DEPTH:
        return f"nested deeper than {MAX_DEPTH} levels"
    if isinstance(value, float) and not math.isfinite(value):
        return f"expected a number, found {value}"
    if isinstance(value, dict):
        bad = [key for key in value if not isinstance(key, str) or key != _clean(key)]
        return "a name that is not valid text" if bad else None
    if value is None or isinstance(value, (bool, int, float, list)):
        return None
    if isinstance(value, str):
        return None if value.isascii() or value == _clean(value) else "text with an unpaired surrogate"
    return f"expected a JSON value, found {type(value).__name__}"


def _clean(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


def _names(value: JSON) -> str:
    return _short(", ".join(repr(name) for name in value), 200) if isinstance(value, dict) and value else "nothing"


def _kinds(wanted: JSON) -> str:
    return " or ".join(wanted) if isinstance(wanted, list) else str(wanted)


def _kind(value: JSON) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    names: dict[type, str] = {int: "integer", float: "number", str: "string", list: "array", dict: "object"}
    return names.get(type(value), type(value).__name__)


def _show(value: JSON) -> str:
    if isinstance(value, int) and value.bit_length() > 256:
        return "a very large number"
    try:
        return _short(orjson.dumps(value).decode())
    except TypeError:
        return _short(_clean(repr(value)))


def _show_list(values: JSON) -> str:
    return ", ".join(_show(value) for value in values[:20]) + (", ..." if len(values) > 20 else "")


def _short(text: str, limit: int = MAX_SHOWN) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"
