"""Messages to tokens, turn by turn: the one place that decides what a policy reads and what it is trained on.

An episode's tokens are `initial`, then for each turn the tokens that the model sampled and the `context` that follows
them. What was sampled is never rendered or tokenized again, so what is trained on is what was played. The SFT data set,
the agent loop and the evaluation all go through here and agree token by token.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from astra_gym.types import Message
from astra_train.errors import ChatTemplateError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_MARK = "assistant turn 7f3a9"
_PROBE_USER: Message = {"role": "user", "content": "question"}
_PROBE_TOOL: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "probe_tool_4c1e",
        "description": "A probe.",
        "parameters": {"type": "object", "properties": {"probe_argument_9b2d": {"type": "string"}}},
    },
}


class ChatTokens:
    """A tokenizer's chat template, cut into the pieces that an episode is made of."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, template_kwargs: Mapping[str, Any] | None = None) -> None:
        """
        Args:
            template_kwargs: given to the chat template, for instance `enable_thinking`.

        Raises: ChatTemplateError when there is no template, it leaves out tools or tool results, or a turn has no
            token that ends it.
        """
        self.tokenizer = tokenizer
        self._kwargs = dict(template_kwargs or {})
        if not getattr(tokenizer, "chat_template", None):
            raise ChatTemplateError(f"{self._name}: the tokenizer has no chat template; use an instruct model")
        self._check_tools()
        self.end_of_turn = self._find_end_of_turn()
        eos = tokenizer.eos_token_id
        self.stop_token_ids: tuple[int, ...] = tuple(dict.fromkeys([self.end_of_turn, *([] if eos is None else [eos])]))
        """What ends a sampled turn, the end-of-turn token first."""
        self._check_context()

    @property
    def _name(self) -> str:
        return str(getattr(self.tokenizer, "name_or_path", "") or type(self.tokenizer).__name__)

    def initial(self, messages: Sequence[Message], tools: Sequence[Mapping[str, Any]]) -> list[int]:
        """Tokens of the system and user messages with the tool schemas, up to where the model begins to write."""
        return self._encode(self._render(messages, tools, generation_prompt=True))

    def assistant(self, text: str) -> list[int]:
        """Tokens that a model would have sampled to write this turn, the end-of-turn token included."""
        return [*self._encode(text), self.end_of_turn]

    def context(self, messages: Sequence[Message]) -> list[int]:
        """Tokens of tool messages between a sampled end-of-turn token and the model's next token."""
        text = self._after_mark(messages, generation_prompt=True)
        return self._encode(text[len(self._end_text) :])

    def decode(self, token_ids: Sequence[int]) -> str:
        """A sampled turn as the text of an action: without the tokens that end it."""
        kept = len(token_ids)
        while kept and token_ids[kept - 1] in self.stop_token_ids:
            kept -= 1
        return cast("str", self.tokenizer.decode(list(token_ids[:kept]), skip_special_tokens=False))

    def _encode(self, text: str) -> list[int]:
        return list(self.tokenizer.encode(text, add_special_tokens=False))

    def _render(
        self, messages: Sequence[Message], tools: Sequence[Mapping[str, Any]], *, generation_prompt: bool
    ) -> str:
        try:
            text = self.tokenizer.apply_chat_template(
                [dict(message) for message in messages],
                tools=[dict(tool) for tool in tools] or None,
                tokenize=False,
                add_generation_prompt=generation_prompt,
                **self._kwargs,
            )
        except Exception as error:  # a template is somebody else's program: it may raise anything
            roles = [message["role"] for message in messages]
            raise ChatTemplateError(f"{self._name}: the chat template fails on the roles {roles}: {error}") from error
        return str(text)

    def _after_mark(self, messages: Sequence[Message], *, generation_prompt: bool) -> str:
        """What the template writes after an assistant's turn followed by `messages`."""
        turn: Message = {"role": "assistant", "content": _MARK}
        text = self._render([_PROBE_USER, turn, *messages], (), generation_prompt=generation_prompt)
        before, mark, after = text.rpartition(_MARK)
        if not mark or not before:
            raise ChatTemplateError(f"{self._name}: the chat template leaves out an assistant's turn")
        return after

    def _check_tools(self) -> None:
        text = self._render([_PROBE_USER], [_PROBE_TOOL], generation_prompt=True)
        missing = [name for name in ("probe_tool_4c1e", "probe_argument_9b2d") if name not in text]
        if missing:
            raise ChatTemplateError(
                f"{self._name}: the chat template does not show tools to the model (a tool's name and parameters are "
                "left out); use a model whose template takes `tools`, or set one in tokenizer_config.json"
            )

    def _find_end_of_turn(self) -> int:
        after = self._after_mark((), generation_prompt=False)
        ids = self._encode(after.lstrip())
        special = set(self.tokenizer.all_special_ids) | set(self.tokenizer.added_tokens_decoder)
        if not ids or ids[0] not in special:
            raise ChatTemplateError(
                f"{self._name}: the chat template ends an assistant's turn with {after[:40]!r}, "
                "which is no special token"
            )
        start = len(after) - len(after.lstrip())
        self._end_text = after[: start + len(str(self.tokenizer.convert_ids_to_tokens(ids[0])))]
        return ids[0]

    def _check_context(self) -> None:
        probe: Message = {"role": "tool", "tool_call_id": "call_0", "name": "probe_tool_4c1e", "content": "r35u1t"}
        after = self._after_mark([probe], generation_prompt=True)
        if not after.startswith(self._end_text) or "r35u1t" not in after:
            raise ChatTemplateError(
                f"{self._name}: the chat template does not append a tool's result after the assistant's turn "
                f"(it writes {after[:80]!r})"
            )


def action_of(message: Message) -> str:
    """The text that an assistant message stands for, its calls as `<tool_call>` blocks."""
    from astra_gym.tool_calls import from_openai

    return from_openai(message) if message.get("tool_calls") else str(message.get("content") or "")


__all__ = ["ChatTokens", "action_of"]
