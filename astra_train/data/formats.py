"""A played conversation in the forms that trainers read, and back: OpenAI messages, ShareGPT, verl multi-turn.

- OpenAI: `{"messages": [...], "tools": [...]}`, arguments as JSON text: what `rollout` records and our SFT rows hold.
- ShareGPT as LLaMA-Factory reads it: `conversations` of from/value in strict alternation, `tools` as JSON text. The
  results of one turn stand in one observation, joined as its OpenAI converter joins them. It knows no text beside a
  call: such a turn is a `gpt` turn whose text has the `<tool_call>` blocks of the Hermes and Qwen templates.
- verl multi-turn (also TRL's and that of chat templates): as OpenAI, but arguments are objects and content is a text.

Call ids are numbered in order, as `rollout` does, where a form has no place for them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import orjson

from astra_gym.records import JSON
from astra_gym.tool_calls import from_openai, json_text, parse_turn, to_openai
from astra_gym.types import Message, Trajectory
from astra_train.data.errors import DataError

BETWEEN_RESULTS = "\n</tool_response>\n<tool_response>\n"
"""What stands between the results of one turn in a ShareGPT observation."""


@dataclass(frozen=True, slots=True)
class Conversation:
    """Messages in the OpenAI form (arguments as JSON text) and the schemas of the tools."""

    messages: tuple[Message, ...]
    tools: tuple[dict[str, JSON], ...]


def conversation_of(trajectory: Trajectory) -> Conversation:
    """What was said in an episode."""
    return Conversation(cast("tuple[Message, ...]", trajectory.messages), trajectory.tools)


def actions_of(conversation: Conversation) -> list[str]:
    """The assistant turns as texts for `env.step`, calls as `<tool_call>` blocks: with the seed they replay it."""
    return [_action(message) for message in conversation.messages if message["role"] == "assistant"]


def to_openai_form(conversation: Conversation) -> dict[str, JSON]:
    """The OpenAI form: `messages` and `tools`."""
    return {"messages": [dict(message) for message in conversation.messages], "tools": list(conversation.tools)}


def from_openai_form(record: Mapping[str, JSON]) -> Conversation:
    """The inverse of `to_openai_form`. Raises: DataError when a message is none of the form."""
    messages, tools = _listed(record, "messages"), _listed(record, "tools")
    for number, message in enumerate(messages):
        _check_message(message, number, arguments=str)
    return Conversation(tuple(messages), tuple(tools))


def to_verl(conversation: Conversation) -> dict[str, JSON]:
    """The form of chat templates: arguments as objects, content always a text."""
    return {
        "messages": [_verl_message(message) for message in conversation.messages],
        "tools": list(conversation.tools),
    }


def from_verl(record: Mapping[str, JSON]) -> Conversation:
    """The inverse of `to_verl`. Keys whose value is None (Arrow gives each message all of them) are left out.

    Raises: DataError when a message is none of the form.
    """
    messages = []
    for number, given in enumerate(_listed(record, "messages")):
        message = {key: value for key, value in dict(given).items() if value is not None or key == "content"}
        _check_message(message, number, arguments=dict)
        if "tool_calls" in message:
            message["tool_calls"] = [_with_arguments(call, json_text) for call in message["tool_calls"]]
        messages.append(cast("Message", message))
    return Conversation(tuple(messages), tuple(_listed(record, "tools")))


def to_sharegpt(conversation: Conversation) -> dict[str, JSON]:
    """The ShareGPT form: `conversations`, `system`, and `tools` as JSON text.

    Raises: DataError for what the form cannot hold: a conversation that does not end with the assistant, a turn with a
        readable and an unreadable call, a result with the tag that ends results.
    """
    messages = list(conversation.messages)
    system = str(messages.pop(0)["content"] or "") if messages and messages[0]["role"] == "system" else ""
    turns: list[dict[str, str]] = []
    for number, message in enumerate(messages):
        if message["role"] == "tool":
            _add_result(turns, _text(message), number)
        else:
            turns.append(_sharegpt_turn(message))
    _check_alternation(turns)
    tools = orjson.dumps(list(conversation.tools)).decode()
    return {"conversations": turns, "system": system, "tools": tools}


def from_sharegpt(record: Mapping[str, JSON]) -> Conversation:
    """The inverse of `to_sharegpt`. Raises: DataError when the turns or the number of results do not fit."""
    turns = _listed(record, "conversations")
    _check_alternation(turns)
    system = record.get("system") or ""
    messages: list[Message] = [{"role": "system", "content": system}] if system else []
    calls, waiting = 0, 0
    for number, turn in enumerate(turns):
        text = turn["value"]
        if turn["from"] == "observation":
            messages += _results(text, number, calls - waiting, waiting)
            waiting = 0
        elif turn["from"] == "human":
            messages.append({"role": "user", "content": text})
        else:
            message = _assistant(turn["from"], text, calls)
            waiting = len(message.get("tool_calls", ()))
            calls += len(parse_turn(_action(message)).calls)
            messages.append(message)
    return Conversation(tuple(messages), tuple(orjson.loads(record.get("tools") or "[]")))


def _action(message: Message) -> str:
    return from_openai(message) if message.get("tool_calls") else str(message["content"] or "")


def _text(message: Message) -> str:
    return message["content"] or ""


def _verl_message(message: Message) -> dict[str, JSON]:
    plain: dict[str, JSON] = {**message, "content": _text(message)}
    if "tool_calls" in message:
        plain["tool_calls"] = [_with_arguments(call, orjson.loads) for call in message["tool_calls"]]
    return plain


def _with_arguments(call: Mapping[str, JSON], convert: Any) -> dict[str, JSON]:
    function = dict(call["function"])
    return {**call, "function": {**function, "arguments": convert(function["arguments"])}}


def _sharegpt_turn(message: Message) -> dict[str, str]:
    if message["role"] == "user":
        return {"from": "human", "value": _text(message)}
    if not message.get("tool_calls") or _text(message):
        return {"from": "gpt", "value": _action(message)}
    functions = [call["function"] for call in message["tool_calls"]]
    calls = [{"name": f["name"], "arguments": orjson.loads(f["arguments"])} for f in functions]
    return {"from": "function_call", "value": json_text(calls[0] if len(calls) == 1 else calls)}


def _add_result(turns: list[dict[str, str]], result: str, number: int) -> None:
    if BETWEEN_RESULTS in result:
        raise DataError(f"message {number}: the result holds </tool_response>, which ends results in ShareGPT")
    if turns and turns[-1]["from"] == "observation":
        turns[-1]["value"] += BETWEEN_RESULTS + result
    else:
        turns.append({"from": "observation", "value": result})


def _check_alternation(turns: Sequence[Mapping[str, JSON]]) -> None:
    """LLaMA-Factory leaves out, with a warning only, what does not alternate."""
    for number, turn in enumerate(turns):
        fits = ("gpt", "function_call") if number % 2 else ("human", "observation")
        if turn["from"] not in fits:
            raise DataError(f"ShareGPT turn {number}: expected {' or '.join(fits)}, found {turn['from']!r}")
    if len(turns) % 2:
        raise DataError(f"ShareGPT: {len(turns)} turns; a conversation must end with the assistant")


def _results(text: str, number: int, first_id: int, count: int) -> list[Message]:
    results = text.split(BETWEEN_RESULTS)
    if len(results) != count:
        raise DataError(f"ShareGPT turn {number}: {len(results)} results for {count} calls")
    return [
        {"role": "tool", "tool_call_id": f"call_{first_id + i}", "content": result} for i, result in enumerate(results)
    ]


def _assistant(kind: str, text: str, first_id: int) -> Message:
    if kind == "gpt":
        return to_openai(text, first_id)
    given = orjson.loads(text)
    calls = given if isinstance(given, list) else [given]
    functions = [{"name": call["name"], "arguments": json_text(call["arguments"])} for call in calls]
    tool_calls = [{"id": f"call_{first_id + i}", "type": "function", "function": f} for i, f in enumerate(functions)]
    return {"role": "assistant", "content": "", "tool_calls": cast("list[dict[str, Any]]", tool_calls)}


def _listed(record: Mapping[str, JSON], key: str) -> list[Any]:
    found = record.get(key)
    if isinstance(found, str) or not isinstance(found, Sequence):
        raise DataError(f"expected {key!r} to be a list, found {type(found).__name__}; the keys are {sorted(record)}")
    return list(found)


def _check_message(message: Any, number: int, *, arguments: type) -> None:
    roles = ("system", "user", "assistant", "tool")
    if not isinstance(message, Mapping) or message.get("role") not in roles or "content" not in message:
        raise DataError(f"message {number}: expected a role among {list(roles)} and content, found {message!r:.120}")
    for call in message.get("tool_calls") or ():
        function = call.get("function") if isinstance(call, Mapping) else None
        if not isinstance(function, Mapping) or not isinstance(function.get("arguments"), arguments):
            wanted = "JSON text" if arguments is str else "an object"
            raise DataError(f"message {number}: expected a function with arguments as {wanted}, found {call!r:.120}")
