"""Stage `necessity`: which steps need a tool. Every step that another one rests on must.

A step in words (compare, choose, sum up for the reader) may stand at the end of a decomposition; in the middle it would
break the chain of calls. Source: arXiv 2601.21558, section 3.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from astra_gym.env_synthesis.llm.drafted import Drafted
from astra_gym.env_synthesis.llm.judging import (
    Judges,
    Votes,
    exactly,
    judge_prompt,
    objections,
    silences,
    steps,
    votes_by_id,
)
from astra_gym.env_synthesis.llm.replies import NecessityReply
from astra_gym.records import JSON
from astra_gym.types import Verdict

CHECK: Literal["necessity"] = "necessity"


@dataclass(frozen=True, slots=True)
class Judged:
    """Whether the draft may go on, and with which tools."""

    verdict: Verdict
    needs_tool: frozenset[str]
    """Ids of the sub-questions for which a tool is made; empty unless the verdict is a pass."""


async def judge_necessity(drafted: Drafted, llm: Judges) -> Judged:
    """Ask the judges of every step at once whether a tool is needed.

    Raises: EndpointError, BudgetError as the session does.
    """
    decomposition = drafted.decomposition
    ids = [sub.id for sub in decomposition.sub_questions]
    prompt = judge_prompt(CHECK, drafted, main=decomposition.question, steps=steps(drafted))
    replies = await llm.judge(
        prompt, NecessityReply, check=lambda reply: exactly(ids, [entry.id for entry in reply.sub_questions])
    )
    given = [reply if isinstance(reply, NecessityReply) else None for reply in replies]
    votes = votes_by_id(ids, [{e.id: e.needs_tool for e in reply.sub_questions} if reply else None for reply in given])
    reasons = {e.id: e.reason for reply in given if reply for e in reply.sub_questions if not e.needs_tool}
    return _judged(drafted, votes, reasons, silences(replies))


def _judged(drafted: Drafted, votes: Votes, reasons: dict[str, str], silent: list[str]) -> Judged:
    evidence: dict[str, JSON] = {"votes": votes.as_json(), "reasons": reasons, "silent": silent}
    decided = {key: votes.decided(key) for key in votes.by_unit}
    inner = {up for up, _ in drafted.decomposition.edges}
    unneeded = sorted(key for key in inner if decided[key] is False)
    open_ = sorted(key for key, needs in decided.items() if needs is None)
    if unneeded:
        problem = f"a step on which others rest needs no tool: {objections(unneeded, reasons)}"
        return Judged(Verdict(check=CHECK, status="fail", evidence={"problem": problem, **evidence}), frozenset())
    if open_:
        problem = f"no majority of the judges on {open_}"
        return Judged(Verdict(check=CHECK, status="unknown", evidence={"problem": problem, **evidence}), frozenset())
    needed = frozenset(key for key, needs in decided.items() if needs)
    if not needed:
        problem = f"no step needs a tool: {objections(list(decided), reasons)}"
        return Judged(Verdict(check=CHECK, status="fail", evidence={"problem": problem, **evidence}), frozenset())
    return Judged(Verdict(check=CHECK, status="pass", evidence=evidence), needed)
