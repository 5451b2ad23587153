"""Stage `merge`, one step: one more sub-question is answered by the tool that its cluster has so far.

The writer gives new tables and a new document. They are taken when the program reads just these tables, the document
fits the program, the tables have lost nothing, and all calls and hidden cases hold. Where the new member's own call
does not fit, it is written anew against the schema.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from astra_gym.env_synthesis.llm.call import write_call
from astra_gym.env_synthesis.llm.document import check_compatible, check_document, tool_function
from astra_gym.env_synthesis.llm.drafted import Drafted
from astra_gym.env_synthesis.llm.feedback import Unfit, accepted
from astra_gym.env_synthesis.llm.implementation import certify_alone, check_answer
from astra_gym.env_synthesis.llm.made import MadeTool, ToolTask
from astra_gym.env_synthesis.llm.probes import HIDDEN, gives, hold, probe_tool
from astra_gym.env_synthesis.llm.replies import MergeReply
from astra_gym.env_synthesis.llm.source_rules import check_signature, check_tables
from astra_gym.env_synthesis.llm.tool_runner import ToolRunner
from astra_gym.llm.prompts import render
from astra_gym.llm.session import LlmSession
from astra_gym.records import JSON
from astra_gym.sandbox import ArgumentValidator
from astra_gym.types import ToolFunction


@dataclass(frozen=True, slots=True)
class Inserter:
    """Takes members into a cluster's tool."""

    drafted: Drafted
    made: Mapping[str, MadeTool]
    """Every tool of the instance, as it was before this cluster."""
    llm: LlmSession
    runner: ToolRunner

    async def insert(self, group: Sequence[MadeTool], new: MadeTool) -> list[MadeTool]:
        """`group`, which shares one tool, with `new` taken into that tool. Raises: NotAccepted."""
        base = group[0]
        assert base.document is not None
        assert new.document is not None
        prompt = render(
            "merge",
            language=self.drafted.item.language,
            reply=MergeReply,
            document=base.document,
            source=base.tool.source,
            tables=dict(base.data),
            cases=[self._case(one) for one in group],
            new_case=self._case(new),
            new_document=new.document,
            new_tables=dict(new.data),
        )

        async def accept(reply: MergeReply) -> list[MadeTool]:
            tool = self._checked(base, reply)
            moved = [replace(one, tool=tool, document=reply.document, data=reply.data) for one in group]
            joined = await self._joined(tool, reply, new)
            everyone = [await self._executed(one) for one in [*moved, joined]]
            await self._hold(everyone)
            for one in everyone:
                await certify_alone(self._task(one.sub_id), one, self.runner)
            return [*everyone[:-1], await self._probed(everyone[-1])]

        return await accepted(self.llm, prompt, MergeReply, accept)

    def _task(self, sub_id: str) -> ToolTask:
        sub = self.drafted.decomposition.by_id[sub_id]
        return ToolTask(self.drafted, sub, {ref: self.made[ref] for ref in sub.depends_on})

    def _case(self, one: MadeTool) -> dict[str, JSON]:
        sub = self.drafted.decomposition.by_id[one.sub_id]
        return {
            "question": sub.question,
            "arguments": one.arguments,
            "answer": sub.answer.to_json(),
            "result_path": one.result_path,
        }

    def _checked(self, base: MadeTool, reply: MergeReply) -> ToolFunction:
        """The merged tool, when document and tables fit the program. Raises: Unfit."""
        assert base.document is not None
        document = reply.document
        check_document(document, self.drafted)
        check_compatible(base.document, document)
        if changed := set(document.parameters["properties"]) ^ set(base.document.parameters["properties"]):
            raise Unfit(f"the signature must stay: {sorted(changed)} are not parameters of both documents")
        tool = tool_function(document, base.tool.source, self.drafted.item.language)
        check_signature(tool.source, tool)
        if reply.data.keys() != base.data.keys():
            raise Unfit(f"the program reads the tables {sorted(base.data)}; found {sorted(reply.data)}")
        check_tables(tool.source, reply.data)
        for name, table in base.data.items():
            if lost := _lost(table, reply.data[name]):
                raise Unfit(f"the table {name} has lost {lost}; keep all that it held")
        return tool

    async def _joined(self, tool: ToolFunction, reply: MergeReply, new: MadeTool) -> MadeTool:
        """`new` with the merged tool; its call as it was where that still answers, else written anew."""
        sub = self.drafted.decomposition.by_id[new.sub_id]
        moved = replace(
            new,
            tool=tool,
            document=reply.document,
            data=reply.data,
            call=new.call.model_copy(update={"tool": tool.name}),
        )
        if ArgumentValidator(tool).check(new.arguments) is None:
            (result,) = await self.runner.run([tool], reply.data, [moved.tool_call])
            if gives(sub.answer, result, new.result_path):
                return moved
        called = await write_call(self._task(new.sub_id), tool, self.llm)
        probes = new.probes if called.arguments == new.arguments and called.result_path == new.result_path else ()
        return replace(
            moved, call=called.call, result_path=called.result_path, arguments=called.arguments, probes=probes
        )

    async def _executed(self, one: MadeTool) -> MadeTool:
        """`one` with its output, when that holds the answer. Raises: Unfit."""
        if problem := ArgumentValidator(one.tool).check(one.arguments):
            raise Unfit(problem.message)
        (result,) = await self.runner.run([one.tool], one.data, [one.tool_call])
        check_answer(self.drafted.decomposition.by_id[one.sub_id], one.tool_call, result, one.result_path)
        return replace(one, output=result.output)

    async def _hold(self, group: Sequence[MadeTool]) -> None:
        """The hidden cases of all members hold, but for those that are another member's own case. Raises: Unfit."""
        own = [one.arguments for one in group]
        for one in group:
            probes = [probe for probe in one.probes if probe.arguments not in own]
            held = await hold(one.tool, one.data, one.result_path, probes, self.runner)
            failed = [probe for probe, passed in zip(probes, held, strict=True) if not passed]
            if failed:
                raise Unfit(HIDDEN["unknown" if failed[0].answer is None else "second"])

    async def _probed(self, new: MadeTool) -> MadeTool:
        """`new`, probed anew where its hidden cases were for another call."""
        return new if new.probes else await probe_tool(self._task(new.sub_id), new, self.llm, self.runner)


def _lost(before: JSON, after: JSON) -> list[str]:
    """Keys of an object that are gone; for a list that got shorter, how many items."""
    if isinstance(before, dict) and isinstance(after, dict):
        return sorted(before.keys() - after.keys())
    if type(before) is not type(after):
        return [f"its form: it was {type(before).__name__}"]
    if isinstance(before, list) and len(after) < len(before):
        return [f"{len(before) - len(after)} of its {len(before)} items"]
    return []
