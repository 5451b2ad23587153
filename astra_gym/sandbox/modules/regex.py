"""`re` without runaway searches, and without the module behind the objects it returns."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

from astra_gym.sandbox.limits import MAX_LENGTH
from astra_gym.sandbox.meter import charge, current_meter, out, spend
from astra_gym.sandbox.modules.frozen import frozen
from astra_gym.sandbox.regex_risk import RiskyPatternError, longest_subject
from astra_gym.sandbox.words import words

COMPILE_COST = 512
"""Fuel of the first use of a regular expression in an episode, whether or not this process has compiled it before."""


class Match:
    """What a search found."""

    __slots__ = ("_match", "re")

    def __init__(self, match: re.Match[str], pattern: Pattern) -> None:
        self._match = match
        self.re = pattern

    def group(self, *groups: Any) -> Any:
        return self._match.group(*groups)

    def __getitem__(self, group: Any) -> Any:
        return self._match[group]

    def groups(self, default: Any = None) -> tuple[Any, ...]:
        return self._match.groups(default)

    def groupdict(self, default: Any = None) -> dict[str, Any]:
        return self._match.groupdict(default)

    def start(self, group: Any = 0) -> int:
        return self._match.start(group)

    def end(self, group: Any = 0) -> int:
        return self._match.end(group)

    def span(self, group: Any = 0) -> tuple[int, int]:
        return self._match.span(group)

    @property
    def string(self) -> str:
        return self._match.string

    @property
    def lastindex(self) -> int | None:
        return self._match.lastindex

    @property
    def lastgroup(self) -> str | None:
        return self._match.lastgroup

    @property
    def pos(self) -> int:
        return self._match.pos

    @property
    def endpos(self) -> int:
        return self._match.endpos


class Pattern:
    """A compiled regular expression that knows how long a text it may be run on."""

    __slots__ = ("_filled", "_longest", "_matched", "_regex")

    def __init__(self, regex: re.Pattern[str], longest: dict[str, int | None]) -> None:
        self._regex = regex
        self._longest = longest["search"]
        self._matched = longest["match"]
        self._filled = longest["fullmatch"]

    @property
    def pattern(self) -> str:
        return self._regex.pattern

    @property
    def flags(self) -> int:
        return self._regex.flags

    @property
    def groups(self) -> int:
        return self._regex.groups

    @property
    def groupindex(self) -> dict[str, int]:
        return dict(self._regex.groupindex)

    def _subject(self, subject: Any, longest: int | None) -> str:
        if type(subject) is not str:
            raise TypeError(f"expected string or bytes-like object, got {type(subject).__name__!r}")
        length = len(subject)
        if (longest is not None and length > longest) or length > MAX_LENGTH:
            out("regex_subject")
        charge(length * 4)
        return subject

    def _found(self, match: re.Match[str] | None) -> Match | None:
        return None if match is None else Match(match, self)

    def search(self, string: Any, *bounds: int) -> Match | None:
        return self._found(self._regex.search(self._subject(string, self._longest), *bounds))

    def match(self, string: Any, *bounds: int) -> Match | None:
        return self._found(self._regex.match(self._subject(string, self._matched), *bounds))

    def fullmatch(self, string: Any, *bounds: int) -> Match | None:
        return self._found(self._regex.fullmatch(self._subject(string, self._filled), *bounds))

    def findall(self, string: Any, *bounds: int) -> list[Any]:
        return self._regex.findall(self._subject(string, self._longest), *bounds)

    def finditer(self, string: Any, *bounds: int) -> Iterator[Match]:
        matches = list(self._regex.finditer(self._subject(string, self._longest), *bounds))
        charge(len(matches) * 8)
        return iter([Match(match, self) for match in matches])

    def split(self, string: Any, maxsplit: int = 0) -> list[Any]:
        return self._regex.split(self._subject(string, self._longest), maxsplit)

    def sub(self, repl: Any, string: Any, count: int = 0) -> str:
        return self.subn(repl, string, count)[0]

    def subn(self, repl: Any, string: Any, count: int = 0) -> tuple[str, int]:
        subject = self._subject(string, self._longest)
        matches = list(self._regex.finditer(subject))
        if count > 0:
            matches = matches[:count]
        if type(repl) is str:
            write: Callable[[re.Match[str]], str] = _template(repl)
        else:
            write = self._caller(repl)
        parts: list[str] = []
        position = size = 0
        for match in matches:
            written = write(match)
            size += len(written)
            if size > MAX_LENGTH:
                out()
            parts += (subject[position : match.start()], written)
            position = match.end()
        parts.append(subject[position:])
        charge(size + 8 * len(parts))
        if size + len(subject) > MAX_LENGTH:
            out()
        return "".join(parts), len(matches)

    def _caller(self, repl: Callable[[Match], Any]) -> Callable[[re.Match[str]], str]:
        def write(match: re.Match[str]) -> str:
            written = repl(Match(match, self))
            if type(written) is not str:
                raise TypeError(f"expected str instance, {type(written).__name__} found")
            return written

        return write


def _template(repl: str) -> Callable[[re.Match[str]], str]:
    """How to write the replacement text of a match."""
    if "\\" not in repl:
        return lambda _match: repl
    if len(repl) > 1000:
        out()
    references = repl.count("\\")

    def write(match: re.Match[str]) -> str:
        if references * len(match.string) > 4 * MAX_LENGTH:
            out()
        return match.expand(repl)

    return write


@lru_cache(maxsize=2048)
def _compiled(pattern: str, flags: int) -> Pattern:
    try:
        longest = {kind: longest_subject(pattern, flags, kind) for kind in ("search", "match", "fullmatch")}
    except RiskyPatternError as error:
        raise ValueError(f"regular expression refused: {error}") from None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return Pattern(re.compile(pattern, flags), longest)


def compile_pattern(pattern: Any, flags: Any = 0) -> Pattern:
    if isinstance(pattern, Pattern):
        return pattern
    if type(pattern) is not str:
        raise TypeError("first argument must be string or compiled pattern")
    flags = int(flags)
    if flags & (re.DEBUG | re.LOCALE):
        raise ValueError("these flags are not available")
    paid = current_meter().episode.patterns
    if (pattern, flags) not in paid:
        spend(COMPILE_COST)
        paid.add((pattern, flags))
    return _compiled(pattern, flags)


def _matching(name: str) -> Callable[..., Any]:
    def function(pattern: Any, string: Any, flags: Any = 0) -> Any:
        return getattr(compile_pattern(pattern, flags), name)(string)

    function.__name__ = name
    return function


def _split(pattern: Any, string: Any, maxsplit: int = 0, flags: Any = 0) -> list[Any]:
    return compile_pattern(pattern, flags).split(string, maxsplit)


def _sub(pattern: Any, repl: Any, string: Any, count: int = 0, flags: Any = 0) -> str:
    return compile_pattern(pattern, flags).sub(repl, string, count)


def _subn(pattern: Any, repl: Any, string: Any, count: int = 0, flags: Any = 0) -> tuple[str, int]:
    return compile_pattern(pattern, flags).subn(repl, string, count)


def _escape(pattern: Any) -> str:
    charge(len(pattern) * 4)
    if len(pattern) > MAX_LENGTH // 2:
        out()
    escaped: str = re.escape(pattern)
    return escaped


RE = frozen(
    "re",
    {
        "compile": compile_pattern,
        **{name: _matching(name) for name in ("search", "match", "fullmatch", "findall", "finditer")},
        "split": _split,
        "sub": _sub,
        "subn": _subn,
        "escape": _escape,
        "error": re.error,
        "Pattern": Pattern,
        "Match": Match,
        **{
            name: int(getattr(re, name))
            for name in words("I IGNORECASE M MULTILINE S DOTALL X VERBOSE A ASCII U UNICODE")
        },
    },
)
