"""Sound decompositions broken on purpose, one flaw each, such that wording and graph still look right.

Each way takes a decomposition whose questions refer to upstream answers in words, and gives it back with the flaw, or
None where it offers no place for that flaw. Gold calls that no longer fit the graph are taken off.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Literal, TypeAlias

from astra_gym.answers import COLLECTIONS, QUANTITIES, Answer
from astra_gym.env_synthesis.llm.referring import noun_of
from astra_gym.env_synthesis.llm.rules.graph import ancestors
from astra_gym.types import Decomposition, SubQuestion

Flaw: TypeAlias = Literal[
    "tool_not_needed", "wrong_dependency", "merged_steps", "forced_serialisation", "missing_step", "wrong_answer"
]
_REWORDINGS = (
    "Write {the_noun} on a line of its own.",
    "In one sentence, sum up what has been found: what is {the_noun}?",
    "Repeat {the_noun} in plain words.",
)


def wrong_dependency(sound: Decomposition) -> Decomposition | None:
    """A step rests on another step than the one whose answer it uses; the two answers are of different kinds."""
    for sub, needed, other in _swaps(sound):
        depends_on = tuple(other.id if key == needed.id else key for key in sub.depends_on)
        return _replaced(sound, {sub.id: sub.model_copy(update={"depends_on": depends_on})})
    return None


def _swaps(sound: Decomposition) -> Iterator[tuple[SubQuestion, SubQuestion, SubQuestion]]:
    for sub in sound.sub_questions:
        for key in sub.depends_on:
            needed = sound.by_id[key]
            for other in sound.sub_questions:
                free = other.id != sub.id and other.id not in sub.depends_on
                alike = noun_of(other).rpartition(" ")[2] == noun_of(needed).rpartition(" ")[2]
                if free and not alike and noun_of(needed) and sub.id not in ancestors(sound, other.id):
                    yield sub, needed, other


def merged_steps(sound: Decomposition) -> Decomposition | None:
    """Two steps, the second of which uses the first's answer, asked as one."""
    for sub in sound.sub_questions:
        for key in sub.depends_on:
            if sum(key in other.depends_on for other in sound.sub_questions) == 1:
                first = sound.by_id[key]
                question = f"{first.question.rstrip('?. ')}, and {sub.question[:1].lower()}{sub.question[1:]}"
                depends_on = dict.fromkeys((*first.depends_on, *(other for other in sub.depends_on if other != key)))
                both = sub.model_copy(update={"question": question, "depends_on": tuple(depends_on)})
                return _replaced(sound, {sub.id: both}, without=key)
    return None


def forced_serialisation(sound: Decomposition) -> Decomposition | None:
    """A step waits for another one that could be done beside it."""
    for sub in reversed(sound.sub_questions):
        for other in sound.sub_questions:
            before, after = ancestors(sound, sub.id), ancestors(sound, other.id)
            if other.id != sub.id and other.id not in before and sub.id not in after:
                return _replaced(sound, {sub.id: sub.model_copy(update={"depends_on": (*sub.depends_on, other.id)})})
    return None


def missing_step(sound: Decomposition) -> Decomposition | None:
    """One of the last steps is left out, although the question asks for it."""
    used = {up for up, _ in sound.edges}
    last = [sub for sub in sound.sub_questions if sub.id not in used]
    return _replaced(sound, {}, without=last[-1].id) if len(sound.sub_questions) > 1 else None


def tool_not_needed(sound: Decomposition) -> Decomposition | None:
    """A step in words alone stands between two steps."""
    for sub in sound.sub_questions:
        for key in sub.depends_on:
            needed = sound.by_id[key]
            if not (noun := noun_of(needed)):
                continue
            the_noun = f"{'those' if needed.answer.kind in COLLECTIONS else 'that'} {noun}"
            wording = _REWORDINGS[len(sub.question) % len(_REWORDINGS)].format(the_noun=the_noun)
            numbers = [int(other.id.strip("q")) for other in sound.sub_questions if other.id.strip("q").isdigit()]
            between = SubQuestion(
                id=f"q{max(numbers, default=0) + 1}", question=wording, answer=needed.answer, depends_on=(key,)
            )
            depends_on = tuple(between.id if other == key else other for other in sub.depends_on)
            return _replaced(sound, {sub.id: sub.model_copy(update={"depends_on": depends_on})}, added=[between])
    return None


def wrong_answer(sound: Decomposition) -> Decomposition | None:
    """The final answer is another one than the steps give."""
    other = _other_answer(sound)
    return None if other is None else _replaced(sound.model_copy(update={"answer": other}), {})


def _other_answer(sound: Decomposition) -> Answer | None:
    answer = sound.answer
    if answer.kind in QUANTITIES:
        value = answer.value + 1 if isinstance(answer.value, int) else round(answer.value * 1.1 + 1, 2)
        return answer.model_copy(update={"value": value})
    if answer.kind == "bool":
        return answer.model_copy(update={"value": not answer.value})
    if answer.kind == "list":
        backwards = answer.value[::-1]
        return None if answer.matches(backwards) else answer.model_copy(update={"value": backwards})
    texts = (*answer.choices, *(sub.answer.value for sub in sound.sub_questions if sub.answer.kind == answer.kind))
    other = next((text for text in texts if not answer.matches(text)), None)
    return None if other is None else answer.model_copy(update={"value": other})


def _replaced(
    sound: Decomposition,
    changed: dict[str, SubQuestion],
    *,
    without: str | None = None,
    added: Sequence[SubQuestion] = (),
) -> Decomposition:
    """`sound` with some steps changed, one left out and some added; built anew, so that what must hold is checked."""
    subs = [changed.get(sub.id, sub) for sub in sound.sub_questions if sub.id != without] + list(added)
    called = {sub.id for sub in subs if sub.call is not None and set(sub.call.refs) <= set(sub.depends_on)}
    while loose := {s.id for s in subs if s.id in called and s.call is not None and not set(s.call.refs) <= called}:
        called -= loose
    bare = {"call": None, "result_path": ""}
    kept = tuple(sub if sub.id in called else sub.model_copy(update=bare) for sub in subs)
    return Decomposition(
        id=sound.id,
        question=sound.question,
        answer=sound.answer,
        sub_questions=kept,
        domain=sound.domain,
        language=sound.language,
    )


FLAWS: dict[Flaw, tuple[str, Callable[[Decomposition], Decomposition | None]]] = {
    "tool_not_needed": ("necessity", tool_not_needed),
    "wrong_dependency": ("dependency", wrong_dependency),
    "merged_steps": ("atomicity", merged_steps),
    "forced_serialisation": ("serialisation", forced_serialisation),
    "missing_step": ("completeness", missing_step),
    "wrong_answer": ("final_answer", wrong_answer),
}
"""Each flaw with the check that must find it and how it is made."""
