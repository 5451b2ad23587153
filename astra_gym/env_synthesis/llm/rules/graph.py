"""Rules of the graph: depth and shape asked for, no step that leads nowhere, no question asked twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from astra_gym.env_synthesis.llm.drafted import Drafted
from astra_gym.env_synthesis.llm.expression import ExpressionError, names_in
from astra_gym.records import canonical_json
from astra_gym.types import Decomposition, SubQuestion
from astra_gym.values.texts import fold

_LITTLE_WORDS = frozenset(
    (
        *("the", "a", "an", "of", "in", "at", "on", "for", "to", "from", "by", "with", "and", "is", "are", "was"),
        *("were", "be", "been", "does", "do", "did", "what", "which", "who", "whose", "please", "me", "tell", "give"),
    )
)


def bounds(drafted: Drafted) -> list[str]:
    """The longest chain is as long as was asked for, and the shape is the one asked for."""
    item, decomposition = drafted.item, drafted.decomposition
    problems = []
    if not item.min_hops <= decomposition.hops <= item.max_hops:
        wanted = str(item.min_hops) if item.min_hops == item.max_hops else f"{item.min_hops} to {item.max_hops}"
        problems.append(f"{wanted} hops were asked for; the longest chain of dependencies has {decomposition.hops}")
    if item.scenario is not None and decomposition.scenario_type != item.scenario:
        problems.append(f"{item.scenario} was asked for; the graph is {decomposition.scenario_type}")
    return problems


def dangling(drafted: Drafted) -> list[str]:
    """Every step leads to the final answer, where an expression says from which steps it is made."""
    if not drafted.answer_from:
        return []
    decomposition = drafted.decomposition
    try:
        named = names_in(drafted.answer_from)
    except ExpressionError as error:
        return [str(error)]
    if unknown := sorted(named - decomposition.by_id.keys()):
        return [f"the final answer is {drafted.answer_from!r}, but {unknown} are no sub-questions"]
    used = named | {name for key in named for name in ancestors(decomposition, key)}
    return [
        f"{sub.id} leads nowhere: the final answer is {drafted.answer_from!r}, and no step there needs it"
        for sub in decomposition.sub_questions
        if sub.id not in used
    ]


def duplicates(drafted: Drafted) -> list[str]:
    """No two sub-questions ask the same words of the same dependencies; in any order, when their answers agree."""
    decomposition = drafted.decomposition
    problems = []
    in_order: dict[tuple[tuple[str, ...], frozenset[str]], str] = {}
    in_any: dict[tuple[frozenset[tuple[str, int]], frozenset[str], bytes], str] = {}
    for sub in decomposition.sub_questions:
        words, needs = _content_words(sub.question), frozenset(sub.depends_on)
        answer = canonical_json([sub.answer.kind, sub.answer.value])
        bag = frozenset(Counter(words).items())
        twin = in_order.get((words, needs)) or in_any.get((bag, needs, answer))
        if twin is not None:
            problems.append(f"{sub.id} asks the same as {twin}: {sub.question!r}")
        in_order.setdefault((words, needs), sub.id)
        in_any.setdefault((bag, needs, answer), sub.id)
    if len(decomposition.sub_questions) > 1:
        problems += [f"{sub.id} is the whole question" for sub in _wholes(decomposition)]
    return problems


def _wholes(decomposition: Decomposition) -> Iterable[SubQuestion]:
    whole = fold(decomposition.question)
    return (sub for sub in decomposition.sub_questions if fold(sub.question) == whole)


def _content_words(question: str) -> tuple[str, ...]:
    words = fold(question).split()
    return tuple(word for word in words if word not in _LITTLE_WORDS) or tuple(words)


def ancestors(decomposition: Decomposition, sub_id: str) -> frozenset[str]:
    """Every sub-question that one rests on, directly or not."""
    found: set[str] = set()
    waiting = list(decomposition.by_id[sub_id].depends_on)
    while waiting:
        key = waiting.pop()
        if key not in found:
            found.add(key)
            waiting += decomposition.by_id[key].depends_on
    return frozenset(found)
