"""GSM8K (grade-school word problems with worked solutions): each marked calculation becomes a named arithmetic tool.

Socratic records (one sub-question a line) and plain ones are read. Numbers that are results of earlier steps become
references, so that the solution's order is the dependency graph; a record whose numbers cannot be traced, or whose
last result is not its stated answer, is rejected.
Source of the data: https://github.com/openai/grade-school-math (MIT).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from pydantic import ValidationError

from astra_gym.answers import Answer
from astra_gym.env_synthesis.sources.arithmetic import decimal_text
from astra_gym.env_synthesis.sources.base import Item
from astra_gym.env_synthesis.sources.calculations import MAX_CHARS, Solution, SolutionError, Step, read_solution
from astra_gym.env_synthesis.sources.jsonl import record_items, stem_prefix
from astra_gym.env_synthesis.sources.quantities import find_quantities, stated_values
from astra_gym.env_synthesis.sources.step_tools import StepTool, StepToolError, make_tools, plain_number
from astra_gym.env_synthesis.sources.value_flow import FlowError, trace
from astra_gym.types import Provenance, Rejected, SubQuestion, ToolEnvSpec

URL = "https://github.com/openai/grade-school-math"


class Gsm8kSource:
    """The records of one GSM8K file as uncertified envs, ids `<prefix>-<record number>-v0`.

    Args:
        path: JSONL of {question, answer}.
        skip_bad: give unreadable lines as `Rejected` instead of raising SuiteError.
        limit: read only the first so many records.
        prefix: start of every id; default `gsm8k-` and the file's stem.
        version: commit or release of the data set, for the provenance.
    """

    name = "gsm8k"

    def __init__(
        self,
        path: str | Path,
        *,
        skip_bad: bool = False,
        limit: int | None = None,
        prefix: str | None = None,
        seed: int = 0,
        version: str | None = None,
    ) -> None:
        self.path = Path(path)
        self.skip_bad = skip_bad
        self.limit = limit
        self.seed = seed
        self.version = version
        self.prefix = prefix or stem_prefix(self.name, self.path, drop=("socratic",))

    def items(self) -> Iterator[Item | Rejected]:
        """One item a record. Raises SuiteError for a file or line that cannot be read (see `skip_bad`)."""
        return record_items(self.path, self.prefix, skip_bad=self.skip_bad, limit=self.limit)

    def build(self, item: Item) -> ToolEnvSpec | Rejected:
        """The env of one record, or the stage ("parse", "flow", "tools", "spec") and reason against it."""
        record = item.payload["record"]
        question, answer = record.get("question"), record.get("answer")
        if isinstance(question, str) and len(question) > MAX_CHARS:
            return _reject(
                item, "parse", f"expected a question of at most {MAX_CHARS} characters, found {len(question)}"
            )
        if not (isinstance(question, str) and isinstance(answer, str) and question.strip() and answer.strip()):
            found = sorted(key for key, value in record.items() if isinstance(value, str))
            return _reject(item, "parse", f"expected texts `question` and `answer`, found {found}")
        try:
            return self._spec(item, question.strip(), read_solution(answer))
        except SolutionError as error:
            return _reject(item, "parse", str(error))
        except FlowError as error:
            return _reject(item, "flow", str(error))
        except StepToolError as error:
            return _reject(item, "tools", str(error))
        except ValidationError as error:
            return _reject(item, "spec", str(error))

    def _spec(self, item: Item, question: str, solution: Solution) -> ToolEnvSpec:
        steps = [step for step in solution.steps if step.tree is not None]
        if not steps:
            raise SolutionError("no line states a calculation")
        if steps[-1].value != solution.final:
            last, final = decimal_text(steps[-1].value), decimal_text(solution.final)
            raise FlowError(f"the last calculation gives {last}, but the final answer is {final}")
        said, untraced = _statements(question, solution, steps)
        flow = trace(question, steps, strict=untraced)
        kept = sorted([*steps, *said], key=solution.steps.index)
        ids = {kept_step: f"q{n}" for n, kept_step in enumerate(kept, start=1)}
        made = make_tools(question, steps, flow, [ids[step] for step in steps])
        tools = dict(zip(steps, made, strict=True))
        return ToolEnvSpec(
            id=item.id,
            question=question,
            answer=_final_answer(steps[-1]),
            sub_questions=tuple(
                _called(step, ids, steps, tools[step]) if step in tools else _stated(step, ids, steps) for step in kept
            ),
            domain="grade-school-math",
            tools=tuple(step.tool for step in made),
            provenance=self._provenance(item),
        )

    def _provenance(self, item: Item) -> Provenance:
        return Provenance(
            door="import",
            dataset="GSM8K",
            license="MIT",
            version=self.version,
            url=URL,
            record=f"{self.path.name}:{item.payload['line']}",
            generator=__name__,
        )


def _statements(question: str, solution: Solution, steps: Sequence[Step]) -> tuple[list[Step], bool]:
    """Lines that answer a sub-question of their own without a calculation, and whether any line's numbers are unknown.

    Such a line says a number of the question or repeats an earlier result; no later step can depend on it.
    """
    stated = stated_values(find_quantities(question))
    asked = {step.question for step in steps}
    kept: list[Step] = []
    untraced = bool(solution.passed_over)
    for step in solution.steps:
        if step.tree is None:
            repeats = [other for other in steps if other.value == step.value and other.line < step.line]
            if not repeats and step.value not in stated:
                untraced = True
            elif step.given and step.question.endswith("?") and step.question not in asked and len(repeats) <= 1:
                asked.add(step.question)
                kept.append(step)
    return kept, untraced


def _called(step: Step, ids: Mapping[Step, str], steps: Sequence[Step], tool: StepTool) -> SubQuestion:
    return SubQuestion(
        id=ids[step],
        question=step.question,
        answer=Answer(kind="number", value=plain_number(step.value)),
        depends_on=tuple(ids[steps[up]] for up in tool.depends_on),
        call=tool.call,
        result_path=tool.result_path,
    )


def _stated(step: Step, ids: Mapping[Step, str], steps: Sequence[Step]) -> SubQuestion:
    """A sub-question that needs no tool."""
    repeats = [ids[other] for other in steps if other.value == step.value and other.line < step.line]
    answer = Answer(kind="number", value=plain_number(step.value))
    return SubQuestion(id=ids[step], question=step.question, answer=answer, depends_on=tuple(repeats))


def _final_answer(last: Step) -> Answer:
    if last.money:
        return Answer(kind="money", value=plain_number(last.value), unit="USD")
    return Answer(kind="number", value=plain_number(last.value))


def _reject(item: Item, stage: str, reason: str) -> Rejected:
    return Rejected(id=item.id, stage=stage, reason=reason)
