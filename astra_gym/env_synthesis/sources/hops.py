"""Hops of a MuSiQue decomposition: "X >> relation" or a question in words, with #k for the answer of hop k.

Each becomes a relation with arguments: literal names that the main question has, or references to earlier hops.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from astra_gym.answers import Answer
from astra_gym.env_synthesis.sources.lookups import Relation, fold, stands_in, without_aside
from astra_gym.env_synthesis.sources.triples import MAX_CHARS, MAX_TRIPLES, RecordError, relation_of
from astra_gym.records import JSON
from astra_gym.values.dates import read_date

_REFERENCE = re.compile(r"#(\d+)")
_NAME = re.compile(
    r"[\"“]([^\"”]+)[\"”]|[A-Z0-9][\w.'’&-]*(?:\s+(?:(?:of|the|and|de|la|von|van|in|for|&)\s+)*[A-Z0-9][\w.'’&-]*)*"
)
_NUMBER = re.compile(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?")
_TIME_WORDS = ("when", "year", "date", "day", "month", "century")
_ORDINALS = ("first", "second", "third", "fourth")


@dataclass(frozen=True, slots=True)
class Hop:
    """One single-hop question."""

    relation: Relation
    arguments: tuple[str | int, ...]
    """For each subject of the relation a name, or the index of the hop whose answer it is."""
    question: str
    """As the data set words it, references in it."""
    answer: str
    passed_on: bool = False
    """Whether a later hop takes the answer as an argument: then it stays a text."""


def read_hops(record: Mapping[str, JSON], question: str) -> tuple[Hop, ...]:
    """The hops of a record, in order.

    Raises: RecordError of stage "parse" (fields missing), "flow" (a reference to no earlier hop, a name that the
        question does not have) or "tools" (nothing to look it up by).
    """
    raw = record.get("question_decomposition")
    if not isinstance(raw, list) or not 1 <= len(raw) <= MAX_TRIPLES:
        found = f"{raw!r:.60}"
        raise RecordError(
            "parse", f"expected a list `question_decomposition` of 1 to {MAX_TRIPLES} hops, found {found}"
        )
    titles = _titles(record.get("paragraphs"))
    hops: list[Hop] = []
    for i, hop in enumerate(raw):
        if not isinstance(hop, dict):
            raise RecordError("parse", f"expected hop {i + 1} to be an object, found {hop!r:.60}")
        text, answer = hop.get("question"), hop.get("answer")
        if not (isinstance(text, str) and isinstance(answer, str) and text.strip() and fold(answer)) or (
            max(len(text), len(answer)) > MAX_CHARS
        ):
            raise RecordError("parse", f"expected hop {i + 1} to have texts `question` and `answer`, found {hop!r:.80}")
        title = titles.get(_index(hop.get("paragraph_support_idx")), "")
        hops.append(_read_hop(i, text.strip(), answer.strip(), question, title))
    passed_on = {part for hop in hops for part in hop.arguments if isinstance(part, int)}
    return tuple(replace(hop, passed_on=i in passed_on) for i, hop in enumerate(hops))


def filled(hop: Hop, hops: Sequence[Hop]) -> tuple[str, ...]:
    """The arguments with references replaced by the answers they stand for."""
    return tuple(hops[part].answer if isinstance(part, int) else part for part in hop.arguments)


def hop_answer(hop: Hop, aliases: Sequence[str] = ()) -> Answer:
    """The typed answer of a hop: a date where time is asked for, a number, or a text with `aliases`."""
    if hop.passed_on:
        return Answer(kind="text", value=hop.answer)
    asks_time = any(word in hop.question.lower().split() for word in _TIME_WORDS) or "date" in hop.relation.noun.split()
    iso = read_date(hop.answer)
    if iso and (asks_time or len(iso) > 4):
        return Answer(kind="date", value=iso)
    if _NUMBER.fullmatch(hop.answer):
        number = float(hop.answer.replace(",", ""))
        return Answer(kind="number", value=int(number) if number.is_integer() else number)
    return Answer(kind="text", value=hop.answer, aliases=tuple(alias for alias in aliases if alias != hop.answer))


def _read_hop(i: int, text: str, answer: str, question: str, title: str) -> Hop:
    references = [int(number) - 1 for number in _REFERENCE.findall(text)]
    if wrong := [up + 1 for up in references if not 0 <= up < i]:
        raise RecordError("flow", f"hop {i + 1} refers to #{wrong[0]}, but only earlier hops have answers")
    subject, arrow, relation = (part.strip() for part in text.partition(">>"))
    if arrow and relation and (not references or _REFERENCE.fullmatch(subject)):
        arguments: tuple[str | int, ...] = (references[0] if references else _named(i, subject, question),)
        return Hop(relation_of(relation), arguments, text, answer)
    if arrow:
        text = f"What is the {relation} of {subject}?"
    if references:
        # One argument a hop: "#1" twice in a question is one name.
        ups = list(dict.fromkeys(references))
        template = _REFERENCE.sub("{}", text) if len(ups) == len(references) else _blank_repeats(text)
        return Hop(_in_words(template, len(ups)), tuple(ups), text, answer)
    name = _entity(i, text, question, title)
    template = re.sub(re.escape(name), "{}", text, count=1, flags=re.IGNORECASE)
    return Hop(_in_words(template, 1), (name,), text, answer)


def _in_words(template: str, slots: int) -> Relation:
    subjects = ("name",) if slots == 1 else tuple(f"{ordinal}_name" for ordinal in _ORDINALS[:slots])
    if slots > len(_ORDINALS):
        raise RecordError("tools", f"expected at most {len(_ORDINALS)} references in one hop, found {slots}")
    return Relation(noun="answer", subjects=subjects, question=template)


def _blank_repeats(text: str) -> str:
    """References as `{}`, a repeated one as "it"."""
    seen: set[str] = set()

    def blank(match: re.Match[str]) -> str:
        again = match[1] in seen
        seen.add(match[1])
        return "it" if again else "{}"

    return _REFERENCE.sub(blank, text)


def _named(i: int, name: str, question: str) -> str:
    if not stands_in(without_aside(name), question):
        raise RecordError("flow", f"hop {i + 1} starts from {name!r}, which the question does not name")
    return name


def _entity(i: int, text: str, question: str, title: str) -> str:
    """The name in a hop without references: what its article is about, or the longest name shared with the question."""
    candidates = [title, without_aside(title)] if title else []
    names = [match[1] or match[0] for match in _NAME.finditer(text) if match.start() or match[1]]
    candidates += sorted(names, key=lambda name: -len(name))
    for name in candidates:
        if name and name.lower() in text.lower() and stands_in(name, question):
            return name
    raise RecordError("tools", f"hop {i + 1} has no name to look it up by that the question has too: {text!r:.80}")


def _titles(paragraphs: JSON) -> dict[int | None, str]:
    if not isinstance(paragraphs, list):
        return {}
    return {
        _index(paragraph.get("idx", i)): paragraph["title"]
        for i, paragraph in enumerate(paragraphs)
        if isinstance(paragraph, dict) and isinstance(paragraph.get("title"), str)
    }


def _index(value: JSON) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
