"""`json`, `string`, `textwrap` and `hashlib` with bounded input and output."""

from __future__ import annotations

import hashlib
import json
import string
import textwrap
from collections.abc import Callable
from typing import Any

from astra_gym.sandbox.guards import operators
from astra_gym.sandbox.limits import MAX_LENGTH
from astra_gym.sandbox.meter import charge, out, spend
from astra_gym.sandbox.modules.frozen import frozen, pick

MAX_JSON_DEPTH = 100
_ATOMS = frozenset({str, int, float, bool, type(None)})


def _loads(document: Any, *, parse_float: Any = None, parse_int: Any = None) -> Any:
    if isinstance(document, bytes):
        document = document.decode()
    if type(document) is not str:
        raise TypeError(f"the JSON object must be str or bytes, not {type(document).__name__}")
    if len(document) > MAX_LENGTH:
        out()
    charge(4 * len(document))
    if document.count("[") + document.count("{") > MAX_JSON_DEPTH and _depth(document) > MAX_JSON_DEPTH:
        raise ValueError("the JSON document is nested too deeply")
    return json.loads(document, parse_float=parse_float, parse_int=parse_int)


def _depth(document: str) -> int:
    """An upper bound of the nesting of a JSON document (brackets inside strings count)."""
    deepest = depth = 0
    for letter in document:
        if letter in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif letter in "]}":
            depth -= 1
    return deepest


class _Plain:
    """Copies a value into plain JSON data before it is written, so that no tool code runs while it is."""

    def __init__(self, default: Callable[[Any], Any] | None, sort_keys: bool) -> None:
        self.default = default
        self.sort_keys = sort_keys
        self.room = MAX_LENGTH

    def copy(self, value: Any, depth: int = 0) -> Any:
        kind = type(value)
        self.take(1 + (len(value) if kind is str else 0))
        if depth > MAX_JSON_DEPTH:
            out()
        if kind in _ATOMS:
            return self.integer(value) if kind is int else value
        if isinstance(value, dict):
            return {self.key(name): self.copy(item, depth + 1) for name, item in self.items(value)}
        if isinstance(value, (list, tuple)):
            return [self.copy(item, depth + 1) for item in value]
        plain = operators.member_value(value)
        if type(plain) in _ATOMS and plain is not None:
            return plain
        if self.default is None:
            raise TypeError(f"Object of type {kind.__name__} is not JSON serializable")
        return self.copy(self.default(value), depth + 1)

    def take(self, size: int) -> None:
        self.room -= size
        if self.room < 0:
            out()

    def integer(self, value: int) -> int:
        self.take(value.bit_length() >> 2)
        return operators.check_int(value)

    def items(self, value: dict[Any, Any]) -> list[tuple[Any, Any]]:
        items = list(value.items())
        if self.sort_keys:
            items.sort(key=lambda item: item[0])
        return items

    def key(self, name: Any) -> Any:
        name = operators.member_value(name)
        if type(name) not in _ATOMS:
            raise TypeError(f"keys must be str, int, float, bool or None, not {type(name).__name__}")
        if type(name) is str:
            self.take(len(name))
        return self.integer(name) if type(name) is int else name


def _dumps(
    value: Any,
    *,
    indent: Any = None,
    sort_keys: bool = False,
    ensure_ascii: bool = True,
    separators: Any = None,
    default: Any = None,
    allow_nan: bool = True,
) -> str:
    if indent is not None and not (isinstance(indent, int) and 0 <= indent <= 16):
        raise ValueError("indent must be a number from 0 to 16")
    if separators is not None and (len(separators) != 2 or max(map(len, separators)) > 16):
        raise ValueError("separators must be two short texts")
    plain = _Plain(default, bool(sort_keys)).copy(value)
    written = json.dumps(
        plain, indent=indent, ensure_ascii=bool(ensure_ascii), separators=separators, allow_nan=bool(allow_nan)
    )
    charge(4 * len(written))
    return operators.check_size(written)  # type: ignore[no-any-return]


JSON = frozen("json", {"loads": _loads, "dumps": _dumps, "JSONDecodeError": json.JSONDecodeError})
STRING = frozen(
    "string",
    {
        **pick(
            string,
            "ascii_letters ascii_lowercase ascii_uppercase digits hexdigits octdigits punctuation whitespace printable",
        ),
        "capwords": lambda value, separator=None: _capwords(value, separator),
    },
)


def _capwords(value: str, separator: str | None) -> str:
    charge(4 * len(value))
    return operators.check_size(string.capwords(value, separator))  # type: ignore[no-any-return]


# textwrap

MAX_WRAPPED = 20_000


def _wrappable(value: Any, width: Any = 70) -> str:
    if type(value) is not str:
        raise TypeError(f"expected text, found {type(value).__name__}")
    if len(value) > MAX_WRAPPED or not 0 < width <= MAX_LENGTH:
        out()
    charge(64 * len(value))
    return value


def _options(options: dict[str, Any]) -> dict[str, Any]:
    allowed = {"initial_indent", "subsequent_indent", "break_long_words", "max_lines", "placeholder"}
    for name, value in options.items():
        if name not in allowed:
            raise TypeError(f"textwrap does not take {name!r} here; available: {sorted(allowed)}")
        if isinstance(value, str) and len(value) > 200:
            out()
    return options


def _wrap(value: Any, width: Any = 70, **options: Any) -> list[str]:
    return textwrap.wrap(_wrappable(value, width), width, **_options(options))


def _fill(value: Any, width: Any = 70, **options: Any) -> str:
    return textwrap.fill(_wrappable(value, width), width, **_options(options))


def _shorten(value: Any, width: Any, *, placeholder: str = " [...]") -> str:
    return textwrap.shorten(_wrappable(value, width), width, placeholder=placeholder[:200])


def _dedent(value: Any) -> str:
    return textwrap.dedent(_wrappable(value))


def _indent(value: Any, prefix: Any) -> str:
    lines = _wrappable(value).splitlines(keepends=True)
    if len(value) + len(lines) * len(prefix) > MAX_LENGTH:
        out()
    return "".join([prefix + line if line.strip() else line for line in lines])


TEXTWRAP = frozen("textwrap", {"wrap": _wrap, "fill": _fill, "shorten": _shorten, "dedent": _dedent, "indent": _indent})

# hashlib


DIGEST_COST = 16


class Digest:
    """A hash object, fed in bounded pieces."""

    __slots__ = ("_hash",)

    def __init__(self, name: str, data: Any = b"") -> None:
        self._hash = hashlib.new(name, usedforsecurity=False)
        self.update(data)

    def update(self, data: Any) -> None:
        if type(data) is not bytes:
            raise TypeError("Strings must be encoded before hashing")
        spend(DIGEST_COST)
        charge(len(data))
        self._hash.update(data)

    def hexdigest(self) -> str:
        return self._hash.hexdigest()

    def digest(self) -> bytes:
        return self._hash.digest()


def _digest(name: str) -> Callable[..., Digest]:
    def make(data: Any = b"") -> Digest:
        return Digest(name, data)

    make.__name__ = name
    return make


HASHES = ("md5", "sha1", "sha224", "sha256", "sha384", "sha512")
HASHLIB = frozen("hashlib", {name: _digest(name) for name in HASHES})
for _name in HASHES:
    hashlib.new(_name, b"", usedforsecurity=False)  # OpenSSL loads what it needs before any lock closes
