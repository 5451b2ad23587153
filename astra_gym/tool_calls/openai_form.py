"""Assistant text <-> the chat messages of the OpenAI form, with native tool calls.

Ids are numbered, so equal texts give equal messages; those that an endpoint gave are dropped. A malformed call cannot
stand in `tool_calls` (chat templates and servers parse the arguments): it stays in the content and is answered by a
user message.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from astra_gym.records import JSON
from astra_gym.tool_calls.parsing import Turn, parse_turn
from astra_gym.tool_calls.rendering import (
    CALL_CLOSE,
    CALL_OPEN,
    call_block,
    json_text,
    printable,
    render_call,
    render_result_texts,
)
from astra_gym.types import Message, ToolCall


def to_openai(text: str, first_id: int = 0) -> Message:
    """What the model wrote, as an assistant message; its calls are `call_<first_id>`, `call_<first_id + 1>`..."""
    turn = parse_turn(text)
    return turn_messages(turn, [""] * len(turn.calls), first_id)[0]


def turn_messages(turn: Turn, texts: Sequence[str], first_id: int = 0) -> list[Message]:
    """A turn and its answers: the assistant message, a tool message a call, one from the user for malformed calls.

    Args:
        texts: the result text of each call, in order (those of malformed calls included).
        first_id: the number of the first call in the conversation.
    """
    message: Message = {"role": "assistant", "content": turn.content}
    messages = [message]
    malformed: list[str] = []
    for index, call in enumerate(turn.calls):
        if isinstance(call, ToolCall):
            call_id = f"call_{first_id + index}"
            function = {"name": call.name, "arguments": json_text(call.arguments)}
            message.setdefault("tool_calls", []).append({"id": call_id, "type": "function", "function": function})
            messages.append({"role": "tool", "tool_call_id": call_id, "content": texts[index]})
        else:
            message["content"] = f"{message['content']}\n{CALL_OPEN}{call.text}{CALL_CLOSE}".lstrip("\n")
            malformed.append(texts[index])
    if malformed:
        messages.append({"role": "user", "content": render_result_texts(malformed)})
    return messages


def from_openai(message: Mapping[str, Any]) -> str:
    """The action that an assistant message stands for. Total: a native call that cannot be read becomes malformed.

    Beside native calls, content whose tags would hide them or add to them has its '<' written as `&lt;`.
    """
    content = _content_text(message.get("content"))
    blocks = [_native_block(call) for call in message.get("tool_calls") or ()]
    text = "\n".join([content, *blocks] if content else blocks)
    if blocks and "<" in content and parse_turn(text).calls != parse_turn("\n".join(blocks)).calls:
        text = "\n".join([content.replace("<", "&lt;"), *blocks])
    return text


def _content_text(content: JSON) -> str:
    """The text of a message's content: a string, nothing, or a list of parts."""
    if isinstance(content, str):
        return printable(content)
    parts = content if isinstance(content, Sequence) else ()
    texts = [part.get("text") for part in parts if isinstance(part, Mapping)]
    return printable("".join(text for text in texts if isinstance(text, str)))


def _native_block(tool_call: JSON) -> str:
    """A native call as a block; canonical when it can be read, else as it is, for `parse_turn` to report."""
    function = tool_call.get("function") if isinstance(tool_call, Mapping) else None
    given = function if isinstance(function, Mapping) else {}
    block = call_block({"name": given.get("name"), "arguments": given.get("arguments")})
    (call,) = parse_turn(block).calls
    return render_call(call) if isinstance(call, ToolCall) else block
