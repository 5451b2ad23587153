"""Seeded samples of a JSON Schema (2020-12): what `ToolCallSpace.sample` fills a call with.

A sample is built by type and then validated as a whole; keywords that cannot be aimed at (`not`, `if`, `uniqueItems`,
`dependentRequired`...) are met by trying again. It explores, it does not guess answers: `examples` and `default` are
used only when nothing else succeeds.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import jsonschema_rs
import numpy as np
import orjson

from astra_gym.errors import SpecError
from astra_gym.gold import resolve_pointer
from astra_gym.pattern_samples import sample_matching
from astra_gym.records import JSON, canonical_json

ATTEMPTS = 64
_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_SCALARS = ("string", "integer", "number", "boolean")
_MAX_DEPTH = 8
_FORMATS = {
    "date": r"(19[5-9]\d|20[0-2]\d)-(0[1-9]|1[0-2])-(0[1-9]|1\d|2[0-8])",
    "time": r"([01]\d|2[0-3]):[0-5]\d:[0-5]\dZ",
    "date-time": r"20[0-2]\d-(0[1-9]|1[0-2])-(0[1-9]|1\d|2[0-8])T([01]\d|2[0-3]):[0-5]\d:[0-5]\dZ",
    "email": r"[a-z]{3,8}@example\.(com|org)",
    "uri": r"https://example\.(com|org)/[a-z]{3,8}",
    "uuid": r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}",
    "ipv4": r"(1\d?\d?\.){3}[1-9]",
}


def sample_schema(schema: dict[str, JSON], rng: np.random.Generator) -> JSON:
    """A value that `schema` accepts. Raises: SpecError when it is no schema, or none was found in `ATTEMPTS` tries."""
    try:
        accepts, examples = _compiled(canonical_json(schema))
    except ValueError as error:
        raise SpecError(f"not a JSON Schema: {str(error)[:200]}; found {str(schema)[:100]}") from None
    last: JSON = None
    for _ in range(ATTEMPTS):
        try:
            last = _value(schema, schema, rng, _MAX_DEPTH)
        except (ValueError, LookupError) as error:
            last = str(error)
            break
        if accepts(last):
            return last
    for example in examples:
        if accepts(example):
            return example
    raise SpecError(f"no value found for the schema {str(schema)[:200]}; the last try was {str(last)[:100]}")


@lru_cache(maxsize=1024)
def _compiled(schema_json: bytes) -> tuple[Any, tuple[JSON, ...]]:
    """The validator, and the values that the schema itself offers."""
    schema = orjson.loads(schema_json)
    offered = [*schema.get("examples", []), *([schema["default"]] if "default" in schema else [])]
    properties = schema.get("properties", {})
    by_name = {
        name: [*p.get("examples", []), *([p["default"]] if "default" in p else [])]
        for name, p in properties.items()
        if isinstance(p, dict)
    }
    offered.append({name: values[0] for name, values in by_name.items() if values})
    return jsonschema_rs.validator_for(schema).is_valid, tuple(offered)


def _value(schema: JSON, root: JSON, rng: np.random.Generator, depth: int) -> JSON:
    """A value by the keywords of `schema`; `root` is where `$ref` points into."""
    if not isinstance(schema, dict):
        if schema is False:
            raise ValueError("the schema `false` accepts nothing")
        return _text({}, rng)
    schema = _flattened(schema, root, rng, depth)
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return _choose(schema["enum"], rng)
    kind = _kind(schema, rng, depth)
    match kind:
        case "object":
            return _object(schema, root, rng, depth)
        case "array":
            return _array(schema, root, rng, depth)
        case "string":
            return _text(schema, rng)
        case "integer" | "number":
            return _number(schema, rng, whole=kind == "integer")
        case "boolean":
            return bool(rng.integers(2))
    return None


def _flattened(schema: dict[str, JSON], root: JSON, rng: np.random.Generator, depth: int) -> dict[str, JSON]:
    """`schema` with its `$ref`, all of `allOf` and one of `anyOf` and `oneOf` merged into it."""
    if depth < -_MAX_DEPTH:
        raise ValueError("the schema refers to itself without end")
    parts: list[JSON] = list(schema.get("allOf", []))
    parts += [_choose(schema[key], rng) for key in ("anyOf", "oneOf") if key in schema]
    if "$ref" in schema:
        reference = schema["$ref"]
        if not reference.startswith("#"):
            raise ValueError(f"$ref {reference!r} points outside the schema")
        parts.append(resolve_pointer(root, reference[1:]))
    merged = {key: value for key, value in schema.items() if key not in ("allOf", "anyOf", "oneOf", "$ref")}
    for part in parts:
        flat = _flattened(part, root, rng, depth - 1) if isinstance(part, dict) else {}
        properties = {**flat.get("properties", {}), **merged.get("properties", {})}
        required = list(dict.fromkeys([*merged.get("required", []), *flat.get("required", [])]))
        merged = {**flat, **merged, "properties": properties, "required": required}
    return merged


def _kind(schema: dict[str, JSON], rng: np.random.Generator, depth: int) -> str:
    kinds = schema.get("type")
    if isinstance(kinds, list):
        shallow = [kind for kind in kinds if kind not in ("object", "array")]
        return str(_choose(shallow if depth <= 0 and shallow else kinds, rng))
    if kinds is not None:
        return str(kinds)
    hints = {"properties": "object", "items": "array", "prefixItems": "array", "pattern": "string", "minimum": "number"}
    for keyword, kind in hints.items():
        if schema.get(keyword):
            return kind
    return str(_choose(_SCALARS, rng))


def _object(schema: dict[str, JSON], root: JSON, rng: np.random.Generator, depth: int) -> dict[str, JSON]:
    required, properties = schema.get("required", []), schema.get("properties", {})
    optional = [name for name in properties if name not in required and depth > 0]
    names = [*required, *(name for name in optional if rng.integers(2))]
    while len(names) < min(schema.get("minProperties", 0), len(required) + len(optional)):
        names.append(next(name for name in optional if name not in names))
    kept = names[: schema.get("maxProperties", len(names))]
    rest = schema.get("additionalProperties", True)
    return {name: _value(properties.get(name, rest), root, rng, depth - 1) for name in kept}


def _array(schema: dict[str, JSON], root: JSON, rng: np.random.Generator, depth: int) -> list[JSON]:
    prefix, items = schema.get("prefixItems", []), schema.get("items", True)
    low = max(schema.get("minItems", 0), len(prefix))
    high = low if depth <= 0 or items is False else low + 2
    length = int(rng.integers(low, min(high, schema.get("maxItems", high)) + 1)) if low <= high else low
    schemas = [*prefix, *[items] * length][:length]
    return [_value(item, root, rng, depth - 1) for item in schemas]


def _text(schema: dict[str, JSON], rng: np.random.Generator) -> str:
    pattern = schema.get("pattern") or _FORMATS.get(schema.get("format", ""))
    if pattern:
        return sample_matching(pattern, rng)
    low = schema.get("minLength", 0)
    high = max(low, min(schema.get("maxLength", max(low, 3) + 6), low + 12))
    length = int(rng.integers(max(low, min(3, high)), high + 1))
    return "".join(_choose(_LETTERS, rng) for _ in range(length))


def _number(schema: dict[str, JSON], rng: np.random.Generator, whole: bool) -> int | float:
    step = schema.get("multipleOf", 1 if whole else None)
    low = max(schema.get("minimum", -np.inf), schema.get("exclusiveMinimum", -np.inf))
    high = min(schema.get("maximum", np.inf), schema.get("exclusiveMaximum", np.inf))
    low = low if np.isfinite(low) else (min(high, 0) if np.isfinite(high) else 0) - (100 if np.isfinite(high) else 0)
    high = high if np.isfinite(high) else low + 100
    if step is None:
        return round(float(rng.uniform(low, high)), 3) if high - low > 0.01 else float(rng.uniform(low, high))
    first, last = int(np.ceil(low / step)), int(np.floor(high / step))
    value = step * int(rng.integers(first, max(first, last) + 1))
    return int(value) if whole else value


def _choose(options: Any, rng: np.random.Generator) -> Any:
    if not options:
        raise ValueError("nothing to choose from")
    return options[int(rng.integers(len(options)))]
