"""The base of every value that meets a file: frozen, strict about unknown fields, canonical as JSON."""

from __future__ import annotations

import hashlib
import math
from typing import Any, TypeAlias

import orjson
from pydantic import BaseModel, ConfigDict

JSON: TypeAlias = Any
"""A JSON value: None, bool, int, float, str, list of JSON or dict of str to JSON."""


MAX_DEPTH = 64
"""How deep the data of a record may be nested."""


class Record(BaseModel):
    """A frozen, JSON-serialisable value; an unknown field is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def to_json(self) -> dict[str, JSON]:
        """This record as plain JSON data; fields that hold their default are left out."""
        return self.model_dump(mode="json", exclude_defaults=True, by_alias=True)


def check_json(value: JSON, what: str, *, depth: int = MAX_DEPTH) -> None:
    """Check that `value` is plain JSON that every process writes alike.

    Raises: ValueError, naming `what`, for NaN and infinities, integers over 64 bits, texts that are not Unicode, keys
    that are not strings, other types, or more than `depth` levels.
    """
    if type(value) is dict:
        for key, item in value.items():
            if type(key) is not str:
                raise ValueError(f"{what}: keys must be strings, found {key!r:.80}")
            _check_text(key, what)
            _check_inside(item, what, depth)
    elif type(value) is list:
        for item in value:
            _check_inside(item, what, depth)
    elif type(value) is str:
        _check_text(value, what)
    elif type(value) is int:
        if not -(2**63) <= value < 2**64:
            raise ValueError(f"{what}: an integer must fit 64 bits, found {value!r:.80}")
    elif type(value) is float:
        if not math.isfinite(value):
            raise ValueError(f"{what}: a number must be finite, found {value!r}")
    elif value is not None and type(value) is not bool:
        raise ValueError(f"{what}: expected plain JSON, found {value!r:.80} of type {type(value).__name__}")


def _check_inside(value: JSON, what: str, depth: int) -> None:
    if depth == 0:
        raise ValueError(f"{what}: lists and objects may be nested {MAX_DEPTH} deep at most")
    check_json(value, what, depth=depth - 1)


def _check_text(text: str, what: str) -> None:
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise ValueError(f"{what}: a text must be Unicode without lone surrogates, found {text!r:.80}") from None


def canonical_json(value: JSON) -> bytes:
    """UTF-8 JSON with sorted keys and no spaces: equal values give equal bytes in every process."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def content_hash(value: JSON) -> str:
    """`sha256:` and the hex digest of `value` as JSON. The order of keys counts: a tool may walk a table in order."""
    return "sha256:" + hashlib.sha256(orjson.dumps(value)).hexdigest()
