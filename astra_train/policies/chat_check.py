"""Whether a tokenizer's chat template can carry an episode: tools, tool results, and turns that only append."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from astra_gym.tool_calls.rendering import CALL_OPEN
from astra_train.chat_tokens import ChatTokens
from astra_train.errors import ChatTemplateError
from astra_train.policies.folders import ModelFolderError
from astra_train.policies.foreign import explained

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from astra_gym.types import Message
    from astra_train.policies.check import ModelReport


def _tool(name: str, *parameters: str) -> dict[str, Any]:
    properties = {parameter: {"type": "string"} for parameter in parameters}
    schema = {"type": "object", "properties": properties, "required": list(parameters)}
    return {"type": "function", "function": {"name": name, "description": "A probe.", "parameters": schema}}


_PROBES = [_tool("probe_weather_a1", "probe_city_b2", "probe_day_c3"), _tool("probe_route_d4", "probe_start_e5")]
_MUST_SHOW = ("probe_weather_a1", "probe_city_b2", "probe_day_c3", "probe_route_d4", "probe_start_e5")
_QUESTION: Message = {"role": "user", "content": "probe question f6"}
_CALL: Message = {
    "role": "assistant",
    "content": "",
    "tool_calls": [
        {
            "id": "call_0",
            "type": "function",
            "function": {"name": "probe_route_d4", "arguments": {"probe_start_e5": "probe value 07"}},
        }
    ],
}
_RESULT: Message = {"role": "tool", "tool_call_id": "call_0", "name": "probe_route_d4", "content": "probe result 18"}


def check_chat(report: ModelReport, folder: Path, tokenizer: PreTrainedTokenizerBase) -> None:
    """Add to `report` what ends a turn. Raises: ModelFolderError when the chat template cannot carry an episode."""
    if not getattr(tokenizer, "chat_template", None):
        raise ModelFolderError(f"{folder}: the tokenizer has no chat template; take an instruct model, or set one")
    _check_tools(folder, tokenizer)
    appended = _check_append_only(folder, tokenizer)
    if CALL_OPEN not in appended:
        report.notes.append(
            f"{folder}: the chat template writes tool calls in a form of its own; envs read {CALL_OPEN} blocks, so "
            "this model has to learn them first (`astra train sft`)"
        )
    try:
        report.stop_token_ids = ChatTokens(tokenizer).stop_token_ids
    except ChatTemplateError as error:
        raise ModelFolderError(str(error)) from error
    _note_end_of_turn(report, folder, tokenizer)


def _render(tokenizer: PreTrainedTokenizerBase, messages: list[Message], tools: list[dict[str, Any]] | None) -> str:
    untyped: Any = tokenizer
    return str(untyped.apply_chat_template(messages, tools=tools, tokenize=False, add_generation_prompt=True))


def _check_tools(folder: Path, tokenizer: PreTrainedTokenizerBase) -> None:
    with explained(f"{folder}: the chat template fails on a question with tools"):
        without, with_tools = (_render(tokenizer, [_QUESTION], tools) for tools in (None, _PROBES))
    left_out = [name for name in _MUST_SHOW if name not in with_tools]
    if with_tools == without or len(left_out) == len(_MUST_SHOW):
        raise ModelFolderError(
            f"{folder}: the chat template shows no tools to the model; take a model whose template does, or set one"
        )
    if left_out:
        raise ModelFolderError(
            f"{folder}: the chat template leaves out {', '.join(left_out)} of two tools; it must show each tool's name "
            "and parameters"
        )


def _check_append_only(folder: Path, tokenizer: PreTrainedTokenizerBase) -> str:
    """A tool's result must come after what stood there before, and change none of it. Returns: what came after."""
    with explained(f"{folder}: the chat template fails on a tool call and its result"):
        before = _render(tokenizer, [_QUESTION], _PROBES)
        after = _render(tokenizer, [_QUESTION, _CALL, _RESULT], _PROBES)
    if not after.startswith(before):
        raise ModelFolderError(
            f"{folder}: the chat template is not append-only: with a call and its result added, what came before reads "
            "otherwise, so that what was sampled would not be what is trained on; set another template"
        )
    appended = after[len(before) :]
    for what, text in (("tool calls", "probe value 07"), ("tool results", "probe result 18")):
        if text not in appended:
            raise ModelFolderError(f"{folder}: the chat template leaves out {what}; set one that carries them")
    return appended


def _note_end_of_turn(report: ModelReport, folder: Path, tokenizer: PreTrainedTokenizerBase) -> None:
    """Servers stop at what the generation configuration says; ours is told the end-of-turn token."""
    stops: set[int] = set()
    for name in ("generation_config.json", "config.json"):
        path = folder / name
        found = json.loads(path.read_text(encoding="utf-8")).get("eos_token_id") if path.is_file() else None
        stops = {found} if isinstance(found, int) else set(found or ())
        if stops:
            break
    end = report.stop_token_ids[0]
    if end not in stops:
        report.notes.append(
            f"{folder}: the chat template ends a turn with {tokenizer.convert_ids_to_tokens(end)!r} ({end}), but the "
            f"generation configuration has eos_token_id {sorted(stops)}; set it before the model is served elsewhere"
        )
