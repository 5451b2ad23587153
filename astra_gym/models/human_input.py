"""A line that a person typed -> an action: `tool key=value`, raw JSON, a `<tool_call>` block, or the final answer."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from astra_gym.nearest import nearest
from astra_gym.records import JSON
from astra_gym.tool_calls import MalformedCall, parse_turn, render_turn
from astra_gym.types import ToolCall

CALL_OPEN, CALL_CLOSE = "<tool_call>", "</tool_call>"
ANSWER = re.compile(r"answer\s*:\s*", re.IGNORECASE)
KEY = re.compile(r"[\s,]*([A-Za-z_]\w*)\s*=\s*")
BARE_VALUE = re.compile(r".*?(?=\s+[A-Za-z_]\w*\s*=|\s*$)")
LOOKS_LIKE_CALL = re.compile(r"[A-Za-z_]\w*\s+[A-Za-z_]\w*\s*=")


class LineError(ValueError):
    """The line is no call and hardly meant as an answer; the message says what would do."""


def action_of(line: str, tools: Sequence[dict[str, Any]]) -> str:
    """The assistant turn that the line stands for. Raises: LineError."""
    text = line.strip()
    schemas = {tool["function"]["name"]: tool["function"]["parameters"] for tool in tools}
    if match := ANSWER.match(text):
        return text[match.end() :]
    if text.startswith("{"):
        text = f"{CALL_OPEN}{text}{CALL_CLOSE}"
    if text.startswith(CALL_OPEN):
        return _checked(text)
    name, _, rest = text.partition(" ")
    if name in schemas:
        return render_turn("", [ToolCall(name, _arguments(rest, schemas[name]))])
    if LOOKS_LIKE_CALL.match(text):
        near = ", ".join(nearest(name, schemas)) or ", ".join(schemas)
        raise LineError(f"no tool {name!r}; there is {near}. To give this as your answer, write answer: before it")
    if not text:
        raise LineError("write a call, as in: tool key=value, or your final answer; ? shows the tools")
    return text


def _checked(text: str) -> str:
    for call in parse_turn(text).calls:
        if isinstance(call, MalformedCall):
            raise LineError(call.error.message)
    return text


def _arguments(text: str, schema: Mapping[str, Any]) -> dict[str, JSON]:
    arguments: dict[str, JSON] = {}
    position = 0
    while text[position:].strip():
        match = KEY.match(text, position)
        if match is None:
            keys = list(schema.get("properties", ()))
            raise LineError(f"expected key=value, found {text[position:].strip()!r}; the keys are {keys}")
        if match[1] in arguments:
            raise LineError(f"{match[1]!r} is given twice")
        arguments[match[1]], position = _value(text, match.end(), schema.get("properties", {}).get(match[1], {}))
    return arguments


def _value(text: str, start: int, schema: Mapping[str, Any]) -> tuple[JSON, int]:
    """The value that starts at `start`, and where it ends: JSON, text in single quotes, or words up to the next key."""
    if text[start : start + 1] in ('"', "[", "{"):
        try:
            return json.JSONDecoder().raw_decode(text, start)
        except json.JSONDecodeError as error:
            raise LineError(f"{text[start:]!r} is not JSON: {error.msg}") from None
    if text[start : start + 1] == "'":
        end = text.find("'", start + 1)
        if end < 0:
            raise LineError(f"no closing quote in {text[start:]!r}")
        return text[start + 1 : end], end + 1
    match = BARE_VALUE.match(text, start)
    word = match[0] if match else ""
    if schema.get("type") != "string":
        try:
            return json.loads(word), start + len(word)
        except json.JSONDecodeError:
            pass
    return word, start + len(word)
