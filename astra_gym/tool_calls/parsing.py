"""Assistant text -> content and calls. Total: a block becomes a `ToolCall` or a `MalformedCall` with a readable error.

Lenient where the meaning is clear: `arguments` may be an object written as a JSON string (the OpenAI form) or be called
`parameters` (the Llama form); `id` and `"type": "function"` may stand beside them; a block may lack its closing tag;
inside `<think>...</think>` (opened by the text or by the prompt) nothing is a call; a lone surrogate reads as "?".
Refused: other keys, duplicate keys, NaN, integers beyond 64 bits, too long, too deep, too many.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import orjson

from astra_gym.records import JSON
from astra_gym.tool_calls.rendering import CALL_CLOSE, CALL_OPEN, printable
from astra_gym.types import ToolCall, ToolError

THINK_OPEN, THINK_CLOSE = "<think>", "</think>"
FORM = '{"name": "<tool>", "arguments": {...}}'

MAX_CALLS = 64
"""Calls run in one turn; the blocks after them are answered by one error together."""
MAX_CALL_CHARS = 65_536
"""Longest JSON text of one call, in characters."""
MAX_DEPTH = 32
"""Deepest nesting of objects and arrays inside one call."""

_SCALARS = frozenset({str, int, bool, type(None)})
_INT64_MIN, _UINT64_MAX = -(2**63), 2**64 - 1


@dataclass(frozen=True, slots=True)
class MalformedCall:
    """A block that is no call: counted as one, answered by its error."""

    text: str
    """What stood in the block, at most its first 1,000 characters."""
    error: ToolError


Call: TypeAlias = ToolCall | MalformedCall


class Turn(NamedTuple):
    """One assistant turn, taken apart."""

    content: str
    """The text outside the blocks, thoughts included; the text as it is when there is no block."""
    calls: tuple[Call, ...]
    """In the order written; empty means that `content` is the final answer."""

    @property
    def answer(self) -> str:
        """The content without its thoughts."""
        return _without_thoughts(self.content)


class _MalformedError(ValueError):
    """Why JSON is no call, in words for the model."""


def parse_turn(text: str) -> Turn:
    """Take one assistant turn apart. Never raises for a str; linear in its length."""
    if not text.isascii():
        text = printable(text)
    start = text.find(CALL_OPEN)
    if start < 0:
        return Turn(text, ())
    if "think>" in text:
        return _parse_thoughtful(text, start)
    call, end = _read_block(text, start + len(CALL_OPEN))
    before = text[:start].strip() if start else ""
    if end == len(text):
        return Turn(before, (call,))
    return _parse_blocks(text, [before], [call], end, str.find)


def _parse_thoughtful(text: str, start: int) -> Turn:
    """`parse_turn` of text with thoughts, in which the calls do not count."""
    end = _head_thought_end(text, start)
    if _next_call(text, CALL_OPEN, end) < 0:
        return Turn(text, ())
    return _parse_blocks(text, [text[:end].strip()], [], end, _next_call)


def _parse_blocks(
    text: str, outside: list[str], calls: list[Call], end: int, find: Callable[[str, str, int], int]
) -> Turn:
    """Read the blocks from `end` on, after the content and calls before; `find` tells where the next one opens."""
    while (start := find(text, CALL_OPEN, end)) >= 0:
        outside.append(text[end:start].strip())
        if len(calls) == MAX_CALLS:
            calls.append(_too_many(text[start:]))
            end = len(text)
            break
        call, end = _read_block(text, start + len(CALL_OPEN))
        calls.append(call)
    outside.append(text[end:].strip())
    return Turn("\n".join([piece for piece in outside if piece]), tuple(calls))


def _next_call(text: str, opening: str, position: int) -> int:
    """Where the next block outside a thought opens, or -1: `str.find` that skips thoughts."""
    start = text.find(opening, position)
    while start >= 0:
        thought = text.find(THINK_OPEN, position, start)
        if thought < 0:
            return start
        position = text.find(THINK_CLOSE, thought)
        if position < 0:
            return -1
        if position > start:
            start = text.find(opening, position)
    return -1


def _head_thought_end(text: str, first_call: int) -> int:
    """The end of a thought that the prompt opened and the text only closes; 0 when there is none."""
    close = text.find(THINK_CLOSE)
    if close < 0 or 0 <= text.find(THINK_OPEN) < close:
        return 0
    if first_call < close:  # the tag may be part of an argument
        call, end = _read_block(text, first_call + len(CALL_OPEN))
        if isinstance(call, ToolCall) and end > close:
            return 0
    return close + len(THINK_CLOSE)


def _without_thoughts(text: str) -> str:
    head, found, tail = text.partition(THINK_CLOSE)
    if found and THINK_OPEN not in head:
        text = tail
    first, *others = text.split(THINK_OPEN)
    return (first + "".join(thought.partition(THINK_CLOSE)[2] for thought in others)).strip()


def _read_block(text: str, start: int) -> tuple[Call, int]:
    """The block whose JSON begins at `start`, and where the text goes on after it."""
    end = text.find(CALL_CLOSE, start)
    if not 0 <= end <= start + MAX_CALL_CHARS:
        return _read_irregular_block(text, start, end)
    try:
        return _read_call(text[start:end]), end + len(CALL_CLOSE)
    except orjson.JSONDecodeError:
        return _read_irregular_block(text, start, end)
    except _MalformedError as error:
        return _malformed(text[start:end], str(error)), end + len(CALL_CLOSE)


def _read_irregular_block(text: str, start: int, end: int) -> tuple[Call, int]:
    """A block that is not JSON up to its first closing tag (`end`, or -1).

    It may lack that tag, hold one inside a string, or be malformed up to the tag or the next block.
    """
    following = text.find(CALL_OPEN, start, end if end >= 0 else len(text))
    ends = [] if following < 0 and end >= 0 else [following if following >= 0 else len(text)]
    close = end
    while 0 <= close <= start + MAX_CALL_CHARS and len(ends) < 8:
        close = text.find(CALL_CLOSE, close + 1)
        ends.append(close)
    for candidate in ends:
        if 0 <= candidate <= start + MAX_CALL_CHARS:
            after = candidate + (len(CALL_CLOSE) if text.startswith(CALL_CLOSE, candidate) else 0)
            try:
                return _read_call(text[start:candidate]), after
            except orjson.JSONDecodeError:
                continue
            except _MalformedError as error:
                return _malformed(text[start:candidate], str(error)), after
    if following >= 0 or end < 0:
        stop = after = following if following >= 0 else len(text)
    else:
        stop, after = end, end + len(CALL_CLOSE)
    block = text[start:stop]
    return _malformed(block, _why_not_json(block, closed=after > stop)), after


def _why_not_json(block: str, closed: bool) -> str:
    if len(block) > MAX_CALL_CHARS:
        return f"the call is {len(block)} characters long; at most {MAX_CALL_CHARS} are read"
    unclosed = "" if closed else f", and no {CALL_CLOSE} follows"
    try:
        orjson.loads(block)
    except orjson.JSONDecodeError as error:
        near = block[max(0, error.pos - 12) : error.pos + 12]
        where = f"line {error.lineno} column {error.colno}, near {near!r}"
        return f"not valid JSON at {where}: {error.msg}{unclosed}. Expected {FORM}"
    return f"not read{unclosed}. Expected {FORM}"


def _malformed(block: str, why: str) -> MalformedCall:
    return MalformedCall(block[:1000], ToolError("invalid_json", why))


def _too_many(rest: str) -> MalformedCall:
    return _malformed(rest, f"at most {MAX_CALLS} calls are run in a turn; the {rest.count(CALL_OPEN)} after were not")


def _read_call(block: str) -> ToolCall:
    """Raises: orjson.JSONDecodeError when `block` is not JSON, _MalformedError when it is JSON but no call."""
    body = orjson.loads(block)
    if type(body) is dict and len(body) == 2:
        name = body.get("name")
        arguments = body.get("arguments")
        # With as many colons as keys no key can be there twice. orjson reads an integer beyond 64 bits as a float.
        if name and type(name) is str and type(arguments) is dict and block.count(":") == 2 + len(arguments):
            for value in arguments.values():
                kind = type(value)
                if kind not in _SCALARS and (kind is not float or abs(value) >= 2.0**63):
                    break
            else:
                return ToolCall(name, arguments)
    return _read_call_carefully(block)


def _read_call_carefully(block: str) -> ToolCall:
    """`_read_call` for what is not plainly flat and free of duplicates."""
    body = _strict_json(block)
    if not isinstance(body, dict):
        raise _MalformedError(f"found {_kind(body)}. Expected {FORM}")
    if odd := sorted(body.keys() - {"name", "arguments", "parameters", "id", "type"}):
        raise _MalformedError(f"unknown key {_kind(odd[0])} beside the name and the arguments. Expected {FORM}")
    name = body.get("name")
    if not isinstance(name, str) or not name:
        raise _MalformedError(f"`name` must be the name of a tool, found {_kind(name)}. Expected {FORM}")
    given = [key for key in ("arguments", "parameters") if key in body]
    if len(given) != 1:
        raise _MalformedError(f"expected `arguments`, found {' and '.join(given) or 'none'}. Expected {FORM}")
    arguments = body[given[0]]
    if isinstance(arguments, str):
        arguments = _arguments_from_text(arguments)
    if not isinstance(arguments, dict):
        raise _MalformedError(f"`{given[0]}` must be an object, found {_kind(arguments)}. Expected {FORM}")
    if body.get("type", "function") != "function":
        raise _MalformedError(f"`type` must be 'function' when it is given, found {_kind(body['type'])}")
    call_id = body.get("id")
    return ToolCall(name, arguments, call_id if isinstance(call_id, str) else None)


def _arguments_from_text(text: str) -> JSON:
    """The arguments that an OpenAI message carries as a string; blank stands for none."""
    if not text.strip():
        return {}
    try:
        return _strict_json(text)
    except orjson.JSONDecodeError as error:
        raise _MalformedError(
            f"`arguments` is a string that is not JSON at character {error.pos}: {error.msg}"
        ) from None


def _strict_json(text: str) -> JSON:
    """The JSON value of `text`, as orjson reads it, but for what a call must not hold (see the module)."""
    orjson.loads(text)
    too_deep = _MalformedError(f"nested deeper than {MAX_DEPTH} levels")
    try:
        value = json.loads(text, object_pairs_hook=_unique, parse_int=_int64)
    except RecursionError:
        raise too_deep from None
    level = [value]
    for _ in range(MAX_DEPTH + 1):
        level = [x for v in level if isinstance(v, dict | list) for x in (v.values() if isinstance(v, dict) else v)]
        if not level:
            return value
    raise too_deep


def _unique(pairs: list[tuple[str, JSON]]) -> dict[str, JSON]:
    body: dict[str, JSON] = {}
    for key, value in pairs:
        if key in body:
            raise _MalformedError(f"the key {_kind(key)} stands twice in one object")
        body[key] = value
    return body


def _int64(digits: str) -> int:
    if len(digits) > 20 or not _INT64_MIN <= int(digits) <= _UINT64_MAX:
        raise _MalformedError(f"the integer {digits[:24]} needs more than 64 bits; give it as a string if the tool can")
    return int(digits)


def _kind(value: JSON) -> str:
    return {dict: "an object", list: "an array", type(None): "nothing"}.get(type(value)) or repr(value)[:60]
