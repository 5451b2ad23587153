"""Stage `implementation`: the tool's program, accepted when it runs, gives the answer at the declared path, and passes
checks that its writer does not see.

The writer is told the sandbox's policy, the failing case and the sandbox's own error. Of the hidden checks it is told
which kind failed, never a value (`probes.py`).
"""

from __future__ import annotations

from dataclasses import dataclass

from astra_gym.env_synthesis.llm.call import Called
from astra_gym.env_synthesis.llm.document import tool_function
from astra_gym.env_synthesis.llm.feedback import NotAccepted, Unfit, accepted, shown
from astra_gym.env_synthesis.llm.made import MadeTool, ToolTask
from astra_gym.env_synthesis.llm.probes import HIDDEN, probe_tool
from astra_gym.env_synthesis.llm.replies import ImplementationReply, ToolDocument
from astra_gym.env_synthesis.llm.rules import made_up
from astra_gym.env_synthesis.llm.source_rules import check_constants, check_signature, check_tables
from astra_gym.env_synthesis.llm.tool_runner import ToolRunner
from astra_gym.env_synthesis.llm.trial import one_step
from astra_gym.gold import resolve_pointer
from astra_gym.llm.prompts import render
from astra_gym.llm.session import LlmSession
from astra_gym.records import JSON
from astra_gym.sandbox import describe_policy
from astra_gym.types import Rejected, SubQuestion, ToolCall, ToolFunction, ToolResult


@dataclass(frozen=True, slots=True)
class Implementer:
    """Writes the program of one tool."""

    task: ToolTask
    llm: LlmSession
    runner: ToolRunner

    async def write(self, document: ToolDocument, called: Called, *, sample: int = 0) -> MadeTool:
        """The tool of `document` that answers the sub-question by `called`. Raises: NotAccepted."""
        prompt = render(
            "implementation",
            language=self.task.language,
            reply=ImplementationReply,
            step=self.task.sub.id,
            policy=describe_policy(),
            document=document,
            question=self.task.sub.question,
            arguments=called.arguments,
            result_path=called.result_path,
            answer=self.task.sub.answer,
        )

        async def accept(reply: ImplementationReply) -> MadeTool:
            tool = self._checked(document, reply)
            output = await self._run(tool, reply.data, called)
            self._check_grounded(reply.data)
            made = MadeTool(
                sub_id=self.task.sub.id,
                tool=tool,
                document=document,
                data=reply.data,
                call=called.call,
                result_path=called.result_path,
                arguments=called.arguments,
                output=output,
            )
            await certify_alone(self.task, made, self.runner)
            return await probe_tool(self.task, made, self.llm, self.runner)

        return await accepted(self.llm, prompt, ImplementationReply, accept, sample=sample)

    def _checked(self, document: ToolDocument, reply: ImplementationReply) -> ToolFunction:
        """The tool, when its source is inside the policy and looks as it must. Raises: Unfit."""
        if problem := self.runner.check_source(reply.source, document.name):
            raise Unfit(f"the sandbox refuses the source: {problem}")
        tool = tool_function(document, reply.source, self.task.language)
        check_signature(reply.source, tool)
        check_tables(reply.source, reply.data)
        check_constants(reply.source, reply.data, self.task.sub.answer)
        return tool

    def _check_grounded(self, data: dict[str, JSON]) -> None:
        """Raises: Unfit when the tool reads an answer that is not in the text that the item is about."""
        if table := made_up(self.task.drafted, self.task.sub, data):
            found = shown(self.task.sub.answer.render())
            raise Unfit(
                f"the table {table} holds the answer {found}, which does not stand in the given text; tables hold what "
                "the text says, and other answers are computed from that",
                of_the_case=True,
            )

    async def _run(self, tool: ToolFunction, data: dict[str, JSON], called: Called) -> JSON:
        """What the call returns, when that is the answer, twice, and nothing is left behind. Raises: Unfit."""
        call = ToolCall(tool.name, called.arguments)
        report = await self.runner.report([tool], data, [call, call])
        for result in report.results:
            check_answer(self.task.sub, call, result, called.result_path)
        first, second = report.results
        if first.output != second.output:
            twice = f"the same call twice gives {shown(first.output)}, then {shown(second.output)}"
            raise Unfit(twice, of_the_case=True)
        if not report.stateless:
            raise Unfit("a call changes a table or a global; a tool must leave them as they are (copy before changing)")
        return first.output


async def certify_alone(task: ToolTask, made: MadeTool, runner: ToolRunner) -> None:
    """The certificate of one tool by itself: determinism, and that each required argument matters.

    Raises: Unfit, without a value that was tried; NotAccepted when the sandbox could not run it.
    """
    spec = one_step(task.question, task.sub, made.tool, made.data, made.arguments, made.result_path)
    outcome = await runner.certify(spec)
    if not isinstance(outcome, Rejected) or outcome.stage == "leak":
        return
    if outcome.stage == "sandbox":
        raise NotAccepted("sandbox", outcome.reason)
    if outcome.stage == "sensitivity":
        raise Unfit(f"{HIDDEN['constant']}: {outcome.reason}", stage="probe")
    raise Unfit(outcome.reason, of_the_case=True)


def check_answer(sub: SubQuestion, call: ToolCall, result: ToolResult, result_path: str) -> None:
    """Raises: Unfit (of the case) when `result` does not hold the sub-question's answer at the path."""
    case = f"{call.name} with {shown(call.arguments)}"
    if result.error is not None:
        raise Unfit(f"{case} fails: {result.error.code}: {result.error.message}", of_the_case=True)
    try:
        found = resolve_pointer(result.output, result_path)
    except LookupError as error:
        problem = f"{case} returns {shown(result.output)}: {error}; the answer must stand there"
        raise Unfit(problem, of_the_case=True) from None
    if not sub.answer.matches(found):
        problem = f"{case} gives {shown(found)} at {result_path!r}, expected {shown(sub.answer.render())}"
        raise Unfit(problem, of_the_case=True)
