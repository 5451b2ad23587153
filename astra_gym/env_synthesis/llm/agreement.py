"""How far judges agree beyond chance: Cohen's kappa of two, Fleiss' kappa of more (or of changing numbers of answers).

Sources: Cohen 1960, Fleiss 1971. A kappa is undefined, here None, where all answers are the same: then chance alone
would agree as well.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from astra_gym.records import Record
from astra_gym.types import Verdict

Vote = bool | None


class Agreement(Record):
    """Of the units that two judges or more answered."""

    units: int
    judges: int
    """The most that answered one unit."""
    observed: float | None
    """Share of pairs of answers to the same unit that agree."""
    kappa: float | None


def cohen_kappa(first: Sequence[Vote], second: Sequence[Vote]) -> float | None:
    """Agreement of two judges on the units that both answered. Raises: ValueError when the lengths differ."""
    if len(first) != len(second):
        raise ValueError(f"two judges answer the same units, found {len(first)} and {len(second)}")
    pairs = [(a, b) for a, b in zip(first, second, strict=True) if a is not None and b is not None]
    if not pairs:
        return None
    observed = sum(a == b for a, b in pairs) / len(pairs)
    yes_first, yes_second = (sum(pair[i] for pair in pairs) / len(pairs) for i in (0, 1))
    return _beyond(observed, yes_first * yes_second + (1 - yes_first) * (1 - yes_second))


def fleiss_kappa(units: Iterable[Sequence[Vote]]) -> float | None:
    """Agreement of any number of judges; a unit counts with the answers that it has, from two on."""
    answered = _answered(units)
    if not answered:
        return None
    observed = _observed(answered)
    totals = Counter(vote for votes in answered for vote in votes)
    count = sum(totals.values())
    return _beyond(observed, sum((n / count) ** 2 for n in totals.values()))


def agreement(units: Iterable[Sequence[Vote]]) -> Agreement:
    """The agreement over units, each the judges' votes in the judges' order."""
    votes = [tuple(unit) for unit in units]
    answered = _answered(votes)
    if not answered:
        return Agreement(units=0, judges=0, observed=None, kappa=None)
    judges = max(map(len, answered))
    if all(len(unit) == 2 for unit in votes):
        kappa = cohen_kappa([unit[0] for unit in votes], [unit[1] for unit in votes])
    else:
        kappa = fleiss_kappa(votes)
    return Agreement(units=len(answered), judges=judges, observed=_observed(answered), kappa=kappa)


def agreement_by_check(verdicts: Iterable[Verdict]) -> dict[str, Agreement]:
    """Over many items' verdicts: by check, how far its judges agreed. Checks that one judge answered have 0 units."""
    units: dict[str, list[Sequence[Vote]]] = {}
    for verdict in verdicts:
        if isinstance(verdict.evidence, dict) and isinstance(votes := verdict.evidence.get("votes"), dict):
            units.setdefault(verdict.check, []).extend(votes.values())
    return {check: agreement(found) for check, found in units.items()}


def _answered(units: Iterable[Sequence[Vote]]) -> list[list[bool]]:
    """The answers to each unit that has two or more."""
    answers = ([vote for vote in unit if vote is not None] for unit in units)
    return [found for found in answers if len(found) > 1]


def _observed(answered: Sequence[Sequence[bool]]) -> float:
    """The mean over units of the share of agreeing pairs."""
    shares = []
    for votes in answered:
        n, yes = len(votes), sum(votes)
        shares.append((yes * (yes - 1) + (n - yes) * (n - yes - 1)) / (n * (n - 1)))
    return sum(shares) / len(shares)


def _beyond(observed: float, expected: float) -> float | None:
    return None if expected >= 1 else (observed - expected) / (1 - expected)
