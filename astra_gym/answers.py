"""Typed answers: parse, compare and render the value that a sub-question or a question asks for.

Comparison is canonical, never substring: both sides become a value of the answer's kind and the values are compared.
How values are written and read is in `values/`.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import orjson
from pydantic import Field, model_validator

from astra_gym.errors import AnswerError
from astra_gym.records import JSON, Record, canonical_json
from astra_gym.values import finals, matching
from astra_gym.values.dates import is_iso_date, scan_dates
from astra_gym.values.inference import Kind, infer, infer_as, storable
from astra_gym.values.matching import Matcher
from astra_gym.values.numbers import Quantity, scan_quantities
from astra_gym.values.texts import fold
from astra_gym.values.units import CURRENCY_CODE

AnswerKind: TypeAlias = Kind
QUANTITIES = frozenset({"number", "money", "percentage"})
COLLECTIONS = frozenset({"set", "list", "json"})
MAX_DEPTH = 32
"""How deep lists and objects may be nested in a value."""
_MAX_MARKED_CHARS = 400
_MAX_EQUATION_CHARS = 2_000


class Answer(Record):
    """A typed value with what counts as equal to it."""

    kind: AnswerKind
    """How `value` is read and compared."""
    value: JSON
    """number, money, percentage: a number (12 for 12%); date: ISO 8601 day, month (`1987-06`) or year (`1987`);
    bool: bool; text: str; set, list: list; json: any."""
    unit: str | None = None
    """Canonical unit (`km`) of a number, or ISO 4217 currency (`USD`) of money.

    With a unit, a bare number and a convertible unit (`m`) are accepted. Without, a number has to be bare, and money
    may be in any currency.
    """
    abs_tol: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    """Largest absolute difference of numbers still called equal, in `unit`."""
    rel_tol: float = Field(default=1e-9, ge=0, lt=1)
    """Largest difference of numbers still called equal, as a share of `value`."""
    aliases: tuple[str, ...] = ()
    """Other texts that are equal to the answer, whatever its kind (`three`)."""
    choices: tuple[str, ...] = ()
    """Not empty when the answer is a choice among things that the question names (exempt from the leak check)."""

    @model_validator(mode="after")
    def _check(self) -> Answer:
        _check_value(self.kind, self.value)
        _check_unit(self.kind, self.unit)
        if blank := [text for text in (*self.aliases, *self.choices) if not text.strip()]:
            raise ValueError(f"aliases and choices must not be blank, found {blank}")
        if self.kind == "text" and self.choices:
            own = {fold(text) for text in (self.value, *self.aliases)}
            if own.isdisjoint(map(fold, self.choices)):
                raise ValueError(f"the answer {self.value!r} is none of its choices {list(self.choices)}")
        if self.unit is not None and not self.matches(self.render()):
            raise ValueError(f"unit {self.unit!r} cannot be told apart from the number in {self.render()!r}")
        return self

    @classmethod
    def parse(cls, given: JSON, kind: AnswerKind | None = None) -> Answer:
        """The answer that a text or a JSON value states; its kind is inferred unless `kind` is given.

        Every text that is not blank is some answer: one of no other form is a text (see `values.inference`). Given
        a kind, the text has to be of that kind.
        Raises: AnswerError for null, a blank text, a number that is not finite, or a text that is not of `kind`.
        """
        if given is None or (isinstance(given, str) and not given.strip()):
            raise AnswerError(f"an answer must not be empty, found {given!r}")
        if isinstance(given, str):
            inferred = infer(given) if kind is None else infer_as(given, kind)
            if inferred is None:
                raise AnswerError(f"{given[:80]!r} is not a {kind}")
            return cls(kind=inferred.kind, value=inferred.value, unit=inferred.unit)
        if isinstance(given, int | float) and not isinstance(given, bool):
            number = storable(given)
            if number is None:
                raise AnswerError(f"a number must be finite, found {given!r:.80}")
            return cls(kind=kind or "number", value=number)
        return cls(kind=kind or _JSON_KINDS.get(type(given), "json"), value=given)

    def matches(self, value: JSON) -> bool:
        """Whether a tool's output value, or a text that is nothing but a value, equals this answer. Never raises."""
        return self.matcher()(value)

    def matcher(self) -> Matcher:
        """`matches` as a closure made once, for use on every tool result."""
        match = self._matcher()
        if not self.aliases or self.kind == "text":
            return match
        alias = matching.text_matcher(self.aliases)
        return lambda value: match(value) or alias(value)

    def matches_text(self, text: str) -> bool:
        """Whether a model's final message gives this answer, by the conventions of `values.finals`. Never raises.

        Among other words, a number without a unit may have any (`42 eggs`); of a number with a unit, money or a
        percentage, the first or last one written with a fitting unit counts, and a bare one only when there is none.
        A text answer with choices is also given by naming exactly one of them in a marked answer or the last sentence.
        """
        tail = finals.tail_of(text)
        marked = finals.marked_answer(tail)
        match = self.matcher()
        if self.kind in COLLECTIONS:
            return any(map(match, dict.fromkeys(finals.listed_candidates(tail if marked is None else marked))))
        if marked is not None:
            line = finals.first_line(marked)
            return any(map(match, finals.marked_candidates(line))) or self._stated_in(line, marked=True)
        if self.kind == "text":
            candidates = finals.unmarked_candidates(tail)
            return any(map(match, candidates)) or self._stated_in(finals.last_line(tail), marked=False)
        if match(finals.clean(tail)):
            return True
        for bold in reversed(finals.bold_spans(tail)):
            if self._values_in(bold):
                return match(bold) or self._stated_in(bold, marked=True)
        return self._stated_in(tail, marked=False)

    def render(self) -> str:
        """A readable text that `matches` accepts and `parse` of this kind reads back."""
        if self.kind == "percentage":
            return f"{self.value}%"
        if self.kind in QUANTITIES:
            return f"{self.value} {self.unit}" if self.unit else str(self.value)
        if self.kind == "bool":
            return "yes" if self.value else "no"
        return orjson.dumps(self.value).decode() if self.kind in COLLECTIONS else str(self.value)

    def _matcher(self) -> Matcher:
        value, tolerance = self.value, (self.abs_tol, self.rel_tol)
        if self.kind in QUANTITIES:
            return matching.number_matcher(matching.tolerance_bounds(value, *tolerance), self._amount)
        if self.kind == "text":
            return matching.text_matcher((value, *self.aliases))
        if self.kind == "date":
            return matching.date_matcher(value)
        if self.kind == "bool":
            return matching.bool_matcher(value)
        if self.kind == "set":
            return matching.set_matcher(value, *tolerance)
        if self.kind == "list":
            return matching.list_matcher([matching.item_matcher(item, *tolerance) for item in value])
        return matching.json_text_matcher(matching.json_matcher(value, *tolerance))

    def _amount(self, quantity: Quantity) -> float | None:
        """What a quantity is in this answer's unit; None when it is of another kind."""
        if self.kind == "money" and self.unit is None:
            return quantity.in_any_currency()
        return quantity.in_unit("%" if self.kind == "percentage" else self.unit)

    def _stated_in(self, span: str, *, marked: bool) -> bool:
        """Whether the value that counts among other words equals this answer: the first if marked, else the last."""
        if self.kind == "text":
            return self._chosen_in(span if marked else finals.last_sentence(span))
        where = span if marked else finals.last_sentence(finals.last_line(span))
        _, equals, result = where[-_MAX_EQUATION_CHARS:].replace("≈", "=").rpartition("=")
        if equals and (values := self._values_in(result)):
            return self.matches(values[0])
        values = self._values_in(span[:_MAX_MARKED_CHARS] if marked else span)
        return bool(values) and self.matches(values[0 if marked else -1])

    def _values_in(self, span: str) -> list[JSON]:
        """The values of this answer's kind (dates: and precision) that stand in a text, in order."""
        if self.kind == "bool":
            return finals.scan_bools(span)
        if self.kind == "date":
            return [iso for iso in scan_dates(span) if len(iso) == len(self.value)]
        if self.kind not in QUANTITIES:
            return []
        found = scan_quantities(span, self.unit)
        if self.kind == "number" and self.unit is None:
            return [quantity.value for quantity in found]
        amounts = [(quantity.unit is not None, self._amount(quantity)) for quantity in found]
        fitting = [amount for has_unit, amount in amounts if has_unit and amount is not None]
        return fitting or [amount for has_unit, amount in amounts if not has_unit and amount is not None]

    def _chosen_in(self, span: str) -> bool:
        if not self.choices or finals.denies(span):
            return False
        named = finals.named_once(span, [fold(choice) for choice in self.choices])
        return named is not None and named in {fold(text) for text in (self.value, *self.aliases)}


_JSON_KINDS: dict[type, AnswerKind] = {bool: "bool", list: "list"}


def _check_value(kind: AnswerKind, value: Any) -> None:
    """Raises ValueError when `value` is not one of `kind`."""
    fits = {
        "date": isinstance(value, str) and is_iso_date(value),
        "bool": isinstance(value, bool),
        "text": isinstance(value, str) and bool(value.strip()),
        "set": isinstance(value, list),
        "list": isinstance(value, list),
        "json": True,
    }.get(kind, type(value) in (int, float) and storable(value) == value and type(storable(value)) is type(value))
    if not fits:
        raise ValueError(f"a {kind} needs {_NEEDS[kind]}, found {value!r:.80}")
    _check_json(value, MAX_DEPTH)
    try:
        canonical_json(value)
    except TypeError as error:
        raise ValueError(f"the value of a {kind} must be plain JSON: {error}") from error


_NUMBER = "a finite number (an int of at most 64 bits)"
_NEEDS: dict[AnswerKind, str] = {
    "number": _NUMBER,
    "money": _NUMBER,
    "percentage": _NUMBER,
    "date": "an ISO 8601 day, month or year such as '1987-10-05', '1987-10' or '1987'",
    "bool": "true or false",
    "text": "a text that is not blank",
    "set": "a list",
    "list": "a list",
    "json": "a JSON value",
}


def _check_json(value: Any, depth: int) -> None:
    """Raises ValueError when `value` is nested deeper than `depth` or holds what JSON cannot: NaN, a tuple, a key 1."""
    if type(value) is dict:
        items = list(value.values())
    elif type(value) is list:
        items = value
    elif value is None or type(value) in (str, bool) or (type(value) in (int, float) and storable(value) is not None):
        return
    else:
        raise ValueError(f"expected plain JSON, found {value!r:.80} of type {type(value).__name__}")
    if depth == 0:
        raise ValueError(f"lists and objects may be nested {MAX_DEPTH} deep at most")
    for item in items:
        _check_json(item, depth - 1)


def _check_unit(kind: AnswerKind, unit: str | None) -> None:
    """Raises ValueError when a value of `kind` cannot have `unit`."""
    if unit is None:
        return
    if kind == "money" and not CURRENCY_CODE.fullmatch(unit):
        raise ValueError(f"the unit of money is an ISO 4217 code such as 'USD', found {unit!r}")
    if kind not in {"number", "money"}:
        raise ValueError(f"a {kind} has no unit, found {unit!r}")
    if unit != unit.strip() or not unit:
        raise ValueError(f"a unit must not be blank or have spaces around it, found {unit!r}")
