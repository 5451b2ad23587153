"""Check `final_answer`: it follows from the sub-answers, by program where there is one, else by entailment.

The program is the writer's expression over ids, run by `expression.py`. Without one, or where it adds a number that
neither a step nor the question gives, judges answer the question from the sub-answers; they are not shown the final
answer, and what they say is compared with it as values.
"""

from __future__ import annotations

from collections.abc import Set

from astra_gym.answers import QUANTITIES, Answer
from astra_gym.env_synthesis.llm.drafted import Drafted
from astra_gym.env_synthesis.llm.expression import Amount, ExpressionError, Value, evaluate, names_in, numbers_written
from astra_gym.env_synthesis.llm.judging import Judges, Votes, judge_prompt, silences, step
from astra_gym.env_synthesis.llm.literals import Stated
from astra_gym.env_synthesis.llm.replies import EntailmentReply
from astra_gym.env_synthesis.llm.typed import typed_answer
from astra_gym.records import JSON
from astra_gym.types import Decomposition, Verdict

CHECK = "final_answer"
_WHOLE = "the whole"
_KNOWN_TO_ALL = frozenset({1, 2, 10, 12, 24, 60, 100, 1000, 3600})
"""What may stand in a program though nobody stated it: halves, decimals, conversions. Not 0, which unmakes a step."""


async def check_final_answer(drafted: Drafted, llm: Judges, *, tooled: frozenset[str] | None = None) -> Verdict:
    """Whether the sub-answers give the final answer.

    Args:
        tooled: the sub-questions that get a tool, whose answers are thus checked later; default: all. A final answer
            that rests on anything else is also to be found by judges, from the answers of these alone.

    Raises: EndpointError, BudgetError as the session does, when judges are asked.
    """
    known = drafted.decomposition.by_id.keys() if tooled is None else tooled
    if drafted.answer_from:
        verdict = recomputed(drafted.decomposition, drafted.answer_from)
        if verdict.status != "pass" or _rests_on(drafted, known):
            return verdict
    return await _entailed(drafted, llm, known)


def _rests_on(drafted: Drafted, known: Set[str]) -> bool:
    """Whether the program reads nothing but the answers of `known` and numbers that the question states or all know."""
    stated = Stated(drafted.decomposition.question)
    return names_in(drafted.answer_from) <= known and all(
        number in _KNOWN_TO_ALL or stated.holds(number) for number in numbers_written(drafted.answer_from)
    )


def recomputed(decomposition: Decomposition, expression: str) -> Verdict:
    """The final answer against what an expression over the sub-answers comes to. Asks nobody."""
    evidence: dict[str, JSON] = {"answer_from": expression, "answer": decomposition.answer.render()}
    try:
        found = evaluate(expression, values_of(decomposition))
    except ExpressionError as error:
        return Verdict(check=CHECK, status="fail", evidence={"problem": str(error), **evidence})
    evidence["recomputed"] = _plain(found)
    if _equals(decomposition.answer, found):
        return Verdict(check=CHECK, status="pass", evidence=evidence)
    problem = f"{expression} comes to {_plain(found)!r}, not {decomposition.answer.render()!r}"
    return Verdict(check=CHECK, status="fail", evidence={"problem": problem, **evidence})


def values_of(decomposition: Decomposition) -> dict[str, Value]:
    """The sub-answers as an expression reads them; an answer that is an object is not among them."""
    values: dict[str, Value] = {}
    for sub in decomposition.sub_questions:
        try:
            values[sub.id] = _value(sub.answer.value, sub.answer.unit)
        except ExpressionError:
            continue
    return values


def _value(given: JSON, unit: str | None) -> Value:
    if isinstance(given, bool | str):
        return given
    if isinstance(given, int | float):
        return Amount(given, unit)
    if isinstance(given, list):
        return [_value(item, unit) for item in given]
    raise ExpressionError(f"no expression reads {given!r:.60}")


def _plain(value: Value) -> JSON:
    if isinstance(value, Amount):
        return value.value
    return [_plain(item) for item in value] if isinstance(value, list) else value


def _equals(answer: Answer, found: Value) -> bool:
    """Typed comparison; an amount in another unit than the answer's is converted by the answer itself.

    In a list each item is compared by its own type, so that "28 EUR" there is the amount that a step gave.
    """
    if isinstance(found, Amount) and found.unit and answer.unit and found.unit != answer.unit:
        return answer.matches(f"{found.value} {found.unit}")
    if isinstance(found, list) and answer.kind == "list" and not answer.matches(_plain(found)):
        items = [_item(item, answer.abs_tol) for item in answer.value]
        return len(items) == len(found) and all(map(_equals, items, found))
    return answer.matches(_plain(found))


def _item(value: JSON, abs_tol: float) -> Answer:
    """One item of a list answer, typed; with its own tolerance, or the list's."""
    item = typed_answer(value)
    return item if item.abs_tol else item.model_copy(update={"abs_tol": abs_tol if item.kind in QUANTITIES else 0.0})


async def _entailed(drafted: Drafted, llm: Judges, known: Set[str]) -> Verdict:
    decomposition = drafted.decomposition
    shown: list[JSON] = [step(sub) for sub in decomposition.topological if sub.id in known]
    prompt = judge_prompt("entailment", drafted, main=decomposition.question, steps=shown)
    replies = await llm.judge(prompt, EntailmentReply)
    given = [reply if isinstance(reply, EntailmentReply) else None for reply in replies]
    votes = Votes({_WHOLE: tuple(None if r is None else _agrees(r, decomposition.answer) for r in given)})
    evidence: dict[str, JSON] = {
        "answer": decomposition.answer.render(),
        "votes": votes.as_json(),
        "said": [reply.model_dump(mode="json") for reply in given if reply is not None],
        "silent": silences(replies),
    }
    decided = votes.decided(_WHOLE)
    if decided is None:
        return Verdict(check=CHECK, status="unknown", evidence={"problem": "no majority of the judges", **evidence})
    if decided:
        return Verdict(check=CHECK, status="pass", evidence=evidence)
    said = "; ".join(f"{_found(reply)} ({reply.reason})" for reply in given if reply is not None)
    problem = f"the sub-answers do not give {decomposition.answer.render()!r}; the judges find {said}"
    return Verdict(check=CHECK, status="fail", evidence={"problem": problem, **evidence})


def _found(reply: EntailmentReply) -> str:
    return repr(reply.answer) if reply.answerable else "no answer"


def _agrees(reply: EntailmentReply, answer: Answer) -> bool:
    return reply.answerable and answer.matches(reply.answer)
