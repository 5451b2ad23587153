"""Names for tools, parameters and result fields, made from the words of a sub-question or of what stands near a number.

Names are snake case, hold no digits, and say what a thing is rather than how it is computed.
"""

from __future__ import annotations

import builtins
import keyword
import re
import unicodedata
from collections.abc import Iterable
from functools import lru_cache

_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)?")
_STOP_WORDS = """
    a an the of for to in on at by with from into than as that this these those it its is are was were be been being
    am do does did doing done has have had having will would can could shall should may might must what which who whom
    whose when where why how many much there their they them he she his her him hers i you we my your our me us and or
    but if so then not no nor also all each every both any some more most another other one per about after before
    during up out over again just only very s t re ve ll d still get gets got altogether total together in
"""
_STOP = frozenset(_STOP_WORDS.split())
_ASKS = {"how old": "age", "how far": "distance", "how long": "duration", "how fast": "speed", "how tall": "height"}
_ASKS |= {"how often": "frequency", "how heavy": "weight", "how wide": "width", "how deep": "depth", "when": "time"}
_RESERVED = frozenset([*keyword.kwlist, *keyword.softkwlist, *dir(builtins), "printed", "value"])
_MAX_WORDS = 5
_MAX_CHARS = 44


def words(text: str) -> list[str]:
    """The words of `text` in lower case ASCII; possessives lose their ending."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode() if not text.isascii() else text
    return [re.sub(r"['’].*", "", word.lower()) for word in _WORD.findall(plain)]


def content_words(text: str) -> list[str]:
    """The words that carry meaning, in order, without repeats."""
    lowered = " ".join(text.lower().split())
    asked = [noun for phrase, noun in _ASKS.items() if lowered.startswith(phrase)]
    kept = [word for word in words(text) if word not in _STOP and len(word) > 1]
    skip = {phrase.split()[-1] for phrase in _ASKS if lowered.startswith(phrase)}
    return list(dict.fromkeys([*asked, *(word for word in kept if word not in skip)]))


@lru_cache(maxsize=4096)
def stems(text: str) -> frozenset[str]:
    """The content words without a plural or past ending: for telling whether two texts speak of the same thing."""
    return frozenset(_stem(word) for word in content_words(text))


def snake(parts: Iterable[str], *, limit: int = _MAX_WORDS) -> str:
    """At most `limit` words joined by underscores; empty when there is no word."""
    name = ""
    for word in list(parts)[:limit]:
        longer = f"{name}_{word}" if name else word
        if len(longer) > _MAX_CHARS:
            break
        name = longer
    return name


def is_plain_name(name: str) -> bool:
    """Whether `name` can be a parameter: an ASCII identifier that is neither a keyword nor a built-in's name."""
    return name.isascii() and name.isidentifier() and not name.startswith("_") and name not in _RESERVED


def unique(name: str, taken: Iterable[str]) -> str:
    """`name`, or `name_2`, `name_3`... when it is taken."""
    used = set(taken)
    candidate, n = name, 1
    while candidate in used:
        n += 1
        candidate = f"{name}_{n}"
    return candidate


def _stem(word: str) -> str:
    for ending in ("ies", "ing", "es", "ed", "s"):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            word = word[: -len(ending)] + ("y" if ending == "ies" else "")
            break
    return word.removesuffix("e")
