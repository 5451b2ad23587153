"""Messages to tokens and back, and templates that cannot carry a conversation with tools."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium as gym
import pytest

import astra_gym
from astra_train.chat_tokens import ChatTokens
from astra_train.errors import ChatTemplateError

pytestmark = pytest.mark.filterwarnings("ignore")
NO_TOOLS = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"


@pytest.fixture
def tokenizer(tiny_folder: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(tiny_folder)


def test_pieces_join_to_the_rendered_conversation(tokenizer: Any, long_env_ids: list[str]) -> None:
    chat = ChatTokens(tokenizer)
    for env_id in long_env_ids:
        played = astra_gym.rollout(gym.make(env_id), astra_gym.OracleModel(), seed=0)
        ids = chat.initial(played.messages[:1], played.tools)
        rest = list(played.messages[1:])
        for action in played.actions:
            ids += chat.assistant(action)
            rest.pop(0)
            shown = []
            while rest and rest[0]["role"] == "tool":
                shown.append(rest.pop(0))
            ids += chat.context(shown) if shown else []
        whole = tokenizer.apply_chat_template(list(played.messages), tools=list(played.tools), tokenize=False)
        assert tokenizer.decode(ids).replace("</tool_call>\n<tool_call>", "</tool_call><tool_call>") == whole.rstrip(
            "\n"
        )


@pytest.mark.parametrize(
    "text", ["Oslo", "naïve — 東京 🙂", '<tool_call>{"name":"a","arguments":{}}</tool_call>', " x\n\n y ", ""]
)
def test_a_turn_decodes_to_what_was_written(tokenizer: Any, text: str) -> None:
    chat = ChatTokens(tokenizer)
    assert chat.decode(chat.assistant(text)) == text
    assert chat.assistant(text)[-1] == chat.stop_token_ids[0]


def test_a_template_without_tools_is_refused(tokenizer: Any) -> None:
    tokenizer.chat_template = NO_TOOLS
    with pytest.raises(ChatTemplateError, match="does not show tools"):
        ChatTokens(tokenizer)


def test_no_template_is_refused(tokenizer: Any) -> None:
    tokenizer.chat_template = None
    with pytest.raises(ChatTemplateError, match="no chat template"):
        ChatTokens(tokenizer)


def test_a_template_that_drops_results_is_refused(tokenizer: Any) -> None:
    tokenizer.chat_template = tokenizer.chat_template.replace(
        "message.content + '</tool_response>'", "'</tool_response>'"
    )
    with pytest.raises(ChatTemplateError, match="does not append a tool's result"):
        ChatTokens(tokenizer)


def test_a_template_that_raises_names_the_roles(tokenizer: Any) -> None:
    tokenizer.chat_template += (
        "{% for m in messages if m.role == 'tool' %}{{ raise_exception('no tools here') }}{% endfor %}"
    )
    with pytest.raises(ChatTemplateError, match=r"\['user', 'assistant', 'tool'\]: no tools here"):
        ChatTokens(tokenizer)


def test_a_turn_that_ends_with_ordinary_text_is_refused(tokenizer: Any) -> None:
    tokenizer.chat_template = tokenizer.chat_template.replace("<|im_end|>", " end of turn ")
    with pytest.raises(ChatTemplateError, match="no special token"):
        ChatTokens(tokenizer)
