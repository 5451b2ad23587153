"""What comes of one item, and what it cost: as values, and as bytes between processes and in the journal."""

from __future__ import annotations

from dataclasses import dataclass, field

import orjson

from astra_gym.env_synthesis.llm.items import LlmItem
from astra_gym.errors import PipelineError
from astra_gym.llm.usage import Usage
from astra_gym.records import JSON, canonical_json
from astra_gym.spec_loading import load_spec
from astra_gym.suite import spec_bytes
from astra_gym.types import Rejected, ToolEnvSpec


@dataclass(frozen=True, slots=True)
class Placed:
    """An item and its place in the source, from 0: the files of a run are in this order, whichever was done first."""

    position: int
    item: LlmItem


@dataclass(frozen=True, slots=True)
class Outcome:
    """An item that is done: certified, or rejected."""

    position: int
    item_id: str
    result: ToolEnvSpec | Rejected
    usage: Usage = field(default_factory=Usage)


@dataclass(frozen=True, slots=True)
class Unanswered:
    """An item that an endpoint left without an answer: nothing is said of it, a later run asks again."""

    item_id: str
    reason: str
    dead: bool
    """Whether the endpoint is given up, and the run with it."""


def result_bytes(result: ToolEnvSpec | Rejected) -> bytes:
    """The line of a result in its file, without the line end."""
    return spec_bytes(result) if isinstance(result, ToolEnvSpec) else canonical_json(result.to_json())


def read_result(kept: bool, line: bytes) -> ToolEnvSpec | Rejected:
    """A result as `result_bytes` wrote it. Raises: SpecError when it is damaged."""
    return load_spec(orjson.loads(line)) if kept else Rejected.model_validate_json(line)


def pack(done: Outcome | Unanswered) -> bytes:
    """What one process tells another."""
    if isinstance(done, Unanswered):
        content: JSON = [done.item_id, done.reason, done.dead]
    else:
        kept = isinstance(done.result, ToolEnvSpec)
        line = result_bytes(done.result).decode()
        content = [done.position, done.item_id, kept, line, done.usage.as_json()]
    return orjson.dumps(content)


def pack_failure(reason: str) -> bytes:
    """What a process tells another that cannot go on."""
    return orjson.dumps([reason])


def unpack(packed: bytes) -> Outcome | Unanswered:
    """The opposite of `pack`. Raises: PipelineError of a `pack_failure`."""
    content = orjson.loads(packed)
    if len(content) == 1:
        raise PipelineError(content[0])
    if len(content) == 3:
        return Unanswered(*content)
    position, item_id, kept, line, usage = content
    return Outcome(position, item_id, read_result(kept, line.encode()), Usage(**usage))
