"""Values of facts: dates in ISO form, other texts as they are, and which spellings mean the same country or place."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property

from astra_gym.answers import Answer
from astra_gym.env_synthesis.sources.lookups import fold, stands_in
from astra_gym.records import JSON
from astra_gym.values.dates import read_date

_MIN_ALIAS_CHARS = 4


@dataclass
class Spellings:
    """Which texts mean the same thing, learnt from the ids that a data set gives them."""

    _ids: dict[str, Counter[str]] = field(default_factory=dict)
    _texts: dict[str, Counter[str]] = field(default_factory=dict)

    def learn(self, text: str, entity_id: str | None) -> None:
        if entity_id:
            self._ids.setdefault(fold(text), Counter())[entity_id] += 1
            self._texts.setdefault(entity_id, Counter())[text] += 1

    def canonical(self, text: str) -> str:
        """One spelling for all that mean the same: folded, the most frequent, ties by alphabet."""
        return fold(self._of(text)[0])

    def others(self, text: str) -> list[str]:
        """The other spellings of what `text` means, most frequent first."""
        return [other for other in self._of(text) if fold(other) != fold(text)]

    @cached_property
    def table(self) -> dict[str, str]:
        """Every spelling learnt, folded, to the one for all; to be read when all are learnt."""
        known = sorted({text for texts in self._texts.values() for text in texts})
        return {fold(text): self.canonical(text) for text in known}

    def all_of(self, text: str) -> frozenset[str]:
        """Every spelling of what `text` means, folded."""
        return frozenset(map(fold, [text, *self._of(text)]))

    def _of(self, text: str) -> list[str]:
        ids = self._ids.get(fold(text))
        if not ids:
            return [text]
        entity = min(ids, key=lambda one: (-ids[one], one))
        kept = [other for other in self._texts[entity] if self._ids[fold(other)].most_common(1)[0][0] == entity]
        ranked = sorted(kept, key=lambda other: (-self._texts[entity][other], other))
        return ranked or [text]


class Vocabulary:
    """The spellings of countries and of places, apart from each other."""

    def __init__(self) -> None:
        self._by_noun: dict[str | None, Spellings] = {None: Spellings()}

    def of(self, relation: str) -> Spellings:
        """The spellings that values of `relation` may have; empty for values that are compared as they stand."""
        return self._by_noun.get(compared_noun(relation)) or self._by_noun[None]

    def learn(self, relation: str, text: str, entity_id: str | None) -> None:
        if noun := compared_noun(relation):
            self._by_noun.setdefault(noun, Spellings()).learn(text, entity_id)


def value_of(relation: str, objects: Iterable[str]) -> JSON:
    """What a table holds for a fact: an ISO date for a relation of dates, a text, or the list of several."""
    values = [(read_date(text) if is_date_relation(relation) else None) or text for text in objects]
    return values[0] if len(values) == 1 else values


def same_as(relation: str, value: JSON, vocabulary: Vocabulary) -> frozenset[str]:
    """The folded texts that are equal to `value`, or to a member of it."""
    texts = value if isinstance(value, list) else [value]
    return frozenset().union(*(vocabulary.of(relation).all_of(text) for text in texts))


def compared_noun(relation: str) -> str | None:
    """What two values of a relation are compared as: "country" (of a nationality too), "place", or None."""
    parts = relation.lower().split()
    return "country" if parts[:1] == ["country"] or "nationality" in parts else "place" if "place" in parts else None


def is_date_relation(relation: str) -> bool:
    """Whether the values of a relation are dates."""
    return "date" in relation.lower().split() or relation.lower() == "inception"


def answer_of(relation: str, value: JSON, vocabulary: Vocabulary, question: str) -> Answer:
    """The typed answer for a table's value; other spellings count too unless the question holds them."""
    if isinstance(value, list):
        return Answer(kind="set", value=value)
    if is_date_relation(relation) and read_date(value) == value:
        return Answer(kind="date", value=value)
    others = [
        text
        for text in vocabulary.of(relation).others(value)
        if len(text) >= _MIN_ALIAS_CHARS and not stands_in(text, question)
    ]
    return Answer(kind="text", value=value, aliases=tuple(others))
