"""Tools that exist already: nothing is written but the call, and what it returns is the truth.

For items that augment a suite (a new question for an env's tools) and for decompositions that come with their env. The
draft's answers are compared with what the tools return; where they differ, the draft is wrong.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from astra_gym.env_synthesis.llm.call import Called, call_prompt, check_call
from astra_gym.env_synthesis.llm.feedback import NotAccepted, Unfit, accepted
from astra_gym.env_synthesis.llm.implementation import check_answer
from astra_gym.env_synthesis.llm.made import MadeTool, ToolTask
from astra_gym.env_synthesis.llm.replies import CallReply
from astra_gym.env_synthesis.llm.rules.graph import ancestors
from astra_gym.env_synthesis.llm.tool_runner import ToolRunner
from astra_gym.llm.session import LlmSession
from astra_gym.records import JSON
from astra_gym.types import ToolCall, ToolEnvSpec, ToolFunction


class GivenToolCall(CallReply):
    """Stage `call` where tools are given: which of them, besides."""

    tool: str
    """The name of the tool to call."""


@dataclass(frozen=True, slots=True)
class GivenTools:
    """Finds the call of one sub-question among the tools of an env."""

    task: ToolTask
    spec: ToolEnvSpec
    llm: LlmSession
    runner: ToolRunner
    known: Mapping[str, MadeTool]
    """The finished calls."""

    async def find(self) -> MadeTool:
        """The tool and call that answer the sub-question. Raises: NotAccepted."""
        sub = self.task.sub
        if sub.call is not None:
            reply = GivenToolCall(tool=sub.call.tool, arguments=sub.call.arguments, result_path=sub.result_path)
            try:
                return await self._accept(reply)
            except Unfit as problem:
                raise NotAccepted("call", str(problem)) from None
        prompt = call_prompt(self.task, self.spec.tools, GivenToolCall)
        return await accepted(self.llm, prompt, GivenToolCall, self._accept)

    async def _accept(self, reply: GivenToolCall) -> MadeTool:
        tool = self._tool(reply.tool)
        if self.task.sub.call is None:
            called = check_call(self.task, tool, reply)
        else:
            called = Called(self.task.sub.call, reply.result_path, self._resolve(reply))
        call = ToolCall(tool.name, called.arguments)
        before = [made.tool_call for made in self._before()]
        results = await self.runner.run(
            self.spec.tools, self.spec.data, [*before, call], library=self.spec.library, clock=self.spec.clock
        )
        check_answer(self.task.sub, call, results[-1], called.result_path)
        return MadeTool(
            sub_id=self.task.sub.id,
            tool=tool,
            document=None,
            data=self.spec.data,
            call=called.call,
            result_path=called.result_path,
            arguments=called.arguments,
            output=results[-1].output,
        )

    def _tool(self, name: str) -> ToolFunction:
        for tool in self.spec.tools:
            if tool.name == name:
                return tool
        raise Unfit(f"there is no tool {name!r}; the tools are {[tool.name for tool in self.spec.tools]}")

    def _resolve(self, reply: GivenToolCall) -> dict[str, JSON]:
        try:
            return self.task.resolve(reply.arguments)
        except LookupError as error:
            raise Unfit(f"a reference cannot be filled: {error}") from None

    def _before(self) -> list[MadeTool]:
        """The finished calls that this one rests on, directly or not, in order: what they leave behind may matter."""
        decomposition = self.task.drafted.decomposition
        rests_on = ancestors(decomposition, self.task.sub.id)
        return [self.known[sub.id] for sub in decomposition.topological if sub.id in rests_on]
