"""Typed answers: parse, compare and render the value that a sub-question or a question asks for.

Comparison is canonical, never substring: both sides become a value of the answer's kind and the values are compared.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from astra_gym.records import JSON, Record

AnswerKind = Literal["number", "money", "percentage", "date", "bool", "text", "set", "list", "json"]


class Answer(Record):
    """A typed value with what counts as equal to it."""

    kind: AnswerKind
    """How `value` is read and compared."""
    value: JSON
    """number, money, percentage: a number; date: ISO 8601 string; bool: bool; text: str; set, list: list; json: any."""
    unit: str | None = None
    """Canonical unit (`km`) or ISO 4217 currency (`USD`); None accepts a bare number only or any unit-less form."""
    abs_tol: float = Field(default=0.0, ge=0)
    """Largest absolute difference of numbers still called equal."""
    rel_tol: float = Field(default=1e-9, ge=0)
    """Largest relative difference of numbers still called equal."""
    aliases: tuple[str, ...] = ()
    """Other texts that are equal to a text answer."""
    choices: tuple[str, ...] = ()
    """Not empty when the answer is a choice among things that the question names (exempt from the leak check)."""
