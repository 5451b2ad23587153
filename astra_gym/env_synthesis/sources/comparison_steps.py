"""The last step of a comparison question: which tool compares the looked-up values, and what must come out.

Only a comparison whose outcome agrees with the record's answer becomes a step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from astra_gym.answers import Answer
from astra_gym.env_synthesis.sources.comparisons import (
    COMPARE_DATES,
    Pick,
    asked_for,
    compare_dates_tool,
    names_table,
    pick_date,
    same_value_tool,
)
from astra_gym.env_synthesis.sources.lookups import fold
from astra_gym.env_synthesis.sources.triples import RecordError
from astra_gym.env_synthesis.sources.wiki_values import Vocabulary, compared_noun, is_date_relation
from astra_gym.records import JSON
from astra_gym.types import GoldCall, SubQuestion, ToolFunction


@dataclass(frozen=True, slots=True)
class Candidate:
    """One of the two things compared."""

    name: str
    """As the question names it."""
    names: tuple[str, ...]
    step: str
    """Id of the sub-question that looks its value up."""
    value: str


@dataclass(frozen=True, slots=True)
class Ending:
    """How a question ends: its answer, and the comparing step where there is one."""

    answer: Answer
    step: SubQuestion | None = None
    tool: ToolFunction | None = None
    data: dict[str, JSON] = field(default_factory=dict)


def compare(
    question: str, answer: str, relation: str, candidates: Sequence[Candidate], step_id: str, vocabulary: Vocabulary
) -> Ending:
    """The step that compares the values of two candidates, given in the order of `candidates`.

    Raises: RecordError when the question does not say what to compare, when the values do not decide it, or when they
        decide it against the record's answer.
    """
    candidates = sorted(candidates, key=lambda candidate: _place(candidate, question))
    if fold(answer) in ("yes", "no"):
        return _same(answer, relation, candidates, step_id, vocabulary)
    if not is_date_relation(relation):
        raise RecordError("tools", f"no tool compares two values of {relation!r} for the answer {answer!r}")
    pick = asked_for(question, [name for candidate in candidates for name in candidate.names])
    if pick is None:
        raise RecordError("flow", "the question does not say whether the first or the last is wanted")
    return _first_or_last(answer, relation, pick, candidates, step_id)


def _first_or_last(answer: str, relation: str, pick: Pick, candidates: Sequence[Candidate], step_id: str) -> Ending:
    names = tuple(candidate.name for candidate in candidates)
    if len(set(map(fold, names))) < len(names):
        raise RecordError("flow", f"both things compared are called {names[0]!r}")
    winner = pick_date({candidate.name: candidate.value for candidate in candidates}, pick)
    if winner is None:
        values = [candidate.value for candidate in candidates]
        raise RecordError("answer", f"the values {values} do not tell which is {pick}")
    spelled = next(candidate.names for candidate in candidates if candidate.name == winner)
    if fold(answer) not in map(fold, spelled):
        raise RecordError("answer", f"the {pick} {relation} is that of {winner!r}, the record says {answer!r}")
    aliases = () if answer == winner else (answer,)
    typed = Answer(kind="text", value=winner, aliases=aliases, choices=names)
    dated = [{"name": candidate.name, "date": {"$ref": candidate.step}} for candidate in candidates]
    step = SubQuestion(
        id=step_id,
        question=f"Which has the {pick} {relation}, {names[0]} or {names[1]}?",
        answer=typed,
        depends_on=tuple(candidate.step for candidate in candidates),
        call=GoldCall(tool=COMPARE_DATES, arguments={"candidates": dated, "pick": pick}),
        result_path="/name",
    )
    return Ending(typed, step, compare_dates_tool())


def _same(answer: str, relation: str, candidates: Sequence[Candidate], step_id: str, vocabulary: Vocabulary) -> Ending:
    noun = compared_noun(relation)
    if noun is None:
        raise RecordError("tools", f"no tool tells whether two values of {relation!r} are the same")
    spellings = vocabulary.of(relation)
    meant = [spellings.canonical(candidate.value) for candidate in candidates]
    same = meant[0] == meant[1]
    if same != (fold(answer) == "yes"):
        raise RecordError(
            "answer", f"{candidates[0].value!r} and {candidates[1].value!r} give {same}, the record says {answer!r}"
        )
    typed = Answer(kind="bool", value=same)
    tool = same_value_tool(noun)
    first, second = candidates
    step = SubQuestion(
        id=step_id,
        question=f"Is the {relation} the same for {first.name} and {second.name}?",
        answer=typed,
        depends_on=(first.step, second.step),
        call=GoldCall(tool=tool.name, arguments={"first": {"$ref": first.step}, "second": {"$ref": second.step}}),
        result_path="/same",
    )
    own = {fold(candidate.value): spellings.canonical(candidate.value) for candidate in candidates}
    data: dict[str, JSON] = {names_table(noun): dict(sorted({**spellings.table, **own}.items()))}
    return Ending(typed, step, tool, data)


def _place(candidate: Candidate, question: str) -> int:
    """Where the question names it: the order of the arguments must not follow the answer."""
    found = [at for name in candidate.names if (at := fold(question).find(fold(name))) >= 0]
    return min(found, default=len(question))
