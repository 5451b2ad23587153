"""The base of every value that meets a file: frozen, strict about unknown fields, canonical as JSON."""

from __future__ import annotations

import hashlib
from typing import Any, TypeAlias

import orjson
from pydantic import BaseModel, ConfigDict

JSON: TypeAlias = Any
"""A JSON value: None, bool, int, float, str, list of JSON or dict of str to JSON."""


class Record(BaseModel):
    """A frozen, JSON-serialisable value; an unknown field is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def to_json(self) -> dict[str, JSON]:
        """This record as plain JSON data; fields that hold their default are left out."""
        return self.model_dump(mode="json", exclude_defaults=True, by_alias=True)


def canonical_json(value: JSON) -> bytes:
    """UTF-8 JSON with sorted keys and no spaces: equal values give equal bytes in every process."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def content_hash(value: JSON) -> str:
    """`sha256:` and the hex digest of the canonical JSON of `value`."""
    return "sha256:" + hashlib.sha256(canonical_json(value)).hexdigest()
