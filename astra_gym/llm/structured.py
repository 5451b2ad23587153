"""One JSON object out of what a model wrote, checked against its type; what does not fit says why, for a re-ask.

Models wrap JSON in code fences, think aloud first, stop in the middle, write a key twice. Only the last two lose
information, so only the wrapping is taken off. Nothing is mended or guessed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import TypeVar

from pydantic import ValidationError

from astra_gym.records import JSON, Record, check_json

R = TypeVar("R", bound=Record)
Check = Callable[[R], None]
"""A further condition on a reply; raises ValueError with words that the model can act on."""

_THOUGHT = re.compile(r"\A\s*<think>.*?</think>", re.DOTALL)
_FENCE = re.compile(r"^[ \t]*```[A-Za-z]*[ \t]*\n(.*?)\n[ \t]*```[ \t]*$", re.DOTALL | re.MULTILINE)
"""A fence stands on lines of its own, and a JSON text holds no line end: no fence inside a value is taken for one."""
_SHOWN_ERRORS = 5


class UnfitReplyError(ValueError):
    """Why a reply cannot be used, in words for the model."""


def parse_reply(content: str, reply: type[R], check: Check[R] | None = None) -> R:
    """The reply that `content` holds. Raises: UnfitReplyError."""
    value = find_object(content)
    try:
        check_json(value, "the reply")
        parsed = reply.model_validate(value)
        if check is not None:
            check(parsed)
    except ValidationError as error:
        raise UnfitReplyError(_told(error)) from None
    except ValueError as error:
        raise UnfitReplyError(str(error)) from None
    return parsed


def find_object(content: str) -> dict[str, JSON]:
    """The one JSON object in `content`, be it fenced, after a thought or amid words. Raises: UnfitReplyError."""
    text = _THOUGHT.sub("", content)
    if text.lstrip().startswith("<think>"):
        raise UnfitReplyError("the thought (<think>) has no end, so no JSON object follows it")
    fenced = _FENCE.findall(text)
    if len(fenced) == 1:
        text = fenced[0]
    start = text.find("{")
    if start < 0:
        raise UnfitReplyError("it holds no JSON object")
    if text.lstrip().startswith("["):
        raise UnfitReplyError("it is a JSON list; one JSON object is wanted")
    value, end = _decode(text, start)
    if text.find("{", end) >= 0:
        raise UnfitReplyError("it holds more than one JSON object; exactly one is wanted")
    return value


def _decode(text: str, start: int) -> tuple[dict[str, JSON], int]:
    decoder = json.JSONDecoder(object_pairs_hook=_without_twins, parse_constant=_no_constant)
    try:
        value, end = decoder.raw_decode(text, start)
    except json.JSONDecodeError as error:
        near = text[max(0, error.pos - 30) : error.pos + 30]
        raise UnfitReplyError(
            f"it is not valid JSON: {error.msg} at line {error.lineno} column {error.colno}, near {near!r}"
        ) from None
    except RecursionError:
        raise UnfitReplyError("it is nested too deep") from None
    return value, end


def _without_twins(pairs: list[tuple[str, JSON]]) -> dict[str, JSON]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = sorted({key for key in keys if keys.count(key) > 1})
        raise UnfitReplyError(f"an object holds the keys {twice} more than once")
    return found


def _no_constant(name: str) -> JSON:
    raise UnfitReplyError(f"{name} is no JSON value")


def _told(error: ValidationError) -> str:
    """A validation error as a model can act on it: where, what is wrong, what was found."""
    problems = []
    for problem in error.errors(include_url=False)[:_SHOWN_ERRORS]:
        where = "/" + "/".join(str(step) for step in problem["loc"])
        found = "" if problem["type"] == "missing" else f" (found {problem['input']!r:.80})"
        problems.append(f"at {where}: {problem['msg']}{found}")
    more = error.error_count() - len(problems)
    return "it does not fit the schema: " + "; ".join(problems) + (f"; and {more} more" if more > 0 else "")


def reply_schema(reply: type[Record]) -> dict[str, JSON]:
    """The JSON Schema of a reply, without the titles that pydantic makes up."""
    return dict(_without_titles(reply.model_json_schema()))


def _without_titles(schema: JSON, *, names: bool = False) -> JSON:
    """`names`: the keys at this level are property names, not keywords."""
    if isinstance(schema, list):
        return [_without_titles(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        key: _without_titles(value, names=not names and key in {"properties", "$defs"})
        for key, value in schema.items()
        if names or key != "title"
    }
