"""Rules of a writer's reply that must hold before it can be a decomposition: ids, references, cycles, values.

The other rules (`checks.py`) read the decomposition that comes of it.
"""

from __future__ import annotations

import re

from astra_gym.env_synthesis.llm.expression import ExpressionError, names_in
from astra_gym.env_synthesis.llm.replies import Draft, DraftSubQuestion
from astra_gym.env_synthesis.llm.typed import typed_answer
from astra_gym.records import JSON
from astra_gym.types import Verdict

MOST_SUB_QUESTIONS = 30
MOST_TEXT_WORDS = 24
MOST_TEXT_HAN = 60
MOST_TEXT_CHARS = 300
_ID = re.compile(r"q[1-9][0-9]{0,2}")
_HAN = re.compile(r"[㐀-鿿]")
_VAGUE_ANSWER = re.compile(
    r"(?:it |that )?(?:depends|varies)\b.*"
    r"|(?:to be |not )(?:determined|specified|available|known|applicable|provided|found)"
    r"|unknown|unspecified|n/?a|tbd|tba|none|null|nil|various|several|many|some|\?+|\.\.\.|…|-+|xx+"
    r"|(?:about|around|approximately|approx\.?|roughly|nearly|over|under|at least|more than|less than)\s.*\d.*"
    r"|未知|不详|不确定|待定|视情况而定|视具体情况.*|无法确定|暂无|若干|无|不明|取决于.*|(?:大约|约|大概|左右|接近|超过)\s*\d.*|.*\d.*左右",
    re.IGNORECASE,
)
_REASONED = re.compile(
    r"\b(?:because|therefore|thus|hence|so the answer|the answer is|which means|since it)\b|因为|所以|因此|答案是|由于",
    re.IGNORECASE,
)
_EQUATION = re.compile(r"[\d)]\s*[-+*/×÷]\s*[\d(].*=|=\s*-?[\d$€£¥]")


def check_structure(draft: Draft) -> list[Verdict]:
    """One verdict a rule, each read off the reply alone; rules that need another one to hold come after it."""
    ids = [sub.id for sub in draft.sub_questions]
    rules: list[tuple[str, list[str]]] = [
        ("size", _size(draft)),
        ("ids", _ids(ids)),
        ("references", _references(draft)),
        ("cycles", _cycles(draft.sub_questions)),
        ("values", _values(draft)),
        ("answer_from", _program(draft.answer_from, ids)),
    ]
    return [verdict(name, problems) for name, problems in rules]


def verdict(rule: str, problems: list[str], notes: JSON = None) -> Verdict:
    """`rules.<rule>`: fails with its problems as evidence, else passes with `notes`."""
    return Verdict(check=f"rules.{rule}", status="fail" if problems else "pass", evidence=problems or notes)


def _size(draft: Draft) -> list[str]:
    count = len(draft.sub_questions)
    return [] if count <= MOST_SUB_QUESTIONS else [f"{count} sub-questions; {MOST_SUB_QUESTIONS} at most"]


def _ids(ids: list[str]) -> list[str]:
    twice = sorted({name for name in ids if ids.count(name) > 1})
    odd = [f"the id {name!r} is none of q1, q2, ..." for name in ids if not _ID.fullmatch(name)]
    return odd + [f"the id {name!r} stands more than once" for name in twice]


def _references(draft: Draft) -> list[str]:
    ids = {sub.id for sub in draft.sub_questions}
    problems = []
    for sub in draft.sub_questions:
        problems += [f"{sub.id} depends on {name!r}, which is no id" for name in sub.depends_on if name not in ids]
        if len(set(sub.depends_on)) < len(sub.depends_on):
            problems.append(f"{sub.id} names a dependency twice: {list(sub.depends_on)}")
        if sub.id in sub.depends_on:
            problems.append(f"{sub.id} depends on itself")
    return problems


def _cycles(subs: tuple[DraftSubQuestion, ...]) -> list[str]:
    ids = {sub.id for sub in subs}
    waiting = {sub.id: set(sub.depends_on) & ids for sub in subs}
    while ready := [name for name, needs in waiting.items() if not needs & waiting.keys()]:
        for name in ready:
            del waiting[name]
    return [f"the dependencies of {sorted(waiting)} form a cycle"] if waiting else []


def _values(draft: Draft) -> list[str]:
    problems = [f"{sub.id}: {why}" for sub in draft.sub_questions if (why := no_value(sub.answer))]
    if why := no_value(draft.answer):
        problems.append(f"the final answer: {why}")
    return problems + [
        f"{sub.id}: a sub-question needs words" for sub in draft.sub_questions if not sub.question.strip()
    ]


def no_value(given: JSON) -> str | None:
    """Why `given` is not the value alone that an answer must be, or None."""
    if isinstance(given, list | dict):
        items = list(given.values()) if isinstance(given, dict) else given
        if not items:
            return "an empty answer cannot be told from a tool that finds nothing"
        return next((why for item in items if (why := no_value(item))), None)
    if isinstance(given, str) and (why := _no_text(given.strip())):
        return why
    try:
        typed_answer(given)
    except ValueError as error:
        return str(error)
    return None


def _no_text(text: str) -> str | None:
    long = len(text) > MOST_TEXT_CHARS or len(text.split()) > MOST_TEXT_WORDS or len(_HAN.findall(text)) > MOST_TEXT_HAN
    if long or "\n" in text:
        return f"{text[:60]!r} is a passage, not a value"
    if _VAGUE_ANSWER.fullmatch(text):
        return f"{text!r} is no value"
    if _REASONED.search(text) or _EQUATION.search(text):
        return f"{text[:60]!r} explains instead of naming the value alone"
    return None


def _program(expression: str, ids: list[str]) -> list[str]:
    if not expression.strip():
        return []
    try:
        names = names_in(expression)
    except ExpressionError as error:
        return [str(error)]
    if unknown := sorted(names - set(ids)):
        return [f"`answer_from` names {unknown}; the ids are {ids}"]
    return [] if names else [f"`answer_from` {expression!r} names no sub-question"]
