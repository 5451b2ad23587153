"""Stage `merge`: tools of one intent become one tool, a member at a time; what will not merge stays as it is.

The function and its signature are those of the first member. Each insertion changes the tables and the document alone,
and counts only when every member's call and every hidden case still holds. After a cluster the whole instance is run
again. Answers to weaknesses W22 to W24 of the published pipeline: nothing is lost, the document is checked against the
code, names are unique.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from astra_gym.env_synthesis.llm.cluster import find_clusters
from astra_gym.env_synthesis.llm.drafted import Drafted
from astra_gym.env_synthesis.llm.feedback import NotAccepted, Unfit
from astra_gym.env_synthesis.llm.implementation import check_answer
from astra_gym.env_synthesis.llm.insertion import Inserter
from astra_gym.env_synthesis.llm.made import MadeTool, ToolTask
from astra_gym.env_synthesis.llm.renaming import with_unique_names
from astra_gym.env_synthesis.llm.tool_runner import ToolRunner
from astra_gym.errors import SandboxError, SpecError
from astra_gym.llm.session import LlmSession
from astra_gym.types import ToolCall, Verdict


async def merge_tools(
    drafted: Drafted, made: Sequence[MadeTool], llm: LlmSession, runner: ToolRunner
) -> list[MadeTool]:
    """`made` in hop order, tools of one intent merged, tool and table names unique in the instance.

    Tools that were given are left alone. What was merged, or why not, is among the verdicts of the members.

    Raises: BudgetError and EndpointError, which end the item.
    """
    ordered = _by_hop_level(drafted, made)
    if any(one.document is None for one in made):
        return ordered
    try:
        clusters = await find_clusters(drafted, ordered, llm)
    except NotAccepted as failed:
        return with_unique_names(_noted(ordered, {one.sub_id for one in ordered}, "cluster", failed.reason))
    for members in clusters:
        ids = {one.sub_id for one in members}
        current = [one for one in ordered if one.sub_id in ids]
        try:
            merged = await _merged(drafted, ordered, current, llm, runner)
        except (NotAccepted, Unfit, SandboxError, SpecError) as failed:
            ordered = _noted(ordered, ids, "merge", str(failed))
        else:
            ordered = merged
    return with_unique_names(ordered)


async def _merged(
    drafted: Drafted, ordered: Sequence[MadeTool], members: Sequence[MadeTool], llm: LlmSession, runner: ToolRunner
) -> list[MadeTool]:
    """The instance with `members` merged, run anew. Raises: NotAccepted, Unfit, SandboxError."""
    inserter = Inserter(drafted, {one.sub_id: one for one in ordered}, llm, runner)
    group = [members[0]]
    for new in members[1:]:
        group = await inserter.insert(group, new)
    verdict = Verdict(check="merge", status="pass", evidence={"members": [one.sub_id for one in group]})
    merged = {one.sub_id: replace(one, verdicts=(*one.verdicts, verdict)) for one in group}
    return await replayed(drafted, [merged.get(one.sub_id, one) for one in ordered], runner)


async def replayed(drafted: Drafted, ordered: Sequence[MadeTool], runner: ToolRunner) -> list[MadeTool]:
    """Every call made again, in hop order, upstream answers taken from the new outputs.

    Raises: Unfit when one does not give its answer any more; SandboxError.
    """
    done: dict[str, MadeTool] = {}
    for one in ordered:
        sub = drafted.decomposition.by_id[one.sub_id]
        task = ToolTask(drafted, sub, {ref: done[ref] for ref in sub.depends_on})
        try:
            arguments = task.resolve(one.call.arguments)
        except LookupError as error:
            raise Unfit(f"an argument of {one.sub_id!r} cannot be filled after the merge: {error}") from None
        call = ToolCall(one.tool.name, arguments)
        (result,) = await runner.run([one.tool], one.data, [call])
        check_answer(sub, call, result, one.result_path)
        done[one.sub_id] = replace(one, arguments=arguments, output=result.output)
    return list(done.values())


def _by_hop_level(drafted: Drafted, made: Sequence[MadeTool]) -> list[MadeTool]:
    by_id: Mapping[str, MadeTool] = {one.sub_id: one for one in made}
    return [by_id[sub.id] for sub in drafted.decomposition.topological if sub.id in by_id]


def _noted(made: Sequence[MadeTool], ids: set[str], check: str, reason: str) -> list[MadeTool]:
    """`made` with a note on each of `ids` that it stands alone, and why."""
    note = Verdict(check=check, status="fail", evidence={"unmerged": sorted(ids), "reason": reason})
    return [replace(one, verdicts=(*one.verdicts, note)) if one.sub_id in ids else one for one in made]
