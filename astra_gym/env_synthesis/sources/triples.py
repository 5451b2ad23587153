"""Evidence triples (subject, relation, object) of a question: read, checked, and chained into a graph of look-ups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from astra_gym.env_synthesis.sources.lookups import Relation, fold, stands_in, without_aside
from astra_gym.env_synthesis.sources.naming import words
from astra_gym.records import JSON

_SUBJECTS = {
    "director": "film",
    "screenwriter": "film",
    "producer": "film",
    "performer": "song",
    "composer": "work",
    "publisher": "work",
    "author": "work",
    "publication date": "work",
    "country of origin": "work",
    "founded by": "organization",
    "inception": "organization",
    "country": "place",
    "located in the administrative territorial entity": "place",
}
"""What has such a relation; people have the others."""
_OF_PEOPLE = """birth death born died father mother spouse child sibling citizenship nationality educated employer
    occupation award cause burial relative student doctoral"""
_PERSONAL = frozenset(_OF_PEOPLE.split())
_NOUNS = {"founded by": "founder", "educated at": "place of education", "award received": "award"}
MAX_CHARS = 2_000
"""Longest question, name or value that is read."""
MAX_TRIPLES = 32
_NO_ID = frozenset(["", "none", "date_information"])


class RecordError(ValueError):
    """A record that gives no sound env: `stage` says where it fell."""

    def __init__(self, stage: str, reason: str) -> None:
        super().__init__(reason)
        self.stage = stage


@dataclass(frozen=True, slots=True)
class Triple:
    """One or more facts of one subject and relation; more objects are one answer together."""

    subject: str
    relation: str
    objects: tuple[str, ...]
    subject_id: str | None = None
    object_ids: tuple[str | None, ...] = ()


@dataclass(frozen=True, slots=True)
class TripleRecord:
    """What a door needs of one record."""

    id: str
    kind: str
    question: str
    answer: str
    triples: tuple[Triple, ...]
    titles: tuple[str, ...]
    """Titles of the articles that support the answer: how the question names its entities."""
    asked: tuple[str, ...]
    """A sub-question in words for each triple; empty when the record has none that fit."""


@dataclass(frozen=True, slots=True)
class Chain:
    """Where the subject of a triple comes from."""

    triple: Triple
    upstream: int | None
    """Index of the triple whose object it is; None when the question names it."""
    name: str
    """The subject as it is passed: as the question names it, or as upstream gives it."""
    names: tuple[str, ...]
    """All spellings of the subject that the record holds."""


def relation_of(name: str) -> Relation:
    """The look-up for a relation of the data set."""
    subject = _SUBJECTS.get(name) or ("person" if _PERSONAL & set(words(name)) else "entity")
    return Relation(noun=_NOUNS.get(name, name), subjects=(subject,))


def read_record(record: Mapping[str, JSON]) -> TripleRecord:
    """The parts of a record that are used. Raises: RecordError of stage "parse": which field, and what it holds."""
    texts = {key: _text(record, key) for key in ("question", "answer")}
    triples = _triples(record.get("evidences"), record.get("evidences_id"))
    facts = record.get("supporting_facts")
    titles = (
        [fact[0] for fact in facts if isinstance(fact, list) and fact and isinstance(fact[0], str)]
        if isinstance(facts, list)
        else []
    )
    return TripleRecord(
        id=str(record.get("_id") or record.get("id") or ""),
        kind=str(record.get("type") or ""),
        question=texts["question"],
        answer=texts["answer"],
        triples=triples,
        titles=tuple(dict.fromkeys(titles)),
        asked=_asked(record.get("qa_pairs"), record.get("evidences"), triples),
    )


def chain_triples(record: TripleRecord) -> list[Chain]:
    """For each triple the one it depends on, or its name in the question.

    Raises: RecordError of stage "flow" when a subject is the object of several triples, or is named nowhere.
    """
    upstreams = [_upstream(record.triples, i) for i in range(len(record.triples))]
    _refuse_circles(upstreams, record.triples)
    named = _names_in_question(record, [i for i, up in enumerate(upstreams) if up is None])
    chains: list[Chain] = []
    for i, (triple, up) in enumerate(zip(record.triples, upstreams, strict=True)):
        name = named[i] if up is None else record.triples[up].objects[0]
        chains.append(
            Chain(triple, up, name, tuple(dict.fromkeys([name, triple.subject, without_aside(triple.subject)])))
        )
    return chains


def _text(record: Mapping[str, JSON], key: str) -> str:
    value = record.get(key)
    if not isinstance(value, str) or not fold(value[:MAX_CHARS]) or len(value) > MAX_CHARS:
        raise RecordError("parse", f"expected a text `{key}` of at most {MAX_CHARS} characters, found {value!r:.60}")
    return value.strip()


def _triples(evidences: JSON, ids: JSON) -> tuple[Triple, ...]:
    if not isinstance(evidences, list) or not 1 <= len(evidences) <= MAX_TRIPLES:
        raise RecordError(
            "parse", f"expected a list `evidences` of 1 to {MAX_TRIPLES} triples, found {evidences!r:.60}"
        )
    ids = ids if isinstance(ids, list) and len(ids) == len(evidences) else [None] * len(evidences)
    grouped: dict[tuple[str, str], list[tuple[str, str | None, str | None]]] = {}
    spelled: dict[tuple[str, str], tuple[str, str]] = {}
    for evidence, its_ids in zip(evidences, ids, strict=True):
        if not (isinstance(evidence, list) and len(evidence) == 3 and all(map(_is_name, evidence))):
            raise RecordError(
                "parse", f"expected evidence [subject, relation, object] of texts, found {evidence!r:.80}"
            )
        subject, relation, value = (part.strip() for part in evidence)
        subject_id, _, value_id = map(_id, its_ids) if isinstance(its_ids, list) and len(its_ids) == 3 else (None,) * 3
        key = (fold(subject), fold(relation))
        spelled.setdefault(key, (subject, relation))
        if (value, subject_id, value_id) not in grouped.setdefault(key, []):
            grouped[key].append((value, subject_id, value_id))
    return tuple(
        Triple(*spelled[key], tuple(o for o, _, _ in facts), facts[0][1], tuple(i for _, _, i in facts))
        for key, facts in grouped.items()
    )


def _is_name(value: JSON) -> bool:
    return isinstance(value, str) and len(value) <= MAX_CHARS and bool(fold(value))


def _id(value: JSON) -> str | None:
    return value if isinstance(value, str) and value.lower() not in _NO_ID else None


def _asked(pairs: JSON, evidences: JSON, triples: Sequence[Triple]) -> tuple[str, ...]:
    """The record's own sub-questions when there is exactly one a triple and each is about its triple."""
    if not (isinstance(pairs, list) and isinstance(evidences, list) and len(pairs) == len(evidences) == len(triples)):
        return ()
    texts: list[str] = []
    for pair, triple in zip(pairs, triples, strict=True):
        question, answer = (pair.get(key) for key in ("question", "answer")) if isinstance(pair, dict) else (None, None)
        if not (isinstance(question, str) and isinstance(answer, str) and question.strip().endswith("?")):
            return ()
        about = f"{question} {answer}"
        if not (stands_in(without_aside(triple.subject), about) or any(stands_in(o, answer) for o in triple.objects)):
            return ()
        texts.append(question.strip())
    return tuple(texts)


def _upstream(triples: Sequence[Triple], index: int) -> int | None:
    """The triple whose object is the subject of triple `index`."""
    found = [i for i, other in enumerate(triples) if i != index and _is_object(triples[index], other)]
    if len(found) > 1:
        raise RecordError(
            "flow", f"{triples[index].subject!r} is the object of {len(found)} triples: it cannot be told of which"
        )
    if found and len(triples[found[0]].objects) > 1:
        raise RecordError(
            "flow", f"{triples[index].subject!r} is one of {len(triples[found[0]].objects)} objects of a triple"
        )
    return found[0] if found else None


def _refuse_circles(upstreams: Sequence[int | None], triples: Sequence[Triple]) -> None:
    for start in range(len(upstreams)):
        at: int | None = start
        for _ in upstreams:
            at = None if at is None else upstreams[at]
        if at is not None:
            raise RecordError("flow", f"the triples of {triples[start].subject!r} depend on each other in a circle")


def _is_object(triple: Triple, other: Triple) -> bool:
    for value, value_id in zip(other.objects, other.object_ids, strict=True):
        if triple.subject_id and value_id:
            if triple.subject_id == value_id:
                return True
        elif fold(value) in (fold(triple.subject), fold(without_aside(triple.subject))):
            return True
    return False


def _names_in_question(record: TripleRecord, roots: Sequence[int]) -> dict[int, str]:
    """How the question names the subject of each of these triples."""
    here = [title for title in record.titles if stands_in(title, record.question)]
    named: dict[int, str] = {}
    for i in roots:
        subject = record.triples[i].subject
        others = {fold(record.triples[other].subject) for other in roots} - {fold(subject)}
        alike = [t for t in here if fold(without_aside(t)) == fold(without_aside(subject)) and fold(t) not in others]
        if alike:
            named[i] = max(alike, key=len)
        elif stands_in(subject, record.question):
            named[i] = subject
    used = {fold(name) for name in named.values()} | {fold(o) for triple in record.triples for o in triple.objects}
    left = [title for title in here if fold(title) not in used]
    for i in roots:
        if i not in named:
            if len(left) != 1 or len(roots) - len(named) != 1:
                raise RecordError("flow", f"the question does not name {record.triples[i].subject!r}")
            named[i] = left[0]
    return named
