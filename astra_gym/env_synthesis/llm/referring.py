"""Questions that refer to upstream answers ("that city" for "Oslo"), and the final answer as a program of steps.

Decompositions from elsewhere often have the upstream answer pasted into the next question, which makes the dependency
one of paper only. What is referred to is named by the last step of its result path, else by its id.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from astra_gym.answers import COLLECTIONS, QUANTITIES, Answer
from astra_gym.types import Decomposition, SubQuestion
from astra_gym.values.units import meanings

_HAN = re.compile(r"[㐀-鿿]")
_LETTER = r"[^\W㐀-鿿]"
"""A letter or digit that would go on a word: Chinese characters stand beside other words without a space."""
_ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth")
_UNIT_WORDS = r"(?:\s?[^\W\d_]+(?:\s[^\W\d_]+){0,3}|\s?[%°][^\W\d_]*)?"
_MOST_UNIT_WORDS = 4
_SPELLED_UNITS = frozenset(
    {
        "angstrom",
        "ångström",
        "unified atomic mass units",
        "grams per cubic centimetre",
        "thousands of jobs",
        "thousands",
    }
)
_UNIT_PARTS = frozenset({"per", "in", "cubic", "square"})


def by_reference(decomposition: Decomposition) -> Decomposition:
    """`decomposition` with every upstream answer that a question names replaced by a reference in words."""
    subs = tuple(
        sub.model_copy(update={"question": _referring(decomposition, sub)}) for sub in decomposition.sub_questions
    )
    return decomposition.model_copy(update={"sub_questions": subs})


def program_of(decomposition: Decomposition) -> str:
    """The final answer as an expression over ids, where it is that of the last step or of all last steps; else ""."""
    used = {key for sub in decomposition.sub_questions for key in sub.depends_on}
    last = [sub for sub in decomposition.sub_questions if sub.id not in used]
    final = decomposition.answer
    if len(last) == 1 and final.matches(_value(last[0].answer)):
        return last[0].id
    if final.kind in ("list", "set") and final.matches([_value(sub.answer) for sub in last]):
        return f"[{', '.join(sub.id for sub in last)}]"
    return ""


def _value(answer: Answer) -> str | int | float | bool | list[object]:
    value: str | int | float | bool | list[object] = answer.value
    return value


def _referring(decomposition: Decomposition, sub: SubQuestion) -> str:
    upstream = [decomposition.by_id[key] for key in sub.depends_on]
    forms = sorted(
        ((form, other) for other in upstream for form in _forms(other.answer)), key=lambda pair: -len(pair[0])
    )
    if not forms:
        return sub.question
    pattern = re.compile("|".join(f"({_bounded(form, other.answer)})" for form, other in forms), re.IGNORECASE)
    found = [(match, forms[match.lastindex - 1][1]) for match in pattern.finditer(sub.question) if match.lastindex]
    named = list(dict.fromkeys(other.id for _, other in found))
    phrases = _phrases([decomposition.by_id[key] for key in named], bool(_HAN.search(sub.question)))
    question, position = "", 0
    for match, other in found:
        phrase = phrases[other.id]
        question += sub.question[position : match.start()]
        # "the continent Europe" becomes "that continent", not "the continent that continent".
        question = question.removesuffix(f"the {phrase.partition(' ')[2]} ")
        question += phrase if question else phrase[:1].upper() + phrase[1:]
        position = match.end() - _kept(match[0], other.answer)
    return question + sub.question[position:]


def _phrases(upstream: Sequence[SubQuestion], han: bool) -> dict[str, str]:
    """How each is referred to: by its noun, numbered where two have the same, or by its id where it has none."""
    nouns = {sub.id: noun_of(sub) for sub in upstream}
    phrases: dict[str, str] = {}
    for sub in upstream:
        noun = nouns[sub.id]
        same = [key for key, other in nouns.items() if other == noun]
        if not noun or han or len(same) > len(_ORDINALS):
            phrases[sub.id] = f"{sub.id} 的答案" if han else f"the answer to {sub.id}"
        elif len(same) > 1:
            phrases[sub.id] = f"the {_ORDINALS[same.index(sub.id)]} {noun}"
        else:
            phrases[sub.id] = f"{'those' if sub.answer.kind in COLLECTIONS else 'that'} {noun}"
    return phrases


def noun_of(sub: SubQuestion) -> str:
    """The last step of the result path that is a word, without a unit: "/distance_km" is a distance. "" if none."""
    steps = [step for step in sub.result_path.split("/") if step and not step.isdigit()]
    if sub.call is None or not steps:
        return ""
    words = steps[-1].lower().split("_")
    while len(words) > 1 and (_is_unit(words[-1]) or words[-1] in _UNIT_PARTS):
        words.pop()
    return " ".join(words)


def _is_unit(words: str) -> bool:
    return bool(meanings(words)) or words.casefold() in _SPELLED_UNITS


def _forms(answer: Answer) -> Iterator[str]:
    """The spellings of an answer that a question may hold."""
    value = answer.value
    if answer.kind in QUANTITIES:
        yield from dict.fromkeys(
            [str(value), f"{value:,}", *([str(int(value)), f"{int(value):,}"] if value == int(value) else [])]
        )
    elif answer.kind in ("text", "date"):
        yield from (value, *answer.aliases)
    elif answer.kind in ("list", "set") and value and all(isinstance(item, str) for item in value):
        *head, tail = value
        yield from (f"{', '.join(head)} and {tail}", f"{', '.join(head)}, and {tail}") if head else (tail,)
        yield from {", ".join(value), "、".join(value), f"{'、'.join(head)}和{tail}"} if head else ()


def _bounded(form: str, answer: Answer) -> str:
    """A pattern of `form` as a whole word or number; of an amount, with what may be its unit."""
    if answer.kind in QUANTITIES:
        return rf"(?<![.,])(?<!{_LETTER}){re.escape(form)}(?![\d]|[.,]\d|(?:st|[nr]d|th)\b){_UNIT_WORDS}"
    edges = ((0, rf"(?<!{_LETTER})"), (-1, rf"(?!{_LETTER})"))
    left, right = ("" if _HAN.match(form[at]) else edge for at, edge in edges)
    return f"{left}{re.escape(form)}{right}"


def _kept(found: str, answer: Answer) -> int:
    """Of an amount with words after it, how many characters at its end are not its unit."""
    if answer.kind not in QUANTITIES:
        return 0
    number = re.match(r"-?[\d.,]+", found)
    after = found[number.end() :] if number else ""
    words = re.split(r"(?<=\S)(?=\s)", after)
    for count in range(min(len(words), _MOST_UNIT_WORDS), 0, -1):
        unit = "".join(words[:count])
        if unit.strip() and _is_unit(unit.strip()):
            return len(after) - len(unit)
    return len(after)
