"""Rules of wording: questions that ask something definite, and that refer to what they depend on.

Only what can be told from the words is told: a reference that is made in words of its own ("the venue") is left to the
dependency judge.
"""

from __future__ import annotations

import re

from astra_gym.env_synthesis.llm.drafted import Drafted
from astra_gym.types import SubQuestion
from astra_gym.values.texts import fold

_HAN = re.compile(r"[㐀-鿿]")
_LEAST_WORDS, _LEAST_HAN = 3, 4
_THINGS = (
    r"(?:city|town|country|company|person|user|customer|product|item|store|hotel|restaurant|place|thing|date|day|year"
    r"|value|number|amount|price|movie|film|book|school|bank|train|station|airport|team|player|patient|order)"
)
_PLACEHOLDER = re.compile(
    r"\[[A-Za-z][A-Za-z _/-]*\]|<[A-Za-z][A-Za-z _/-]*>|\{[A-Za-z _]*\}|_{3,}|\bXX+\b|\bXYZ\b|\blorem ipsum\b|\.{4,}"
    rf"|\b(?:some|any|a certain|a particular|a specific|a given|such-and-such)\s+{_THINGS}\b"
    r"|\b(?i:city|company|person|country|product|user|customer|store)\s+[A-Z]\b(?!\.?\w)"
    r"|某个|某一|某位|某家|某地|某些|某某|某公司|某人|××|ＸＸ|XX|（待填）"
)
_ASKING_WORDS = frozenset({"which", "what", "when", "where", "whose", "many", "much", "does", "have", "with", "from"})
_ID = re.compile(r"(?<![A-Za-z0-9_])[qQ]([1-9][0-9]{0,2})(?![A-Za-z0-9])")
_POINTING = re.compile(
    r"\b(?:that|those|this|these|it|its|they|them|their|theirs|he|him|his|she|her|hers|same|such|both|each|former|latter"
    r"|previous|above|result|results|answer|found|there|then|the|combined|total|together|between)\b"
    r"|该|这|那|此|其|它|他|她|上述|上面|前述|以上|前者|后者|二者|两者|两|各|分别|所|结果|答案|同|总|合计|之间|相差",
    re.IGNORECASE,
)


def vague(drafted: Drafted) -> list[str]:
    """Every question asks something definite in words enough to be asked alone."""
    problems = []
    for sub in drafted.decomposition.sub_questions:
        if found := _PLACEHOLDER.search(sub.question):
            problems.append(f"{sub.id} holds the placeholder {found[0]!r}: {sub.question!r}")
        elif _short(sub.question):
            problems.append(f"{sub.id} is too short to ask anything definite: {sub.question!r}")
    if found := _PLACEHOLDER.search(drafted.decomposition.question):
        problems.append(f"the question holds the placeholder {found[0]!r}")
    return problems


def _short(question: str) -> bool:
    han = len(_HAN.findall(question))
    return han < _LEAST_HAN if han else len(fold(question).split()) < _LEAST_WORDS


def unreferred(drafted: Drafted) -> list[str]:
    """Ids that a question names are its dependencies, all of them; a question that points at nothing has none."""
    by_id = drafted.decomposition.by_id
    problems = []
    for sub in drafted.decomposition.sub_questions:
        named = {f"q{number}" for number in _ID.findall(sub.question)} & by_id.keys()
        if undeclared := sorted(named - set(sub.depends_on)):
            problems.append(f"{sub.id} names {undeclared}, but depends on {list(sub.depends_on)}")
        elif named and (silent := sorted(set(sub.depends_on) - named)):
            problems.append(f"{sub.id} names {sorted(named)} and not {silent}, on which it is said to depend")
        elif sub.depends_on and not named and not _points(sub, [by_id[key] for key in sub.depends_on]):
            problems.append(f"{sub.id} depends on {list(sub.depends_on)} and refers to nothing: {sub.question!r}")
    return problems


def _points(sub: SubQuestion, needs: list[SubQuestion]) -> bool:
    """Whether the words may refer to a dependency: a pointing word, or a word in common with its question."""
    if _POINTING.search(sub.question):
        return True
    own = _telling_words(sub.question)
    return any(own & _telling_words(other.question) for other in needs)


def _telling_words(question: str) -> frozenset[str]:
    """Words of four letters or more without plurals and without those that only ask; of Han, every two neighbours."""
    han = "".join(_HAN.findall(question))
    pairs = {han[i : i + 2] for i in range(len(han) - 1)}
    words = (word for word in fold(question).split() if len(word) > 3 and word not in _ASKING_WORDS)
    return frozenset(word.rstrip("s") for word in words) | pairs
