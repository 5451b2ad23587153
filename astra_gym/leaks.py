"""Where an answer can be read before any tool is called: the leak check of the certificate.

A text answer (or a text element of a set, list or JSON answer) must not stand in the question, a tool document, a
schema or a literal gold argument. Yes/no and a choice among things that the question names are exempt. A number may
coincide with an operand or a number of the question: that is recorded, and argument sensitivity decides (`certify.py`).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from astra_gym.answers import Answer
from astra_gym.records import JSON
from astra_gym.types import ToolEnvSpec, is_ref

_UNSPACED_RANGES = "぀-ヿ㐀-鿿가-힯฀-๿"
_UNSPACED = re.compile(f"[{_UNSPACED_RANGES}]")
"""Scripts written without spaces between words (kana, Han, Hangul, Thai): matched as substrings."""
_WORD = re.compile(rf"[{_UNSPACED_RANGES}]+|[^\W_{_UNSPACED_RANGES}]+")
"""A code such as K8817 is a word of its own among Han, too."""
_NUMBER = re.compile(r"(?<![\w.])-?\d[\d,]*(?:\.\d+)?")


@dataclass(frozen=True, slots=True)
class Leak:
    """One answer seen in one place."""

    of: str
    """Sub-question id, or "final answer"."""
    text: str
    place: str
    fatal: bool

    def describe(self) -> str:
        return f"the answer of {self.of} ({self.text!r}) stands in {self.place}"


def find_leaks(spec: ToolEnvSpec) -> list[Leak]:
    """Every place where an answer of `spec` can be read; `fatal` where that makes the env worthless."""
    places = [(place, text, _folded(text)) for place, text in _readable(spec)]
    asked = [(sub.id, sub.answer) for sub in spec.needed] + [("final answer", spec.answer)]
    leaks: dict[tuple[str, str], Leak] = {}
    for of, answer in asked:
        for needle in _texts(answer):
            for place, raw, folded in places:
                if _stands_in(needle, raw, folded):
                    leaks.setdefault((needle, place), Leak(of, needle, place, fatal=True))
        if answer.kind in ("number", "money", "percentage"):
            for place, raw, _ in places:
                if place == "the question" or "argument" in place:
                    numbers = {float(found.replace(",", "")) for found in _NUMBER.findall(raw)}
                    if float(answer.value) in numbers:
                        leaks.setdefault((str(answer.value), place), Leak(of, str(answer.value), place, fatal=False))
    return list(leaks.values())


def stands_in(needle: str, text: str) -> bool:
    """Whether `text` holds the words of `needle` (of Han and the like, the characters), whatever case and accents."""
    return _stands_in(needle, text, _folded(text))


def telling_texts(answer: Answer) -> tuple[str, ...]:
    """The texts of an answer that give it away where they stand; none of yes/no, numbers, dates and choices."""
    return tuple(_texts(answer))


def _texts(answer: Answer) -> Iterator[str]:
    """The texts of an answer that must not be readable."""
    if answer.kind == "bool" or answer.choices:
        return
    if answer.kind == "text":
        yield answer.value
        yield from answer.aliases
    elif answer.kind in ("set", "list", "json"):
        yield from (leaf for leaf in _strings(answer.value, keys=False) if leaf)


def _readable(spec: ToolEnvSpec) -> Iterator[tuple[str, str]]:
    """(place, text) of everything that a model reads before its first call, and every literal gold argument."""
    yield "the question", spec.question
    for tool in spec.tools:
        yield f"the name of tool {tool.name}", tool.name
        yield f"the description of tool {tool.name}", tool.description
        for text in _strings(tool.parameters, keys=True):
            yield f"the schema of tool {tool.name}", text
    for sub in spec.needed:
        if sub.call is not None:
            for name, value in sub.call.arguments.items():
                for text in _literals(value):
                    yield f"argument {name!r} of the gold call of {sub.id}", text


def _strings(value: JSON, *, keys: bool) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, item in value.items():
            if keys:
                yield key
            yield from _strings(item, keys=keys)
    elif isinstance(value, list):
        for item in value:
            yield from _strings(item, keys=keys)


def _literals(value: JSON) -> Iterator[str]:
    if is_ref(value):
        return
    if isinstance(value, dict):
        for item in value.values():
            yield from _literals(item)
    elif isinstance(value, list):
        for item in value:
            yield from _literals(item)
    elif isinstance(value, str | int | float) and not isinstance(value, bool):
        yield str(value)


@lru_cache(maxsize=16_384)
def _folded(text: str) -> str:
    """Case, accents, punctuation and spacing away: words between single spaces, a space at both ends."""
    plain = "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c)).casefold()
    return f" {' '.join(_WORD.findall(plain))} "


def _stands_in(needle: str, raw: str, folded: str) -> bool:
    words = _folded(needle)
    if not words.strip():
        return needle.strip().casefold() in raw.casefold() if needle.strip() else False
    return (words.strip() if _UNSPACED.search(needle) else words) in folded
