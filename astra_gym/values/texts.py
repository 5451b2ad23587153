"""Texts as they are compared: what is folded away, and how a written list is cut into items.

Two texts are equal when their folded forms are. Folding removes differences of
- Unicode form, case, accents on Latin, Greek and Cyrillic letters, and the letters ø ł đ ð þ æ œ ı;
- white space and invisible characters;
- punctuation, but for what tells things apart: `+ # % @ $` and other symbols, a decimal point, a minus before a number;
- `&` and "and", dots in initials (U.S.A.), thousands commas, apostrophes;
- one leading article (the, a, an).
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

_MARKS = re.compile("[\u0300-\u036f]+")
_SUPERSCRIPT = re.compile("[⁺⁻]?[⁰¹²³⁴⁵⁶⁷⁸⁹]+")
_SUPERSCRIPT_DIGITS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻", "0123456789+-")
_MINUS = str.maketrans({"−": "-"})
_INITIALS = re.compile(r"\b[^\W\d_](?:\.[^\W\d_])+\b\.?")
_LOOSE_DOT = re.compile(r"\.(?![0-9])|(?<=[^0-9\s])\.(?=[0-9])")
_GROUP_COMMA = re.compile(r"(?<=[0-9]),(?=[0-9]{3}(?![0-9]))")
_LOOSE_HYPHEN = re.compile(r"-(?![0-9.])|(?<=[\w)])-")
_ARTICLES = ("the ", "a ", "an ")
_KEPT = "#%@"


class _Characters(dict[int, str | int | None]):
    """What becomes of a character after case and accents are gone; looked up by `str.translate`."""

    def __missing__(self, code: int) -> str | int | None:
        category = unicodedata.category(chr(code))
        if category == "Cf":
            return None
        if category == "Cs":
            return 0xFFFD
        return " " if category[0] == "P" or category in {"Cc", "Zs", "Zl", "Zp"} else code


_TABLE = _Characters({ord(c): ord(c) for c in _KEPT + ".-"})
_TABLE.update({ord("&"): " and ", ord("`"): " ", ord("'"): None, ord("’"): None, ord("ʼ"): None})
_LETTERS = {"ø": "o", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "æ": "ae", "œ": "oe", "ı": "i"}
_TABLE.update({ord(letter): plain for letter, plain in _LETTERS.items()})
_TABLE.update({code: _TABLE[code] for code in range(128)})


def plain(text: str) -> str:
    """`text` in NFKC with superscripts as `^2` and one kind of minus: what numbers, units and dates are read from."""
    if text.isascii():
        return text
    raised = _SUPERSCRIPT.sub(lambda found: "^" + found[0].translate(_SUPERSCRIPT_DIGITS), text)
    return unicodedata.normalize("NFKC", raised).translate(_MINUS)


def fold(text: str) -> str:
    """The form in which texts are compared (see the module). Never empty unless `text` is blank."""
    return _fold_short(text) if len(text) <= _SHORT else _fold(text)


def _fold(text: str) -> str:
    folded = plain(text).casefold()
    if not folded.isascii():
        folded = _MARKS.sub("", unicodedata.normalize("NFKD", folded))
    if "." in folded:
        folded = _LOOSE_DOT.sub(" ", _INITIALS.sub(lambda found: found[0].replace(".", ""), folded))
    if "," in folded:
        folded = _GROUP_COMMA.sub("", folded)
    if "-" in folded:
        folded = _LOOSE_HYPHEN.sub(" ", folded)
    if not (folded.isascii() and folded.replace(" ", "").isalnum()):
        folded = folded.translate(_TABLE)
    words = " ".join(folded.split())
    if not words:
        return " ".join(text.casefold().split())
    for article in _ARTICLES:
        if words.startswith(article) and len(words) > len(article) + 1:
            return words[len(article) :]
    return words


_SHORT = 256
_fold_short = lru_cache(maxsize=8192)(_fold)  # tools return the same few texts again and again


def well_formed(text: str) -> str:
    """`text` with lone surrogates replaced by U+FFFD, so that it can be written to a file."""
    return text if text.isascii() else text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


_BULLET = re.compile(r"(?:[-*•]|[0-9]{1,3}[.)])\s+")
_AND = re.compile(r",?\s+(?:and|&)\s+|,|、|，")


def readings_as_list(text: str) -> list[list[str]]:
    """The ways to cut a written list into items: none, by lines, by semicolons, by commas, by commas and "and"."""
    lines = [_BULLET.sub("", line.strip(), count=1) for line in text.splitlines() if line.strip()]
    cuts = [[text], lines, text.split(";"), text.split(","), _AND.split(text)]
    cleaned = [[item.strip().strip("\"'“”").strip() for item in cut] for cut in cuts]
    return [[item for item in cut if item] for cut in cleaned]
