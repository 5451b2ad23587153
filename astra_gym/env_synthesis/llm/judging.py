"""Putting questions to judges and counting their votes: no answer is no vote, and no clear majority is unknown.

What is asked and what a vote means is decided in `necessity.py`, `scores.py` and `final_answer.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from astra_gym.env_synthesis.llm.drafted import Drafted
from astra_gym.env_synthesis.llm.replies import REPLIES, Stage
from astra_gym.llm.errors import LlmError
from astra_gym.llm.prompts import Prompt, render
from astra_gym.llm.structured import Check, R
from astra_gym.records import JSON
from astra_gym.types import SubQuestion

_SHOWN_CHARS = 300


@dataclass(frozen=True)
class JudgePrompt(Prompt):
    """A prompt together with what it says as data, for a judge that goes by rule (`calibration.rule_judge`)."""

    facts: Mapping[str, JSON] = field(default_factory=dict, compare=False)
    """The decomposition as the judge is shown it, and for stage `dependency` the `id` that is asked about."""


class Judges(Protocol):
    """Whoever judges: the session of an item with a language model, or rules."""

    async def judge(self, prompt: Prompt, reply: type[R], *, check: Check[R] | None = None) -> list[R | LlmError]:
        """One entry a judge (and sample): its reply, or why there is none."""
        ...


@dataclass(frozen=True, slots=True)
class Votes:
    """What the judges said of each unit (a sub-question, or the whole): yes, no, or nothing."""

    by_unit: Mapping[str, tuple[bool | None, ...]]

    def decided(self, unit: str) -> bool | None:
        return majority(self.by_unit[unit])

    def as_json(self) -> dict[str, JSON]:
        return {unit: list(votes) for unit, votes in self.by_unit.items()}


def majority(votes: Sequence[bool | None]) -> bool | None:
    """What more than half of those who answered say, provided that more than half of those asked answered."""
    answers = [vote for vote in votes if vote is not None]
    if 2 * len(answers) <= len(votes):
        return None
    yes = sum(answers)
    if 2 * yes == len(answers):
        return None
    return 2 * yes > len(answers)


def judge_prompt(stage: Stage, drafted: Drafted, *, sub: SubQuestion | None = None, **values: JSON) -> JudgePrompt:
    """The prompt of a judge's stage, in the item's language, with the facts behind it."""
    prompt = render(stage, language=drafted.item.language, reply=REPLIES[stage], **values)
    facts: dict[str, JSON] = {"question": drafted.decomposition.question, "sub_questions": steps(drafted)}
    if sub is not None:
        facts["id"] = sub.id
    return JudgePrompt(prompt.stage, prompt.messages, prompt.template_hash, facts)


def steps(drafted: Drafted) -> list[JSON]:
    """The sub-questions as a judge is shown them, by hop level."""
    return [step(sub) for sub in drafted.decomposition.topological]


def step(sub: SubQuestion) -> dict[str, JSON]:
    """One sub-question as a judge is shown it."""
    shown: dict[str, JSON] = {"id": sub.id, "question": sub.question, "depends_on": list(sub.depends_on)}
    return shown | {"answer": shown_answer(sub)}


def shown_answer(sub: SubQuestion) -> JSON:
    """The answer in words where it has a unit, else as a value."""
    return sub.answer.render() if sub.answer.unit or sub.answer.kind == "percentage" else sub.answer.value


def votes_by_id(ids: Sequence[str], said: Sequence[Mapping[str, bool] | None]) -> Votes:
    """The votes on each of `ids`, from what each judge said of all of them; None: it gave no answer."""
    return Votes({key: tuple(None if one is None else one[key] for one in said) for key in ids})


def objections(units: Sequence[str], reasons: Mapping[str, str]) -> str:
    """What is said against each of `units`, in a judge's own words."""
    return "; ".join(f"{unit}: {reasons.get(unit) or 'no reason given'}" for unit in units)


def silences(replies: Sequence[object]) -> list[str]:
    """Why judges gave no answer, one a judge that did not."""
    return [str(reply)[:_SHOWN_CHARS] for reply in replies if isinstance(reply, LlmError)]


def exactly(ids: Sequence[str], found: Sequence[str]) -> None:
    """Raises ValueError unless `found` is each of `ids` once: the judge is asked again."""
    missing = [name for name in ids if name not in found]
    unknown = [name for name in found if name not in ids]
    twice = sorted({name for name in found if found.count(name) > 1})
    if missing or unknown or twice:
        raise ValueError(
            f"expected exactly one entry for each of {list(ids)}; "
            f"missing {missing}, unknown {unknown}, repeated {twice}"
        )


def among(ids: Sequence[str], found: Sequence[str], what: str) -> None:
    """Raises ValueError when `found` holds anything but `ids`."""
    if unknown := [name for name in found if name not in ids]:
        raise ValueError(f"`{what}` may hold ids of {list(ids)} only, found {unknown}")
