"""Choices: an answer that the question itself offers ("Which is cheaper, the Aurora or the Borealis?") is no leak.

The alternatives are read off the question where an answer stands beside an "or" (in Chinese 还是, 或) or in a list
after "between", "which of" and the like. Where that is not clear there is no choice, and the leak rules apply.
"""

from __future__ import annotations

import re

from astra_gym.answers import Answer
from astra_gym.leaks import stands_in
from astra_gym.values.texts import fold

_CLAUSE = re.compile(r"[.;:?!()\n。；：？！（）]+")
_OFFER = re.compile(r"\b(?:between|whichever of|which of|who of|either of|either|comparing|out of)\b(?P<rest>.+)", re.I)
_OR = re.compile(r",\s*or\s+|\s+or\s+|,\s+", re.I)
_AND = re.compile(r",\s*and\s+|\s+and\s+|\s+with\s+|,\s+", re.I)
_HAN_SEPARATOR = re.compile(r"还是|或者|或|、|，|与|和|跟")
_HAN_OFFER = re.compile(r"还是|或者|或|哪|谁|更|最|相比|比较")
_ASKS = re.compile(r"\s*(?:which|what|who|whose|where|how)\b", re.I)
_LEAD = re.compile(r"^(?:does|did|do|is|are|was|were|has|have|will|can|should|whether|if|the|an?)\s+", re.I)
_MOST_WORDS = 8
_HAN = re.compile(r"[㐀-鿿]")


def with_choices(answer: Answer, *questions: str) -> Answer:
    """`answer` with the alternatives that one of `questions` offers it among, if one does."""
    if answer.kind != "text" or answer.choices:
        return answer
    for question in questions:
        for clause in _CLAUSE.split(question):
            if stands_in(answer.value, clause) and (offered := _offered(clause, answer.value)):
                return answer.model_copy(update={"choices": offered})
    return answer


def _offered(clause: str, answer: str) -> tuple[str, ...]:
    """The alternatives of a clause, `answer` first; () when it offers none beside `answer`."""
    if _HAN.search(clause):
        items = _HAN_SEPARATOR.split(clause) if _HAN_OFFER.search(clause) else []
    elif last := list(re.finditer(r"\bor\b", clause, re.I)):
        end = clause.find(",", last[-1].end())
        items = _OR.split(clause if end < 0 else clause[:end])
    else:
        found = _OFFER.search(clause)
        items = _AND.split(found["rest"]) if found else []
    at = [i for i, item in enumerate(items) if stands_in(answer, item)]
    if len(at) != 1:
        return ()
    others = [_bare(item) for i, item in enumerate(items) if i != at[0] and not _ASKS.match(item)]
    kept = [item for item in others if item and len(item.split()) <= _MOST_WORDS and fold(item) != fold(answer)]
    return (answer, *dict.fromkeys(kept)) if kept else ()


def _bare(item: str) -> str:
    """An alternative without what leads up to it ("does the Aurora")."""
    before, text = "", item.strip(" \t\"'“”「」")
    while before != text:
        before, text = text, _LEAD.sub("", text)
    return text
