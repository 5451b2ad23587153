"""Numbers that stand in a text of any length, also among characters that are written without spaces."""

from __future__ import annotations

import re

from astra_gym.values.numbers import scan_quantities

_AFTER_HAN = re.compile(r"(?<=[㐀-鿿，、；：（])(?=[0-9])")
_PIECE = re.compile(r".{1,250}(?!\S)|.{1,250}", re.DOTALL)
_REST = re.compile(r"\S{0,60}")
_FURTHER = 100
"""`scan_quantities` gives the last few numbers of what it is given: it is given pieces that begin with a word, and what
comes after them, so that "2 million" is not torn."""


def numbers_in(text: str) -> frozenset[float]:
    """The numbers of a text, without their units."""
    spaced = _AFTER_HAN.sub(" ", text)
    pieces = (spaced[piece.start() : _end(spaced, piece.end() + _FURTHER)] for piece in _PIECE.finditer(spaced))
    return frozenset(float(found.value) for piece in pieces for found in scan_quantities(piece))


def _end(text: str, position: int) -> int:
    """`position`, or the end of the word or number that it stands in."""
    rest = _REST.match(text, position)
    return position if rest is None else rest.end()
