"""A conversation as the tokens of an episode, those to learn marked: through `ChatTokens`, as it is played."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from astra_gym.tool_calls import MalformedCall, parse_turn
from astra_gym.types import Message, ToolCall
from astra_train.chat_tokens import ChatTokens, action_of
from astra_train.data.errors import DataError

CallForm: TypeAlias = Literal["compact", "spaced"]


@dataclass(frozen=True, slots=True)
class Encoded:
    """Tokens of a conversation up to its last assistant turn."""

    token_ids: list[int]
    learned: list[int]
    """1 for the tokens of assistant turns (their end-of-turn token included), 0 for all others; as long as the ids."""


def encode_conversation(
    tokens: ChatTokens,
    messages: Sequence[Message],
    tools: Sequence[Mapping[str, Any]],
    unlearned: Collection[int] = (),
    call_form: CallForm = "compact",
) -> Encoded:
    """The tokens that a policy would have read and sampled in this conversation.

    Args:
        messages: in the OpenAI form; what follows the last assistant turn is left out.
        unlearned: assistant turns, from 0, whose tokens are not to be learned.
        call_form: how the assistant's calls are written; "spaced" is how the templates of Hermes and Qwen write them.

    Raises: DataError when no assistant turn follows a question; ChatTemplateError.
    """
    turns = [index for index, message in enumerate(messages) if message["role"] == "assistant"]
    if not turns or turns[0] == 0:
        raise DataError(f"expected a question and then an assistant's turn, found {[m['role'] for m in messages[:4]]}")
    ids = tokens.initial(messages[: turns[0]], tools)
    learned = [0] * len(ids)
    for number, index in enumerate(turns):
        if number:
            between = messages[turns[number - 1] + 1 : index]
            if not between:
                raise DataError(f"assistant turns {number - 1} and {number} follow each other without a tool's result")
            context = tokens.context(between)
            ids += context
            learned += [0] * len(context)
        text = action_of(messages[index])
        turn = tokens.assistant(text if call_form == "compact" else spaced(text))
        ids += turn
        learned += [int(number not in unlearned)] * len(turn)
    return Encoded(ids, learned)


def spaced(text: str) -> str:
    """The turn with each call as Qwen's template writes it: on lines of its own, spaces after "," and ":"."""
    turn = parse_turn(text)
    if not turn.calls or any(isinstance(call, MalformedCall) for call in turn.calls):
        return text
    blocks = [
        f"<tool_call>\n{json.dumps({'name': call.name, 'arguments': call.arguments}, ensure_ascii=False)}\n</tool_call>"
        for call in turn.calls
        if isinstance(call, ToolCall)
    ]
    again = "\n".join([turn.content, *blocks] if turn.content else blocks)
    return again if parse_turn(again) == turn else text  # a tag inside an argument: the compact form escapes it
