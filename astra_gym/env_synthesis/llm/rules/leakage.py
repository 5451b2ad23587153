"""Rules of leakage: an answer stands where it is answered, not in a question.

What the certificate refuses in the finished env (`astra_gym.leaks`) is refused here before anything is spent on it; and
a question that names an answer which it depends on (pasted gold) would let its call do without the upstream result.
"""

from __future__ import annotations

import re

from astra_gym.answers import QUANTITIES, Answer
from astra_gym.env_synthesis.llm.drafted import Drafted
from astra_gym.env_synthesis.llm.rules.graph import ancestors
from astra_gym.env_synthesis.llm.rules.stated import numbers_in
from astra_gym.leaks import stands_in, telling_texts
from astra_gym.records import JSON
from astra_gym.values.dates import scan_dates
from astra_gym.values.texts import fold

_SHORT = 3
_LETTER = r"[^\W㐀-鿿]"
_TELLING_NUMBER = 10
"""A smaller whole number stands in a question for many reasons."""


def leaked(drafted: Drafted) -> list[str]:
    """No text answer stands in the main question, in its own question or in one that does not depend on it."""
    decomposition = drafted.decomposition
    problems = []
    for sub in decomposition.sub_questions:
        texts = telling_texts(sub.answer)
        problems += [
            f"the answer of {sub.id} ({text!r}) stands in the question"
            for text in texts
            if stands_in(text, decomposition.question)
        ]
        before = ancestors(decomposition, sub.id)
        for other in decomposition.sub_questions:
            if other.id in before or sub.id in ancestors(decomposition, other.id):
                continue
            where = "its own question" if other.id == sub.id else f"{other.id}, which does not depend on it"
            problems += [
                f"the answer of {sub.id} ({text!r}) stands in {where}: {other.question!r}"
                for text in texts
                if _names(other.question, text)
            ]
    problems += [
        f"the final answer ({text!r}) stands in the question"
        for text in telling_texts(decomposition.answer)
        if stands_in(text, decomposition.question)
    ]
    return problems


def pasted(drafted: Drafted) -> list[str]:
    """No question names an answer that it depends on, directly or not: it refers to it."""
    decomposition = drafted.decomposition
    problems = []
    for sub in decomposition.sub_questions:
        for key in sorted(ancestors(decomposition, sub.id)):
            upstream = decomposition.by_id[key]
            if (found := named_in(sub.question, upstream.answer)) is not None:
                problems.append(f"{sub.id} names {found!r}, the answer of {key}, instead of referring to it")
    return problems


def named_in(text: str, answer: Answer) -> JSON:
    """The part of an answer that a text names, or None. Yes and no, and small whole numbers, are never taken for it."""
    if answer.kind == "bool":
        return None
    if answer.kind == "date":
        return answer.value if answer.value in scan_dates(text) else None
    if answer.kind in QUANTITIES:
        small = isinstance(answer.value, int) and abs(answer.value) < _TELLING_NUMBER
        return answer.value if not small and float(answer.value) in numbers_in(text) else None
    texts = telling_texts(answer.model_copy(update={"choices": ()}))
    return next((part for part in texts if _names(text, part)), None)


def _names(question: str, text: str) -> bool:
    """Whether a question holds a text; one of three letters or less only as it is written ("May", not "may")."""
    if len(fold(text)) <= _SHORT and text.isascii():
        return re.search(rf"(?<!{_LETTER}){re.escape(text)}(?!{_LETTER})", question) is not None
    return stands_in(text, question)
