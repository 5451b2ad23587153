"""One sub-question to one finished tool: document, scaling, call, implementation, hidden checks; each may say no.

Stages of ASTRA (arXiv 2601.21558, section 3.2). A tool whose program is not accepted is documented once more, with the
objection; then the item is rejected at the stage that failed last. Which sub-questions need a tool, and in which order
they are made, is decided in `pipeline.py`; tools of the same intent meet in `merge.py`.
"""

from __future__ import annotations

from collections.abc import Mapping

from astra_gym.env_synthesis.llm.call import write_call
from astra_gym.env_synthesis.llm.document import scale_document, tool_function, write_document
from astra_gym.env_synthesis.llm.drafted import Drafted
from astra_gym.env_synthesis.llm.feedback import NotAccepted
from astra_gym.env_synthesis.llm.given_tools import GivenTools
from astra_gym.env_synthesis.llm.implementation import Implementer
from astra_gym.env_synthesis.llm.made import MadeTool, ToolTask
from astra_gym.env_synthesis.llm.replies import ToolDocument
from astra_gym.env_synthesis.llm.tool_runner import ToolRunner
from astra_gym.errors import PolicyError, SandboxError, SpecError
from astra_gym.llm.session import LlmSession
from astra_gym.types import Rejected

__all__ = ["MadeTool", "make_tool"]

DOCUMENTS = 2
"""Documents written for one sub-question at most."""


async def make_tool(
    drafted: Drafted, sub_id: str, llm: LlmSession, runner: ToolRunner, known: Mapping[str, MadeTool]
) -> MadeTool | Rejected:
    """The tool of one sub-question, or why there is none.

    Args:
        known: the finished tools by sub-question; those that `sub_id` depends on must be among them.

    Raises: ValueError when one of those is missing; BudgetError and EndpointError, which end the item.
    """
    sub = drafted.decomposition.by_id[sub_id]
    if missing := [ref for ref in sub.depends_on if ref not in known]:
        raise ValueError(f"{drafted.item.id}: {sub_id!r} depends on {missing}, whose tools are not made yet")
    task = ToolTask(drafted, sub, {ref: known[ref] for ref in sub.depends_on})
    given = drafted.item.tool_spec
    try:
        if given is not None:
            return await GivenTools(task, given, llm, runner, known).find()
        return await _make(task, llm, runner)
    except NotAccepted as failed:
        return failed.rejected(drafted.item.id, sub_id)
    except (SpecError, PolicyError) as error:
        return Rejected(id=drafted.item.id, stage="sources", reason=f"{sub_id}: {error}")
    except SandboxError as error:
        return Rejected(id=drafted.item.id, stage="sandbox", reason=f"{sub_id}: unknown: {error}")


async def _make(
    task: ToolTask,
    llm: LlmSession,
    runner: ToolRunner,
    attempt: int = 1,
    again: tuple[ToolDocument, str] | None = None,
) -> MadeTool:
    """The `attempt`-th document and what follows from it, and after that the next. Raises: NotAccepted."""
    first = await write_document(task, llm, again=again)
    document = await scale_document(task, first, llm)
    called = await write_call(task, tool_function(document, "", task.language), llm, sample=attempt - 1)
    try:
        return await Implementer(task, llm, runner).write(document, called, sample=attempt - 1)
    except NotAccepted as failed:
        if not failed.rounds or attempt == DOCUMENTS:
            raise
        failed_there = "it failed in the case that it was tested on"
        said = failed_there if failed.of_the_case else failed.reason
        objection = f"no program for this tool was accepted; of the last one: {said}"
    return await _make(task, llm, runner, attempt + 1, (first, objection))
