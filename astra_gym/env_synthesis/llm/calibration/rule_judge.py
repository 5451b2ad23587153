"""A judge without a model: it knows the certified env that a decomposition was made from, and compares.

It answers the prompts of the same stages as a language model does, from the facts that come with them, so that the
corridor can be run and tested on decompositions whose truth is known. It says nothing about decompositions from
elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from astra_gym.env_synthesis.llm.judging import JudgePrompt, shown_answer
from astra_gym.env_synthesis.llm.referring import by_reference
from astra_gym.env_synthesis.llm.replies import (
    Atomicity,
    AtomicityReply,
    CompletenessReply,
    DependencyReply,
    EntailmentReply,
    ForcedStep,
    Necessity,
    NecessityReply,
    Requirement,
    SerialisationReply,
)
from astra_gym.env_synthesis.llm.sources.suites import decomposition_of
from astra_gym.llm.errors import LlmError, RequestError
from astra_gym.llm.prompts import Prompt
from astra_gym.llm.structured import Check, R
from astra_gym.records import JSON, Record
from astra_gym.types import Decomposition, ToolEnvSpec
from astra_gym.values.texts import fold


class RuleJudge:
    """Judges decompositions of one certified env."""

    def __init__(self, truth: ToolEnvSpec) -> None:
        self._truth = by_reference(decomposition_of(truth))

    async def judge(self, prompt: Prompt, reply: type[R], *, check: Check[R] | None = None) -> list[R | LlmError]:
        """One reply, or a RequestError where no rule answers the stage of `prompt`."""
        answer = _ANSWERS.get(prompt.stage)
        if answer is None or not isinstance(prompt, JudgePrompt):
            return [RequestError(f"no rule answers stage {prompt.stage!r}; there are {sorted(_ANSWERS)}")]
        found = answer(_Reading(self._truth, _steps(prompt.facts)), prompt.facts)
        parsed = reply.model_validate(found.model_dump())
        if check is not None:
            check(parsed)
        return [parsed]


@dataclass(frozen=True, slots=True)
class _Step:
    """A step of the decomposition under judgement."""

    id: str
    question: str
    depends_on: tuple[str, ...]
    answer: JSON


def _steps(facts: Mapping[str, JSON]) -> dict[str, _Step]:
    steps = [_Step(s["id"], s["question"], tuple(s["depends_on"]), s["answer"]) for s in facts["sub_questions"]]
    return {step.id: step for step in steps}


class _Reading:
    """Which true steps each step asks for, and what it needs."""

    def __init__(self, truth: Decomposition, steps: Mapping[str, _Step]) -> None:
        self.truth, self.steps = truth, steps
        self.asks = {key: _asked(truth, step) for key, step in steps.items()}
        """Ids of true steps; none for a step in words alone."""

    def gives(self, key: str) -> frozenset[str]:
        """The true steps whose answer a step hands on; one in words alone hands on what it was given."""
        if asked := self.asks[key]:
            return asked
        return frozenset(given for other in self.steps[key].depends_on for given in self.gives(other))

    def needs(self, key: str) -> frozenset[str]:
        """The true steps whose answers a step takes in."""
        asked = self.asks[key]
        if not asked:
            return self.gives(key)
        needed = {up for true_id in asked for up in self.truth.by_id[true_id].depends_on}
        return frozenset(needed - asked)

    def missing(self, key: str) -> list[str]:
        given = {true_id for other in self.steps[key].depends_on for true_id in self.gives(other)}
        return sorted(self.needs(key) - given)

    def unused(self, key: str) -> list[str]:
        return [other for other in self.steps[key].depends_on if not self.gives(other) & self.needs(key)]


def _asked(truth: Decomposition, step: _Step) -> frozenset[str]:
    """The true steps whose question a step's question is, or holds."""
    question = _core(step.question)
    cores = {sub.id: _core(sub.question) for sub in truth.sub_questions}
    equal = [key for key, core in cores.items() if core == question]
    if equal:
        return frozenset([step.id] if step.id in equal else equal[:1])
    held = {key: core for key, core in cores.items() if core in question}
    outer = held.values()
    return frozenset(key for key, core in held.items() if not any(core != other and core in other for other in outer))


def _core(question: str) -> str:
    return fold(question.rstrip("?？. 。"))


def _necessity(reading: _Reading, _: Mapping[str, JSON]) -> Record:
    entries = [
        Necessity(id=key, needs_tool=bool(asked), reason="a gold call" if asked else "words alone")
        for key, asked in reading.asks.items()
    ]
    return NecessityReply(sub_questions=tuple(entries))


def _dependency(reading: _Reading, facts: Mapping[str, JSON]) -> Record:
    key = facts["id"]
    missing, unused = reading.missing(key), reading.unused(key)
    questions = tuple(reading.truth.by_id[true_id].question for true_id in missing)
    return DependencyReply(missing=questions, unused=tuple(unused), reason="by the gold calls")


def _atomicity(reading: _Reading, _: Mapping[str, JSON]) -> Record:
    entries = [
        Atomicity(id=key, atomic=len(asked) <= 1, reason=f"gold calls: {len(asked)}")
        for key, asked in reading.asks.items()
    ]
    return AtomicityReply(sub_questions=tuple(entries))


def _serialisation(reading: _Reading, _: Mapping[str, JSON]) -> Record:
    forced = [
        ForcedStep(id=key, on=other, reason="no gold call uses it")
        for key in reading.steps
        for other in reading.unused(key)
    ]
    return SerialisationReply(rational=not forced, forced=tuple(forced))


def _completeness(reading: _Reading, _: Mapping[str, JSON]) -> Record:
    requirements = [
        Requirement(
            requirement=sub.question,
            covered_by=tuple(key for key, asked in reading.asks.items() if sub.id in asked),
        )
        for sub in reading.truth.sub_questions
    ]
    complete = all(requirement.covered_by for requirement in requirements)
    return CompletenessReply(requirements=tuple(requirements), complete=complete)


def _entailment(reading: _Reading, _: Mapping[str, JSON]) -> Record:
    """The true final answer, where every true step is there with its true answer."""
    shown = {true_id: reading.steps[key].answer for key, asked in reading.asks.items() for true_id in asked}
    last = {sub.id for sub in reading.truth.sub_questions} - {up for up, _ in reading.truth.edges}
    if any(shown.get(key) != shown_answer(reading.truth.by_id[key]) for key in last):
        return EntailmentReply(answerable=False, answer=None, reason="a last step is missing or has another answer")
    return EntailmentReply(answerable=True, answer=reading.truth.answer.value, reason="by the certified env")


_ANSWERS: dict[str, Callable[[_Reading, Mapping[str, JSON]], Record]] = {
    "necessity": _necessity,
    "dependency": _dependency,
    "atomicity": _atomicity,
    "serialisation": _serialisation,
    "completeness": _completeness,
    "entailment": _entailment,
}
