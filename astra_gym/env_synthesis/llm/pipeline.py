"""One item through all stages, the order of which stands here: one certified `ToolEnvSpec` out, or one `Rejected`.

Rules come before judges and judges before tools, so that nothing is spent on what an earlier check rejects. Every
check must pass: one that fails or could not be answered ends the item at its own stage. Budgets, endpoints and what
other items hold are not seen here (`worker.py`, `run.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from astra_gym.certify import with_certificate
from astra_gym.env_synthesis.llm.assemble import assemble
from astra_gym.env_synthesis.llm.draft import draft
from astra_gym.env_synthesis.llm.drafted import Drafted
from astra_gym.env_synthesis.llm.final_answer import check_final_answer
from astra_gym.env_synthesis.llm.items import LlmItem
from astra_gym.env_synthesis.llm.judging import Judges
from astra_gym.env_synthesis.llm.made import MadeTool
from astra_gym.env_synthesis.llm.merge import merge_tools
from astra_gym.env_synthesis.llm.necessity import judge_necessity
from astra_gym.env_synthesis.llm.rules import broken_rule
from astra_gym.env_synthesis.llm.scores import judge_scores
from astra_gym.env_synthesis.llm.thresholds import Thresholds
from astra_gym.env_synthesis.llm.tool_runner import ToolRunner
from astra_gym.env_synthesis.llm.tools import make_tool
from astra_gym.llm.session import LlmSession
from astra_gym.llm.together import together
from astra_gym.records import JSON, canonical_json
from astra_gym.types import Rejected, ToolEnvSpec, Verdict

STAGES = (
    "read",
    "generate",
    "rules",
    "necessity",
    "dependency",
    "atomicity",
    "serialisation",
    "completeness",
    "final_answer",
    "document",
    "scaling",
    "call",
    "implementation",
    "probe",
    "merge",
    "build",
    "sources",
    "replay",
    "determinism",
    "sensitivity",
    "leak",
    "other_tools",
    "duplicate",
    "contamination",
    "percentile",
)
"""Where an item can be rejected, in the order in which it comes by. The certificate's checks are from `sources` on."""
ANYWHERE = ("budget", "endpoint", "sandbox", "internal")
"""Stages of rejections that can happen at any point."""
_SHOWN_CHARS = 500


async def process(
    item: LlmItem,
    llm: LlmSession,
    runner: ToolRunner,
    thresholds: Thresholds,
    *,
    judges: Judges | None = None,
) -> ToolEnvSpec | Rejected:
    """Take one item through the stages.

    Args:
        judges: who judges; default: the judge models of `llm`.

    Raises: BudgetError, EndpointError and what else of `LlmError` no stage has made a rejection of; SandboxError.
    """
    drafted = await draft(item, llm)
    if isinstance(drafted, Rejected):
        return drafted
    if broken := broken_rule(drafted):
        return broken
    judged = await _judge(drafted, judges or llm, thresholds)
    if isinstance(judged, Rejected):
        return judged
    made = await _make_tools(drafted, judged.needs_tool, llm, runner)
    if isinstance(made, Rejected):
        return made
    merged = await merge_tools(drafted, made, llm, runner)
    llm.check()
    spec = assemble(drafted, merged, judged.verdicts, llm.records, item)
    if isinstance(spec, Rejected):
        return spec
    certificate = await runner.certify(spec)
    if isinstance(certificate, Rejected):
        return certificate.model_copy(update={"id": item.id})
    return with_certificate(spec, certificate)


@dataclass(frozen=True)
class _Passed:
    """What the judges said of a draft that may go on."""

    verdicts: Sequence[Verdict]
    needs_tool: frozenset[str]


async def _judge(drafted: Drafted, judges: Judges, thresholds: Thresholds) -> _Passed | Rejected:
    """Necessity, the four dimensions, the final answer: the first that does not pass rejects."""
    necessity = await judge_necessity(drafted, judges)
    verdicts = [necessity.verdict]
    if rejected := _against(drafted, verdicts):
        return rejected
    verdicts += await judge_scores(drafted, judges, thresholds=thresholds)
    if rejected := _against(drafted, verdicts):
        return rejected
    verdicts.append(await check_final_answer(drafted, judges, tooled=necessity.needs_tool))
    return _against(drafted, verdicts) or _Passed(verdicts, necessity.needs_tool)


def _against(drafted: Drafted, verdicts: Sequence[Verdict]) -> Rejected | None:
    """The rejection by the first verdict that is no pass."""
    verdict = next((verdict for verdict in verdicts if verdict.status != "pass"), None)
    if verdict is None:
        return None
    evidence = verdict.evidence
    said: JSON = evidence.get("problem", evidence) if isinstance(evidence, dict) else evidence
    text = said if isinstance(said, str) else canonical_json(said).decode()
    silent = evidence.get("silent") if isinstance(evidence, dict) else None
    if verdict.status == "unknown" and silent:
        text = f"{text}; {silent[0]}"
    unknown = "unknown: " if verdict.status == "unknown" else ""
    return Rejected(
        id=drafted.item.id, stage=verdict.check, reason=f"{unknown}{text[:_SHOWN_CHARS]}", evidence=evidence
    )


async def _make_tools(
    drafted: Drafted, needed: frozenset[str], llm: LlmSession, runner: ToolRunner
) -> list[MadeTool] | Rejected:
    """A tool for each sub-question that needs one, in the order of the sub-questions; of one hop level at a time.

    All of a level are finished before one of them counts, so that what an item is rejected for does not depend on which
    of them came first.
    """
    made: dict[str, MadeTool] = {}
    levels = drafted.decomposition.hop_levels
    for level in sorted(set(levels.values())):
        ids = [sub.id for sub in drafted.decomposition.sub_questions if levels[sub.id] == level and sub.id in needed]
        results = await together(make_tool(drafted, sub_id, llm, runner, made) for sub_id in ids)
        llm.check()
        for sub_id, result in zip(ids, results, strict=True):
            if isinstance(result, Rejected):
                return result
            made[sub_id] = result
    return [made[sub.id] for sub in drafted.decomposition.sub_questions if sub.id in made]
