"""Assistant text <-> tool calls, tool results -> what the model reads next, and both <-> OpenAI messages.

The form is that of Hermes and Qwen: any number of `<tool_call>{"name": ..., "arguments": {...}}</tool_call>` blocks in
a turn; what stands outside is content. Pure functions of their input; whether a tool exists is decided in `sandbox`.
"""

from astra_gym.tool_calls.openai_form import from_openai, to_openai, turn_messages
from astra_gym.tool_calls.parsing import MAX_CALL_CHARS, MAX_CALLS, MAX_DEPTH, Call, MalformedCall, Turn, parse_turn
from astra_gym.tool_calls.rendering import (
    MAX_OBSERVATION_CHARS,
    json_text,
    printable,
    render_call,
    render_result_texts,
    render_results,
    render_turn,
    result_text,
)

__all__ = [
    "MAX_CALLS",
    "MAX_CALL_CHARS",
    "MAX_DEPTH",
    "MAX_OBSERVATION_CHARS",
    "Call",
    "MalformedCall",
    "Turn",
    "from_openai",
    "json_text",
    "parse_turn",
    "printable",
    "render_call",
    "render_result_texts",
    "render_results",
    "render_turn",
    "result_text",
    "to_openai",
    "turn_messages",
]
