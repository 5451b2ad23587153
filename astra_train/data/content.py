"""What an env asks about: its question, the things named in it, and its gold calls with the arguments filled in.

Two envs overlap when they share one of these, whatever their ids are. `split.py` decides with them who may train.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from astra_gym.records import JSON, canonical_json
from astra_gym.types import GoldCall, ToolEnvSpec, is_ref


@dataclass(frozen=True, slots=True)
class Content:
    """What one env, or one conversation, has of its own. Texts are folded: case and spaces do not count."""

    id: str
    question: str
    entities: frozenset[str]
    """Texts among the literal arguments of the gold calls that stand in the question: what it names. No numbers."""
    mentions: frozenset[str]
    """Every text among the arguments of the calls and among the answers: all that a policy learns to write."""
    calls: frozenset[str]
    """Tool and filled-in arguments of each gold call, as canonical JSON."""
    domain: str = ""
    hops: int = 0


def fold(text: str) -> str:
    """`text` without regard to case, width of spaces and line breaks."""
    return " ".join(text.casefold().split())


def content_of(spec: ToolEnvSpec) -> Content:
    """The content of a spec. An argument that refers to an upstream answer is filled with that answer."""
    question = fold(spec.question)
    literals = {fold(text) for sub in spec.needed if sub.call is not None for text in _texts(sub.call.arguments)}
    filled = {sub.id: _filled(spec, sub.call) for sub in spec.topological if sub.call is not None}
    written = [arguments for _, arguments in filled.values()]
    written += [spec.answer.value, *(sub.answer.value for sub in spec.sub_questions)]
    return Content(
        id=spec.id,
        question=question,
        entities=frozenset(text for text in literals if text in question),
        mentions=frozenset(fold(text) for value in written for text in _texts(value)),
        calls=frozenset(call_key(tool, arguments) for tool, arguments in filled.values()),
        domain=spec.domain,
        hops=spec.hops,
    )


def content_of_messages(env_id: str, messages: Sequence[Mapping[str, Any]]) -> Content:
    """The content of a conversation in the OpenAI form: its question, the calls made in it and the final answer."""
    question = next((fold(str(m["content"] or "")) for m in messages if m["role"] == "user"), "")
    made = [call["function"] for message in messages for call in message.get("tool_calls") or ()]
    calls = [(str(function["name"]), orjson.loads(function["arguments"])) for function in made]
    named = frozenset(fold(text) for _, arguments in calls for text in _texts(arguments))
    return Content(
        id=env_id,
        question=question,
        entities=frozenset(text for text in named if text in question),  # an answer such as "no" names nothing
        mentions=named | {fold(text) for text in _texts(_final(messages))},
        calls=frozenset(call_key(tool, arguments) for tool, arguments in calls),
    )


def _final(messages: Sequence[Mapping[str, Any]]) -> JSON:
    """The last turn's text when it is the final answer, as JSON where it is JSON."""
    last = messages[-1] if messages else {}
    if last.get("role") != "assistant" or last.get("tool_calls"):
        return None
    text = str(last["content"] or "")
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return text


def call_key(tool: str, arguments: JSON) -> str:
    """One text for equal calls: keys sorted, texts folded, 3.0 written as 3."""
    return f"{tool} {canonical_json(_plain(arguments)).decode()}"


def _filled(spec: ToolEnvSpec, call: GoldCall) -> tuple[str, JSON]:
    return call.tool, _fill(spec, call.arguments)


def _fill(spec: ToolEnvSpec, value: JSON) -> JSON:
    """`value` with upstream answers for references; a reference elsewhere into an output becomes what it names."""
    if is_ref(value):
        upstream = spec.by_id[value["$ref"]]
        path = value.get("path")
        if path is None or path == upstream.result_path or upstream.call is None:
            return upstream.answer.value
        return {"$of": call_key(*_filled(spec, upstream.call)), "path": path}
    if isinstance(value, dict):
        return {key: _fill(spec, item) for key, item in value.items()}
    if isinstance(value, list):
        return [_fill(spec, item) for item in value]
    return value


def _texts(value: JSON) -> Iterator[str]:
    """Every text among the values of `value`; references and keys are none."""
    if isinstance(value, str):
        if value.strip():
            yield value
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)
    elif isinstance(value, dict) and not is_ref(value) and "$of" not in value:
        for item in value.values():
            yield from _texts(item)


def _plain(value: JSON) -> JSON:
    if isinstance(value, str):
        return fold(value)
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return value
