"""Stage `probe`: what is tried on a finished tool by others than its writer (weakness W16 of the published pipeline).

A judge, who sees the document and the tables but not the source, names a second entity with its own answer and one that
the tool cannot know; a call without a required argument is made by rule. The writer is told which kind of check failed
and never a value. A judge who gives no usable probe is no vote, and without a majority the tool is rejected.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal, TypeAlias

from astra_gym.answers import QUANTITIES, Answer
from astra_gym.env_synthesis.llm.feedback import NotAccepted, Unfit, shown
from astra_gym.env_synthesis.llm.made import MadeTool, Probe, ToolTask, kind_of
from astra_gym.env_synthesis.llm.replies import ProbeReply
from astra_gym.env_synthesis.llm.tool_runner import ToolRunner
from astra_gym.env_synthesis.llm.typed import typed_answer
from astra_gym.gold import resolve_pointer
from astra_gym.llm.errors import LlmError
from astra_gym.llm.prompts import Prompt, render
from astra_gym.llm.session import LlmSession
from astra_gym.records import JSON
from astra_gym.sandbox import ArgumentValidator
from astra_gym.types import ToolCall, ToolFunction, ToolResult, Verdict

Kind: TypeAlias = Literal["second", "unknown", "missing", "constant"]
HIDDEN: dict[Kind, str] = {
    "second": "a hidden check failed: for other arguments the tool does not return what its document promises",
    "unknown": "a hidden check failed: an entity that the tool cannot know must be an error (raise ValueError), not a "
    "result",
    "missing": "a hidden check failed: a call without a required argument must be an error",
    "constant": "a hidden check failed: the answer must come from the arguments",
}
"""What the writer is told of each kind of check."""
_TABLES_SHOWN = 20_000
_REFUSALS = frozenset({"tool_error", "invalid_arguments"})
"""Errors by which a tool says no; others (a limit, a crash) are faults."""


async def probe_tool(task: ToolTask, made: MadeTool, llm: LlmSession, runner: ToolRunner) -> MadeTool:
    """`made` with the hidden cases that it passed and the verdict.

    Raises: Unfit (stage "probe") when a majority of judges' probes fails, with no more than the kinds that failed;
        NotAccepted when there is no majority: unknown is no pass.
    """
    replies = await llm.judge(_prompt(task, made), ProbeReply, check=lambda reply: check_probe(task, made, reply))
    given = [reply for reply in replies if isinstance(reply, ProbeReply)]
    outcomes = [await _try(task, made, reply, runner) for reply in given]
    failed = [outcome for outcome in outcomes if outcome]
    passed = len(outcomes) - len(failed)
    votes = {"asked": len(replies), "passed": passed, "failed": len(failed)}
    if 2 * len(failed) > len(replies):
        kinds = sorted({kind for outcome in failed for kind in outcome})
        raise Unfit("; ".join(HIDDEN[kind] for kind in kinds), stage="probe")
    if 2 * passed <= len(replies):
        errors = "".join(f"; {reply}" for reply in replies if isinstance(reply, LlmError))
        counted = f"the hidden checks of {passed} of {len(replies)} judges pass, which is no majority"
        raise NotAccepted("probe", f"unknown: {counted}{errors}")
    sound = [reply for reply, kinds in zip(given, outcomes, strict=True) if not kinds]
    probes = [probe for reply in sound for _, probe in cases_of(task, reply)]
    verdict = Verdict(check=f"probe:{made.sub_id}", status="pass", evidence={**votes, "cases": len(probes)})
    return replace(made, probes=tuple(probes), verdicts=(*made.verdicts, verdict))


def _prompt(task: ToolTask, made: MadeTool) -> Prompt:
    return render(
        "probe",
        language=task.language,
        reply=ProbeReply,
        step=task.sub.id,
        question=task.sub.question,
        name=made.tool.name,
        description=made.tool.description,
        parameters=made.tool.parameters,
        tables=shown(dict(made.data), _TABLES_SHOWN),
        arguments=made.arguments,
        output=shown(made.output),
        result_path=made.result_path,
        answer_kind=kind_of(task.sub.answer),
    )


def check_probe(task: ToolTask, made: MadeTool, reply: ProbeReply) -> None:
    """Raises: Unfit when a judge's probe tests nothing: this goes back to the judge."""
    validator = ArgumentValidator(made.tool)
    if problem := validator.check(reply.second):
        raise Unfit(f"`second` does not fit the tool: {problem.message}")
    required = made.tool.parameters["required"]
    if all(reply.second[name] == made.arguments.get(name) for name in required):
        raise Unfit(f"`second` must name another entity: change at least one of {required}")
    if task.sub.answer.matches(second_answer(task.sub.answer, reply).value):
        raise Unfit("`second_answer` equals the first answer; choose an entity with an answer of its own")
    if reply.unknown is None:
        if any(looked_up(name, made.arguments.get(name), made.data) for name in required):
            raise Unfit("`unknown` may be null for a pure computation only; this tool looks things up in tables")
    elif reply.unknown == made.arguments or not _same_shape(reply.unknown, made.arguments, required):
        raise Unfit(
            f"`unknown` must be a call that is right in form: all of {required}, each of the JSON type that it has in "
            "the example call, with an entity that the tables do not hold"
        )


def looked_up(name: str, value: JSON, tables: JSON) -> bool:
    """Whether an argument names something in tables: a text, where there are any; a number that is a key there, or a
    cell of the column that is called like the parameter. Other numbers are computed with.
    """
    if isinstance(value, bool) or not isinstance(value, str | int | float) or not tables:
        return False
    if isinstance(value, str):
        return True
    if isinstance(tables, list):
        return any(looked_up(name, value, row) for row in tables)
    if not isinstance(tables, dict):
        return False
    return str(value) in tables or tables.get(name) == value or any(looked_up(name, value, t) for t in tables.values())


def second_answer(like: Answer, reply: ProbeReply) -> Answer:
    """The answer for the second entity, of the kind and unit of the first. Raises: Unfit when it is none."""
    try:
        parsed = Answer.parse(reply.second_answer, kind=like.kind)
    except ValueError:
        raise Unfit(
            f"`second_answer` must be a value like the first answer ({kind_of(like)}), "
            f"found {shown(reply.second_answer)}"
        ) from None
    if parsed.unit is not None and like.unit is not None and parsed.unit != like.unit:
        raise Unfit(f"`second_answer` must be in {like.unit}, like the first, found {shown(reply.second_answer)}")
    unit = parsed.unit or like.unit if like.kind in QUANTITIES else None
    tolerance = max(like.abs_tol, typed_answer(reply.second_answer).abs_tol)
    return parsed.model_copy(update={"unit": unit, "abs_tol": tolerance, "rel_tol": like.rel_tol})


def _same_shape(arguments: dict[str, JSON], example: dict[str, JSON], required: list[str]) -> bool:
    if not set(required) <= arguments.keys():
        return False
    return all(_json_type(arguments[name]) == _json_type(example[name]) for name in arguments if name in example)


def _json_type(value: JSON) -> str:
    return "number" if type(value) in (int, float) else type(value).__name__


def cases_of(task: ToolTask, reply: ProbeReply) -> list[tuple[Kind, Probe]]:
    """What a judge's reply says must hold."""
    cases: list[tuple[Kind, Probe]] = [("second", Probe(reply.second, second_answer(task.sub.answer, reply)))]
    if reply.unknown is not None:
        cases.append(("unknown", Probe(reply.unknown, None)))
    return cases


def _missing(made: MadeTool) -> list[tuple[Kind, Probe]]:
    """The gold call without one required argument, for each of them."""
    return [
        ("missing", Probe({key: value for key, value in made.arguments.items() if key != name}, None))
        for name in made.tool.parameters["required"]
    ]


async def _try(task: ToolTask, made: MadeTool, reply: ProbeReply, runner: ToolRunner) -> set[Kind]:
    """The kinds of checks that fail."""
    cases = [*cases_of(task, reply), *_missing(made)]
    probes = [probe for _, probe in cases]
    held = await hold(made.tool, made.data, made.result_path, probes, runner)
    return {kind for (kind, _), passed in zip(cases, held, strict=True) if not passed}


async def hold(
    tool: ToolFunction, data: Mapping[str, JSON], result_path: str, probes: Sequence[Probe], runner: ToolRunner
) -> list[bool]:
    """Whether each of the probes holds of a tool, in order. The tool keeps no state, so they go in one episode."""
    results = await runner.run([tool], data, [ToolCall(tool.name, probe.arguments) for probe in probes])
    return [_holds(probe, result, result_path) for probe, result in zip(probes, results, strict=True)]


def _holds(probe: Probe, result: ToolResult, result_path: str) -> bool:
    if probe.answer is None:
        return result.error is not None and result.error.code in _REFUSALS
    return gives(probe.answer, result, result_path)


def gives(answer: Answer, result: ToolResult, result_path: str) -> bool:
    """Whether a result holds the answer at the path."""
    if result.error is not None:
        return False
    try:
        return answer.matches(resolve_pointer(result.output, result_path))
    except LookupError:
        return False
