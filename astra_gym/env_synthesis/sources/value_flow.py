"""Where each number of a worked solution comes from: an earlier step's result, the question, or common knowledge.

Two steps are linked when a number of the later one is the result of the earlier one. A number that could be either a
result or a number of the question is settled by what must hold of the whole (every result but the last is used), then
by the words around it; what these leave open is ambiguous and refused, since a wrong edge would teach a wrong order.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import product

from astra_gym.env_synthesis.sources.arithmetic import NUMBER, decimal_text, written_value
from astra_gym.env_synthesis.sources.calculations import Step, numbers_of
from astra_gym.env_synthesis.sources.constants import is_unit_constant
from astra_gym.env_synthesis.sources.naming import stems
from astra_gym.env_synthesis.sources.quantities import Quantity, derived_values, find_quantities, stated_values

MAX_ASSIGNMENTS = 4096
MARGIN = 1.0
"""How many more words must speak for the chosen reading than for the next one."""
CONSTANT = 4.0
"""How many words it is worth that a step names the units that a number relates ("12 months in a year")."""
COMMON = frozenset(
    {
        Fraction(n)
        for n in (*range(13), 14, 16, 20, 24, 25, 28, 30, 31, 36, 50, 52, 60, 90, 100, 144, 168, 180, 360, 365)
    }
    | {Fraction(n) for n in (366, 1000, 1440, 1760, 2000, 3600, 5280, 10**6)}
    | {Fraction(n, 100) for n in (1, 5, 10, 20, 25, 50, 75, 125, 150)}
)
"""Numbers that a reader supplies: small counts, units of time, length and money, round percentages."""

_AFTER_NUMBER = re.compile(r"[^\d+*/=×÷−–()]{0,60}")


class FlowError(ValueError):
    """The numbers of a solution cannot be traced; the message names the step, the number and its candidates."""


@dataclass(frozen=True, slots=True, order=True)
class Slot:
    """One number in one step's expression."""

    step: int
    number: int


Flow = Mapping[Slot, int | None]
"""The step whose result a number is, or None for a number taken as it stands."""


def trace(question: str, steps: Sequence[Step], *, strict: bool = False) -> Flow:
    """Decide for each number of each step where it comes from.

    Args:
        steps: calculations in order; the last one gives the final answer.
        strict: allow only numbers of the question and results, no common knowledge (some line could not be read, so
            a number may come from there).

    Raises: FlowError when a number has no source, when a result is used nowhere, or when the choice is ambiguous.
    """
    quantities = find_quantities(question)
    slots: dict[Fraction, list[Slot]] = {}
    for i, step in enumerate(steps):
        for number in numbers_of(step):
            slots.setdefault(number.value, []).append(Slot(i, number.index))
    flow: dict[Slot, int | None] = {}
    producers: dict[Fraction, list[int]] = {}
    for i, step in enumerate(steps):
        producers.setdefault(step.value, []).append(i)
    for value, own in slots.items():
        flow |= _Group(question, quantities, steps, value, own, producers.get(value, []), strict).solve()
    for i in range(len(steps) - 1):
        if i not in flow.values():
            raise FlowError(f"the result {decimal_text(steps[i].value)} of step {i + 1} is used by no later step")
    return flow


@dataclass(frozen=True)
class _Group:
    """All numbers of one value with the steps that result in it: independent of every other value."""

    question: str
    quantities: Sequence[Quantity]
    steps: Sequence[Step]
    value: Fraction
    slots: Sequence[Slot]
    producers: Sequence[int]
    strict: bool

    def solve(self) -> Flow:
        options = [self._options(slot) for slot in self.slots]
        size = 1
        for choice in options:
            size *= len(choice)
        if size > MAX_ASSIGNMENTS:
            raise FlowError(f"the number {decimal_text(self.value)} occurs too often to tell where each one comes from")
        must = {i for i in self.producers if i != len(self.steps) - 1}
        readings = [reading for reading in product(*options) if must <= set(reading)]
        if not readings:
            used = next(iter(sorted(must)))
            raise FlowError(f"the result {decimal_text(self.value)} of step {used + 1} is used by no later step")
        best = readings[0] if len(readings) == 1 else self._most_likely(readings)
        return dict(zip(self.slots, best, strict=True))

    def _options(self, slot: Slot) -> list[int | None]:
        """The steps before the slot's own with this result, and None when the value needs no step."""
        before: list[int | None] = [i for i in self.producers if i < slot.step]
        stated = self.value in stated_values(self.quantities)
        constant = is_unit_constant(self.value, self.steps[slot.step].text)
        if before:
            return [*before, None] if stated or constant else before
        known = (
            stated
            or (constant and not self.strict)
            or self.value in derived_values(self.quantities)
            or (not self.strict and self.value in COMMON)
        )
        if not known:
            raise FlowError(
                f"the number {decimal_text(self.value)} of step {slot.step + 1} stands neither in the question "
                "nor in an earlier step"
            )
        return [None]

    def _most_likely(self, readings: Sequence[tuple[int | None, ...]]) -> tuple[int | None, ...]:
        """The reading that the words speak for, when they clearly do. Raises FlowError otherwise."""
        scores: dict[frozenset[tuple[int, int]], tuple[float, tuple[int | None, ...]]] = {}
        for reading in readings:
            edges = frozenset((up, slot.step) for slot, up in zip(self.slots, reading, strict=True) if up is not None)
            score = self._economy(reading)
            score += sum(self._evidence(slot, up) for slot, up in zip(self.slots, reading, strict=True))
            if edges not in scores or score > scores[edges][0]:
                scores[edges] = (score, reading)
        ranked = sorted(scores.values(), key=lambda scored: -scored[0])
        if len(ranked) > 1 and ranked[0][0] - ranked[1][0] < MARGIN:
            slot = next(s for s, a, b in zip(self.slots, ranked[0][1], ranked[1][1], strict=True) if a != b)
            raise FlowError(
                f"the number {decimal_text(self.value)} of step {slot.step + 1} may be the result of step "
                f"{' or '.join(str(i + 1) for i in self.producers if i < slot.step)}"
                + (" or a number of the question" if self.value in stated_values(self.quantities) else "")
                + (" or a constant of its units" if is_unit_constant(self.value, self.steps[slot.step].text) else "")
            )
        return ranked[0][1]

    def _economy(self, reading: tuple[int | None, ...]) -> float:
        """A stated number is stated to be used; one result, or one constant, seldom stands twice in a calculation."""
        stated = any(q.value == self.value and q.form in ("plain", "money", "percent") for q in self.quantities)
        score = 2.0 if stated and None in reading else 0.0
        taken = [slot.step for slot, up in zip(self.slots, reading, strict=True) if up is None]
        if not stated:
            score -= 2 * CONSTANT * (len(taken) - len(set(taken)))
        places = [(slot.step, up) for slot, up in zip(self.slots, reading, strict=True) if up is not None]
        return score - 1.5 * (len(places) - len(set(places))) - 0.25 * (len(places) - len({up for _, up in places}))

    def _evidence(self, slot: Slot, source: int | None) -> float:
        """Words that the number's surroundings share with those of its source; more when it is the step just before."""
        here = stems(self._around(slot))
        step = stems(self.steps[slot.step].text)
        if source is None:
            if is_unit_constant(self.value, self.steps[slot.step].text):
                return CONSTANT
            there = [stems(self._near(quantity)) for quantity in self.quantities if quantity.value == self.value]
            return max((_shared(here, step, words) for words in there), default=0.0)
        words = stems(self.steps[source].question + " " + self._result_words(source))
        return _shared(here, step, words) + (0.75 if source == slot.step - 1 else 0.0)

    def _around(self, slot: Slot) -> str:
        """What follows the number in the step's text, up to the next operator."""
        places = [m for m in re.finditer(NUMBER, self.steps[slot.step].text) if written_value(m[0]) == self.value]
        same = [n.index for n in numbers_of(self.steps[slot.step]) if n.value == self.value]
        nth = same.index(slot.number)
        if not places:
            return ""
        match = places[min(nth, len(places) - 1)]
        return _AFTER_NUMBER.match(self.steps[slot.step].text, match.end())[0]  # type: ignore[index]

    def _near(self, quantity: Quantity) -> str:
        """The words around a number of the question: a few before, more after."""
        before = self.question[: quantity.start].split()[-3:]
        after = self.question[quantity.end :].split()[:6]
        return " ".join([*before, *after])

    def _result_words(self, source: int) -> str:
        """What follows the result in its step's text."""
        text = self.steps[source].text
        places = [m for m in re.finditer(NUMBER, text) if written_value(m[0]) == self.value]
        return _AFTER_NUMBER.match(text, places[-1].end())[0] if places else ""  # type: ignore[index]


def _shared(near: frozenset[str], step: frozenset[str], source: frozenset[str]) -> float:
    return len(near & source) + 0.5 * len((step - near) & source)
