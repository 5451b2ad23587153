"""The four quality dimensions of a decomposition, each scored by judges and held against an absolute minimum.

Dependency consistency and atomicity and sequential rationality are the share of steps that hold, completeness is yes or
no (arXiv 2601.21558, section 3). A step on which the judges have no majority is unknown, and so is the check that rests
on it; an unknown never passes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from astra_gym.env_synthesis.llm.drafted import Drafted
from astra_gym.env_synthesis.llm.judging import (
    Judges,
    Votes,
    among,
    exactly,
    judge_prompt,
    objections,
    silences,
    step,
    steps,
    votes_by_id,
)
from astra_gym.env_synthesis.llm.replies import AtomicityReply, CompletenessReply, DependencyReply, SerialisationReply
from astra_gym.env_synthesis.llm.thresholds import Dimension, Thresholds
from astra_gym.llm.errors import LlmError
from astra_gym.llm.together import together
from astra_gym.records import JSON
from astra_gym.types import SubQuestion, Verdict

_WHOLE = "the whole"
"""The unit of a check that asks about all steps together."""


async def judge_scores(
    drafted: Drafted, llm: Judges, *, thresholds: Thresholds | None = None, stop_early: bool = True
) -> list[Verdict]:
    """A verdict a dimension, in the order of `DIMENSIONS`; evidence: score, minimum, votes, reasons.

    Args:
        stop_early: ask no further once a dimension does not pass; the last verdict is then the one that did not.

    Raises: EndpointError, BudgetError as the session does.
    """
    minima = thresholds or Thresholds()
    verdicts: list[Verdict] = []
    for judge in (judge_dependency, judge_atomicity, judge_serialisation, judge_completeness):
        verdicts.append(await judge(drafted, llm, minima))
        if stop_early and verdicts[-1].status != "pass":
            break
    return verdicts


async def judge_dependency(drafted: Drafted, llm: Judges, minima: Thresholds) -> Verdict:
    """Each step finds what it needs in its own words and in its dependencies, and needs each of these."""
    subs = drafted.decomposition.sub_questions
    asked = await together(_dependency_of(drafted, sub, llm) for sub in subs)
    votes: dict[str, tuple[bool | None, ...]] = {}
    reasons: dict[str, str] = {}
    for sub, replies in zip(subs, asked, strict=True):
        given = [reply if isinstance(reply, DependencyReply) else None for reply in replies]
        votes[sub.id] = tuple(None if r is None else not (r.missing or r.unused) for r in given)
        if said := [_mismatch(r) for r in given if r is not None and (r.missing or r.unused)]:
            reasons[sub.id] = said[-1]
    silent = [text for replies in asked for text in silences(replies)]
    return _scored("dependency", Votes(votes), minima, reasons=reasons, silent=silent)


def _mismatch(reply: DependencyReply) -> str:
    """What a judge finds missing or unused, and its reason."""
    found = (("missing", reply.missing), ("unused", reply.unused))
    return "; ".join([f"{what}: {', '.join(names)}" for what, names in found if names] + [reply.reason])


async def _dependency_of(drafted: Drafted, sub: SubQuestion, llm: Judges) -> list[DependencyReply | LlmError]:
    """The judge sees one question and the questions and answers that it depends on, nothing else."""
    references = [step(drafted.decomposition.by_id[key]) for key in sub.depends_on]
    shown: list[JSON] = [{name: ref[name] for name in ("id", "question", "answer")} for ref in references]
    prompt = judge_prompt("dependency", drafted, sub=sub, id=sub.id, sub_question=sub.question, references=shown)
    return await llm.judge(prompt, DependencyReply, check=lambda reply: among(sub.depends_on, reply.unused, "unused"))


async def judge_atomicity(drafted: Drafted, llm: Judges, minima: Thresholds) -> Verdict:
    """Each step is one task, which one tool call can answer, and does not overlap another."""
    ids = [sub.id for sub in drafted.decomposition.sub_questions]
    prompt = judge_prompt("atomicity", drafted, **_whole(drafted))
    replies = await llm.judge(
        prompt, AtomicityReply, check=lambda reply: exactly(ids, [entry.id for entry in reply.sub_questions])
    )
    given = [reply if isinstance(reply, AtomicityReply) else None for reply in replies]
    votes = votes_by_id(ids, [{e.id: e.atomic for e in reply.sub_questions} if reply else None for reply in given])
    reasons = {e.id: e.reason for reply in given if reply for e in reply.sub_questions if not e.atomic}
    return _scored("atomicity", votes, minima, reasons=reasons, silent=silences(replies))


async def judge_serialisation(drafted: Drafted, llm: Judges, minima: Thresholds) -> Verdict:
    """No step waits for another without need."""
    subs = drafted.decomposition.sub_questions
    edges = {(sub.id, up) for sub in subs for up in sub.depends_on}

    def check(reply: SerialisationReply) -> None:
        if unknown := [(f.id, f.on) for f in reply.forced if (f.id, f.on) not in edges]:
            raise ValueError(f"`forced` names {unknown}; the dependencies (id, on) are {sorted(edges)}")

    levels = drafted.decomposition.hop_levels
    lines = [step(sub) | {"hop_level": levels[sub.id]} for sub in drafted.decomposition.topological]
    prompt = judge_prompt("serialisation", drafted, main=drafted.decomposition.question, steps=lines)
    replies = await llm.judge(prompt, SerialisationReply, check=check)
    given = [reply if isinstance(reply, SerialisationReply) else None for reply in replies]
    forced = [None if reply is None else {entry.id for entry in reply.forced} for reply in given]
    votes = Votes({sub.id: tuple(None if found is None else sub.id not in found for found in forced) for sub in subs})
    reasons = {f.id: f"need not wait for {f.on}: {f.reason}" for reply in given if reply for f in reply.forced}
    return _scored("serialisation", votes, minima, reasons=reasons, silent=silences(replies))


async def judge_completeness(drafted: Drafted, llm: Judges, minima: Thresholds) -> Verdict:
    """The steps together give all that the question asks for."""
    ids = [sub.id for sub in drafted.decomposition.sub_questions]

    def check(reply: CompletenessReply) -> None:
        for requirement in reply.requirements:
            among(ids, requirement.covered_by, "covered_by")

    prompt = judge_prompt("completeness", drafted, **_whole(drafted))
    replies = await llm.judge(prompt, CompletenessReply, check=check)
    given = [reply if isinstance(reply, CompletenessReply) else None for reply in replies]
    votes = Votes({_WHOLE: tuple(None if reply is None else reply.complete for reply in given)})
    missing = dict.fromkeys(r.requirement for reply in given if reply for r in reply.requirements if not r.covered_by)
    reasons = {_WHOLE: f"no step gives {'; '.join(missing)}"} if missing else {}
    return _scored("completeness", votes, minima, reasons=reasons, silent=silences(replies))


def _whole(drafted: Drafted) -> dict[str, JSON]:
    return {
        "main": drafted.decomposition.question,
        "final_answer": drafted.decomposition.answer.render(),
        "steps": steps(drafted),
    }


def _scored(
    dimension: Dimension, votes: Votes, minima: Thresholds, *, reasons: Mapping[str, str], silent: Sequence[str]
) -> Verdict:
    """The share of units that hold against the minimum. What is undecided is counted as held only to see it fail.

    `reasons`: by unit, the words of a judge (the last that has some) who says that it does not hold.
    """
    decided = [votes.decided(unit) for unit in votes.by_unit]
    unknown = [unit for unit in votes.by_unit if votes.decided(unit) is None]
    best = sum(held is not False for held in decided) / len(decided)
    score = None if unknown else best
    evidence: dict[str, JSON] = {
        "score": score,
        "minimum": minima.minimum(dimension),
        "votes": votes.as_json(),
        "reasons": dict(reasons),
        "silent": list(silent),
    }
    if not minima.met(dimension, best):
        failed = [unit for unit in votes.by_unit if votes.decided(unit) is False]
        return Verdict(check=dimension, status="fail", evidence={"problem": objections(failed, reasons), **evidence})
    if unknown:
        problem = f"no majority of the judges on {unknown}"
        return Verdict(check=dimension, status="unknown", evidence={"problem": problem, **evidence})
    return Verdict(check=dimension, status="pass", evidence=evidence)
