"""Authored replies: what a language model might say, written by hand, for tests, examples and demonstrations offline.

A topic is one file: an input item of `astra synthesize envs`, what must become of it, and the replies of all stages.
`authored.py` serves them.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Self

from pydantic import Field, JsonValue, ValidationError, model_validator

from astra_gym.errors import SpecError
from astra_gym.records import JSON, Record

ANY_STAGE = "*"


class AuthoredReply(Record):
    """One reply with what asks for it. Of several that fit a request the last in the file is given."""

    stage: str
    """The stage that it answers; "*" for every stage."""
    match: tuple[str, ...] = ()
    """Strings that must all stand in the first user message."""
    attempt: int | None = Field(default=None, ge=0)
    """How many assistant messages the request must hold: 0 the first time, 1 after one re-ask; None for any."""
    seed: int | None = None
    """The request's `seed`; None for any."""
    times: int | None = Field(default=None, ge=1)
    """Given so many times, then passed over; None for ever."""
    reply: dict[str, JSON] | None = None
    """Written as JSON into the assistant's message. Its `source` may be a list of lines."""
    text: str | None = None
    """The assistant's message as it is, in place of `reply`."""
    finish_reason: str = "stop"
    refusal: str | None = None
    body: str | None = None
    """The whole HTTP body, in place of a chat completion: an HTML page, half a JSON."""
    status: int = 200
    headers: dict[str, str] = Field(default_factory=dict)
    """Of the HTTP response, for example Retry-After."""
    delay_s: float = Field(default=0.0, ge=0)
    drop: bool = False
    """Close the connection in the middle of the body."""

    @model_validator(mode="after")
    def _says_one_thing(self) -> Self:
        given = [name for name in ("reply", "text", "refusal", "body") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"give exactly one of reply, text, refusal and body, found {given}")
        return self

    @property
    def content(self) -> str | None:
        """The assistant's message; None for a refusal."""
        if self.reply is None:
            return self.text
        source = self.reply.get("source")
        whole = {**self.reply, "source": "\n".join(source) + "\n"} if isinstance(source, list) else self.reply
        return json.dumps(whole, ensure_ascii=False)


class AuthoredTopic(Record):
    """One file: an input item of `astra synthesize envs`, what must become of it, and the replies of all stages."""

    about: str
    """Who wrote the replies and for what; says that no model did."""
    id: str
    item: dict[str, JsonValue]
    """A line of the input file."""
    flaw: str | None = None
    """What is wrong with the replies, in a few words; None when they are sound as they stand."""
    expected: str
    """ "sound", or the stage at which the item must be rejected."""
    reason: str = ""
    """Words that must stand in the reason of the rejection."""
    replies: tuple[AuthoredReply, ...]


def read_topics(path: Path) -> tuple[AuthoredTopic, ...]:
    """The topics of one JSON file, or of all `*.json` in a folder by name.

    Raises: SpecError when a file is missing, empty or no topic; it says which and why.
    """
    files = sorted(path.glob("*.json")) if path.is_dir() else [path]
    if not files:
        raise SpecError(f"{path}: no file of authored replies (*.json) in this folder")
    topics = []
    for file in files:
        try:
            topics.append(AuthoredTopic.model_validate_json(file.read_bytes()))
        except OSError as error:
            raise SpecError(f"{file}: cannot be read: {error.strerror}") from error
        except ValidationError as error:
            first = error.errors()[0]
            where = f"{'/'.join(map(str, first['loc']))}: " if first["loc"] else ""
            raise SpecError(f"{file}: {where}{first['msg']}") from error
    return tuple(topics)
