"""Answers as a writer gives them, typed: a decimal number counts as right to the last digit that was written."""

from __future__ import annotations

import re

from astra_gym.answers import QUANTITIES, Answer
from astra_gym.records import JSON

_DECIMALS = re.compile(r"\d\.(\d+)(?![\d.])")
_LEAST_TOLERANCE = 1e-9


def typed_answer(given: JSON) -> Answer:
    """The answer that `given` states.

    Raises: AnswerError for null, a blank text or a number that is not finite; ValueError for what is nested too deep.
    """
    answer = Answer.parse(given)
    if answer.kind in QUANTITIES or answer.kind in ("list", "set", "json"):
        tolerance = _half_a_digit(given)
        return answer if tolerance == 0 else answer.model_copy(update={"abs_tol": tolerance})
    return answer


def _half_a_digit(given: JSON) -> float:
    """Half of the last decimal place written anywhere in `given`; 0 where none is, so that whole numbers are exact."""
    places = [len(found[1]) for found in _DECIMALS.finditer(_written(given))]
    return max(0.5 * 10.0 ** -max(places), _LEAST_TOLERANCE) if places else 0.0


def _written(given: JSON) -> str:
    if isinstance(given, str):
        return given
    if isinstance(given, float):
        return repr(given)
    if isinstance(given, list):
        return " ".join(_written(item) for item in given)
    return " ".join(_written(item) for item in given.values()) if isinstance(given, dict) else ""
