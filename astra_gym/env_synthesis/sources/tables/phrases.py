"""Values and noun phrases in English: how a literal is shown, how a template is filled, how phrases are joined."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence

from astra_gym.env_synthesis.sources.tables.kinds import Kind
from astra_gym.env_synthesis.sources.tables.units import unit_of
from astra_gym.records import JSON

_CARDINALS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
_ORDINALS = ("zeroth", "first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth")
_WORD = re.compile(r"[^\W_]+")
_SLOT = re.compile(r"\{([a-z0-9_]+)\}")


def cardinal(number: int) -> str:
    """A small whole number as a word, a larger one in digits."""
    return _CARDINALS[number] if 0 <= number < len(_CARDINALS) else str(number)


def ordinal(number: int) -> str:
    """ "third"; "11th" from eleven on."""
    return _ORDINALS[number] if 0 <= number < len(_ORDINALS) else f"{number}th"


def show(kind: Kind, value: JSON) -> str:
    """A value as a question states it. Texts are shown as they are, so that they can be passed on as they are."""
    if kind.base == "position":
        return ordinal(value)
    if kind.base == "count":
        return cardinal(value)
    if isinstance(value, list):
        return enumerated([str(item) for item in value])
    if kind.base == "number":
        figure = f"{int(value) if value == int(value) else value:,}"
        return f"{figure} {unit_of(kind.unit).words}" if kind.unit else figure
    return str(value)


def fill(template: str, words: Mapping[str, str]) -> str:
    """`template` with each `{name}` replaced; nothing in the words themselves is looked at."""
    return _SLOT.sub(lambda slot: words[slot[1]], template)


def enumerated(phrases: Sequence[str], last: str = "and") -> str:
    """ "a", "a and b", "a, b and c"; with semicolons where a phrase holds a comma."""
    if len(phrases) == 1:
        return phrases[0]
    separator = "; " if any("," in phrase for phrase in phrases) else ", "
    return f"{separator.join(phrases[:-1])}{';' if separator == '; ' else ''} {last} {phrases[-1]}"


def sentence(text: str) -> str:
    """`text` as a sentence: a capital where it begins with a word of ours, a full stop where it has no end."""
    if re.match(
        r"(the|what|how|which|whether|whichever|by|on|in|at|does|is|when|where|over|across|of|into|under) ?", text
    ):
        text = text[0].upper() + text[1:]
    return text if text.endswith((".", "?", "!", ":")) else f"{text}."


def folded(text: str) -> str:
    """Words without case and accents between single spaces, with a space at both ends."""
    if not text.isascii():
        text = "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
    return f" {' '.join(_WORD.findall(text.casefold()))} "
