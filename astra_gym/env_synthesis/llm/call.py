"""Stage `call`: the call that answers a sub-question, checked by rule before anything runs.

An argument is a value that the question states (or that the schema offers by name), or a reference to an upstream
answer; every dependency is referred to. An upstream answer written out is refused: it would let a player skip the step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import ValidationError

from astra_gym.env_synthesis.llm.feedback import Unfit, first_problem, shown, written
from astra_gym.env_synthesis.llm.literals import Stated, literals, named_by_schema
from astra_gym.env_synthesis.llm.made import ToolTask, kind_of
from astra_gym.env_synthesis.llm.replies import CallReply
from astra_gym.env_synthesis.llm.rules.graph import ancestors
from astra_gym.env_synthesis.llm.trial import leaks_in
from astra_gym.llm.prompts import Prompt, render
from astra_gym.llm.session import LlmSession
from astra_gym.records import JSON
from astra_gym.sandbox import ArgumentValidator
from astra_gym.types import POINTER, GoldCall, ToolFunction


@dataclass(frozen=True, slots=True)
class Called:
    """A call that holds by rule, and its arguments with references resolved."""

    call: GoldCall
    result_path: str
    arguments: dict[str, JSON]


async def write_call(task: ToolTask, tool: ToolFunction, llm: LlmSession, *, sample: int = 0) -> Called:
    """The call of `tool` that answers the sub-question. Raises: NotAccepted."""
    prompt = call_prompt(task, [tool], CallReply)

    def check(reply: CallReply) -> None:
        check_call(task, tool, reply)

    return check_call(task, tool, await written(llm, prompt, CallReply, check=check, sample=sample))


def call_prompt(task: ToolTask, tools: Sequence[ToolFunction], reply: type[CallReply]) -> Prompt:
    """What asks for a call of one of `tools`."""
    return render(
        "call",
        language=task.language,
        reply=reply,
        step=task.sub.id,
        question=task.sub.question,
        main_question=task.question,
        answer_kind=kind_of(task.sub.answer),
        tools=[tool.as_openai()["function"] for tool in tools],
        upstream=task.told_upstream(),
    )


def check_call(task: ToolTask, tool: ToolFunction, reply: CallReply) -> Called:
    """The reply as a gold call. Raises: Unfit, saying which argument and what would do."""
    if not POINTER.fullmatch(reply.result_path):
        raise Unfit(f"`result_path` must be a JSON Pointer such as '/price', found {reply.result_path!r}")
    try:
        call = GoldCall(tool=tool.name, arguments=reply.arguments)
    except ValidationError as error:
        raise Unfit(first_problem(error)) from None
    _check_refs(task, call)
    try:
        arguments = task.resolve(call.arguments)
    except LookupError as error:
        raise Unfit(f"a reference cannot be filled: {error}") from None
    if problem := ArgumentValidator(tool).check(arguments):
        raise Unfit(problem.message)
    for name, value in call.arguments.items():
        _check_literals(task, tool, name, value)
    if leaks := leaks_in(task.drafted, tool, {task.sub.id: call}):
        raise Unfit(leaks[0].describe() + ": the call must not hold an answer")
    return Called(call, reply.result_path, arguments)


def _check_refs(task: ToolTask, call: GoldCall) -> None:
    """Every reference is to a dependency, and every dependency is referred to."""
    if other := [ref for ref in call.refs if ref not in task.upstream]:
        raise Unfit(f"the arguments refer to {other}; the sub-question depends on {list(task.upstream)}")
    if unused := [ref for ref in task.upstream if ref not in call.refs]:
        raise Unfit(
            f"the sub-question depends on {unused}, but no argument refers to it; "
            f'write {{"$ref": "{unused[0]}"}} where its answer goes'
        )


def _check_literals(task: ToolTask, tool: ToolFunction, name: str, value: JSON) -> None:
    """Each value written out stands in the question or in the schema, and is no upstream answer."""
    stated = Stated(task.question)
    offered = named_by_schema(tool.parameters.get("properties", {}).get(name, {}))
    for literal in literals(value):
        if stated.holds(literal):
            continue
        if upstream := _upstream_answer(task, literal):
            raise Unfit(
                f"the argument {name!r} holds {shown(literal)}, which is the answer of {upstream}, written out; "
                f'write {{"$ref": "{upstream}"}} instead'
            )
        if literal not in offered:
            raise Unfit(
                f"the argument {name!r} holds {shown(literal)}, which the main question does not state; take values as "
                "they stand there, refer to an upstream answer, or leave out what is optional"
            )


def _upstream_answer(task: ToolTask, literal: JSON) -> str | None:
    """The sub-question, of all that this one rests on, whose answer `literal` is."""
    decomposition = task.drafted.decomposition
    above = ancestors(decomposition, task.sub.id)
    matching = (sub.id for sub in decomposition.topological if sub.id in above and sub.answer.matches(literal))
    return next(matching, None)
