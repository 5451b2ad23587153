"""Tool calls and tool results as text: the inverse of `parsing`, and the observation after a turn."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

import orjson

from astra_gym.records import JSON
from astra_gym.types import ToolCall, ToolResult

CALL_OPEN, CALL_CLOSE = "<tool_call>", "</tool_call>"
RESULT_OPEN, RESULT_CLOSE = "<tool_response>", "</tool_response>"

MAX_OBSERVATION_CHARS = 262_144
"""Longest observation after a turn with calls; only several long results reach it, and are cut to an equal share."""
_AROUND_RESULT_CHARS = 80
"""Room for the tags and the note around one result."""


def json_text(value: JSON) -> str:
    """Compact JSON of plain data; integers of any size and lone surrogates (as "?") included."""
    try:
        return orjson.dumps(value).decode()
    except TypeError:
        return printable(json.dumps(value, ensure_ascii=False, separators=(",", ":")))


def printable(text: str) -> str:
    """`text` with lone surrogates replaced by "?", so that it can be written as UTF-8 or JSON."""
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace").decode()
    return text


def render_call(call: ToolCall) -> str:
    """The call as a block that `parse_turn` reads back."""
    body: dict[str, JSON] = {"name": call.name, "arguments": call.arguments}
    if call.id is not None:
        body["id"] = call.id
    return call_block(body)


def call_block(body: JSON) -> str:
    """JSON of any kind between the tags of a call."""
    return f"{CALL_OPEN}{_without_tags(json_text(body))}{CALL_CLOSE}"


def render_turn(content: str, calls: Iterable[ToolCall]) -> str:
    """Assistant text with this content, then these calls: the inverse of `parse_turn` for content without tags."""
    blocks = [render_call(call) for call in calls]
    return "\n".join([content, *blocks] if content else blocks)


def result_text(result: ToolResult) -> str:
    """What the model is shown of one result: the JSON of the output, or `{"error": {"code", "message"}}`."""
    if result.error is None:
        try:
            return orjson.dumps(result.output).decode()
        except TypeError:
            return json_text(result.output)
    return json_text({"error": {"code": result.error.code, "message": result.error.message}})


def render_results(results: Sequence[ToolResult]) -> str:
    """The observation after a turn with calls: one `<tool_response>` block a result, in the order of the calls."""
    return render_result_texts([result_text(result) for result in results])


def render_result_texts(texts: Sequence[str]) -> str:
    """`render_results` of results that are already text; at most `MAX_OBSERVATION_CHARS` long."""
    if len(texts) == 1 and len(texts[0]) < 10_000 and RESULT_CLOSE not in texts[0]:
        return f"{RESULT_OPEN}\n{texts[0]}\n{RESULT_CLOSE}"
    texts = [_without_tags(text) if RESULT_CLOSE in text else text for text in texts]
    if sum(map(len, texts)) > MAX_OBSERVATION_CHARS - _AROUND_RESULT_CHARS * len(texts):
        share = MAX_OBSERVATION_CHARS // len(texts) - _AROUND_RESULT_CHARS
        texts = [text if len(text) <= share else f"{text[:share]}... [cut: {len(text)} characters]" for text in texts]
    return "\n".join([f"{RESULT_OPEN}\n{text}\n{RESULT_CLOSE}" for text in texts])


def _without_tags(text: str) -> str:
    """JSON text in which no tag can be seen: '<' stands in strings only, where it may be escaped."""
    return text.replace("<", "\\u003c") if "<" in text else text
