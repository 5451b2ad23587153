"""Envs made only to be checked: what the certificate will refuse later is found while its writer can still mend it."""

from __future__ import annotations

from collections.abc import Mapping

from astra_gym.env_synthesis.llm.drafted import Drafted
from astra_gym.leaks import Leak, find_leaks
from astra_gym.records import JSON
from astra_gym.types import GoldCall, Provenance, SubQuestion, ToolEnvSpec, ToolFunction, is_ref

_TRIAL = Provenance(door="llm", dataset="trial", license="CC0-1.0")


def one_step(
    question: str,
    sub: SubQuestion,
    tool: ToolFunction,
    data: Mapping[str, JSON],
    arguments: dict[str, JSON],
    result_path: str,
) -> ToolEnvSpec:
    """An env of one sub-question alone, whose upstream answers stand in the arguments as values.

    Its certificate says all of the tool but for leaks: a resolved reference is none.
    """
    call = GoldCall(tool=tool.name, arguments=arguments)
    alone = SubQuestion(id=sub.id, question=sub.question, answer=sub.answer, call=call, result_path=result_path)
    return ToolEnvSpec(
        id="trial-v0",
        question=question,
        answer=sub.answer,
        sub_questions=(alone,),
        tools=(tool,),
        data=dict(data),
        provenance=_TRIAL,
    )


def leaks_in(drafted: Drafted, tool: ToolFunction, calls: Mapping[str, GoldCall] | None = None) -> list[Leak]:
    """Where the document of `tool`, or a literal argument of one of `calls`, gives an answer of `drafted` away.

    Args:
        calls: by sub-question; what is not there is not looked at.
    """
    decomposition = drafted.decomposition
    literal = {key: without_refs(call.arguments) for key, call in (calls or {}).items()}
    subs = tuple(
        SubQuestion(
            id=sub.id,
            question=sub.question,
            answer=sub.answer,
            call=GoldCall(tool=tool.name, arguments=literal.get(sub.id, {})),
        )
        for sub in decomposition.sub_questions
    )
    spec = ToolEnvSpec(
        id="trial-v0",
        question=decomposition.question,
        answer=decomposition.answer,
        sub_questions=subs,
        tools=(tool,),
        provenance=_TRIAL,
    )
    return [leak for leak in find_leaks(spec) if leak.fatal and leak.place != "the question"]


def without_refs(value: JSON) -> JSON:
    """`value` with every reference left out of the object or list that holds it."""
    if isinstance(value, dict):
        return {key: without_refs(item) for key, item in value.items() if not is_ref(item)}
    if isinstance(value, list):
        return [without_refs(item) for item in value if not is_ref(item)]
    return value
