"""Gold calls with their references resolved: JSON Pointers into outputs, and arguments filled from upstream answers.

It only moves values; whether an output answers a sub-question is decided in `verifier.py`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from astra_gym.records import JSON
from astra_gym.types import Decomposition, GoldCall, ToolCall, is_ref

_INDEX = re.compile(r"0|[1-9][0-9]{0,17}")


def resolve_pointer(value: JSON, pointer: str) -> JSON:
    """The value at a JSON Pointer (RFC 6901) inside `value`; "" is `value` itself.

    Raises: LookupError when nothing stands there, with the step that failed.
    """
    if not pointer:
        return value
    if not pointer.startswith("/"):
        raise LookupError(f"JSON Pointer {pointer!r} must be empty or start with '/'")
    for step in pointer[1:].split("/"):
        key = step.replace("~1", "/").replace("~0", "~")
        if isinstance(value, dict) and key in value:
            value = value[key]
        elif isinstance(value, list) and _INDEX.fullmatch(key) and int(key) < len(value):
            value = value[int(key)]
        else:
            raise LookupError(f"nothing at {key!r} of {pointer!r}")
    return value


def fill_refs(value: JSON, lookup: Callable[[str, str | None], JSON]) -> JSON:
    """`value` with every `{"$ref": id, "path": p}` replaced by `lookup(id, p)` (p is None when not given)."""
    if is_ref(value):
        return lookup(value["$ref"], value.get("path"))
    if isinstance(value, dict):
        return {key: fill_refs(item, lookup) for key, item in value.items()}
    if isinstance(value, list):
        return [fill_refs(item, lookup) for item in value]
    return value


def resolve_call(decomposition: Decomposition, call: GoldCall, outputs: Mapping[str, JSON]) -> ToolCall:
    """The gold call with its references replaced by values from `outputs` (sub-question id to tool output).

    Raises: LookupError when an upstream output is missing or holds nothing at the path.
    """

    def lookup(ref: str, path: str | None) -> JSON:
        if ref not in outputs:
            raise LookupError(f"no output of {ref!r} yet; there are {sorted(outputs)}")
        upstream = decomposition.by_id[ref]
        return resolve_pointer(outputs[ref], upstream.result_path if path is None else path)

    return ToolCall(call.tool, fill_refs(call.arguments, lookup))
