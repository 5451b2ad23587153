"""The files of a run, written from its journal: each appears whole, in the order of the source.

Here an item is seen beside the others for the first time: repeats, near-duplicates and questions of screened files are
rejected, the first of equals stays.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from astra_gym.env_synthesis.llm.outcomes import Outcome, result_bytes
from astra_gym.env_synthesis.llm.thresholds import gated, overall, percentile_gate
from astra_gym.env_synthesis.outputs import Outputs, appearing_whole
from astra_gym.env_synthesis.repeats import Repeats
from astra_gym.env_synthesis.report import RunReport
from astra_gym.env_synthesis.screen import Contamination, NearDuplicates
from astra_gym.llm.usage import Usage
from astra_gym.types import Rejected, ToolEnvSpec, Verdict


@dataclass
class LlmRunReport(RunReport):
    """The counts of a run, and what it asked."""

    usage: Usage = field(default_factory=Usage)
    """Of all items that are done."""
    unanswered: int = 0
    """Items that an endpoint left without an answer in this run; they are in no file."""
    last_failure: str = ""
    """What the endpoint did then."""
    stopped: str = ""
    """Why the run ended before its items did: an endpoint was given up."""

    def count(self, outcome: Outcome) -> None:
        """Count what an item became, and what it cost."""
        self.usage += outcome.usage
        if isinstance(outcome.result, ToolEnvSpec):
            self.keep(outcome.result)
        else:
            self.reject(outcome.result)


def write_files(
    outcomes: Callable[[], Iterable[Outcome]],
    outputs: Outputs,
    screen: Contamination,
    percentile: float | None = None,
) -> LlmRunReport:
    """Write the suite and the rejected items.

    Args:
        outcomes: gives the outcomes in the order of the source, as often as it is asked.
        percentile: keep only envs whose mean score is above this percentile of the run; None keeps all.
    """
    report = LlmRunReport(outputs.suite, outputs.rejected)
    best = None if percentile is None else _best(outcomes(), screen, percentile)
    with appearing_whole(outputs.rejected) as rejected, appearing_whole(outputs.suite) as kept:
        for outcome, result in _beside_others(outcomes(), screen):
            report.usage += outcome.usage
            if isinstance(result, ToolEnvSpec) and best is not None and percentile is not None:
                result = best.gate(outcome.item_id, result, percentile)
            if isinstance(result, ToolEnvSpec):
                report.keep(result)
                kept.write(result_bytes(result) + b"\n")
            else:
                report.reject(result)
                rejected.write(result_bytes(result) + b"\n")
    return report


def _beside_others(
    outcomes: Iterable[Outcome], screen: Contamination
) -> Iterator[tuple[Outcome, ToolEnvSpec | Rejected]]:
    """Each outcome with what it is beside those before it."""
    repeats, near = Repeats(), NearDuplicates()
    for outcome in outcomes:
        spec, item_id = outcome.result, outcome.item_id
        if isinstance(spec, Rejected):
            yield outcome, spec.model_copy(update={"id": item_id})
            continue
        found = repeats.against(spec, item_id) or near.against(spec, item_id) or screen.against(spec, item_id)
        if found is None:
            repeats.add(spec)
            near.add(spec.id, spec.question)
        yield outcome, found or spec


@dataclass(frozen=True)
class _Best:
    """The best of a run by their mean scores."""

    scores: dict[str, float]
    ids: frozenset[str]

    def gate(self, item_id: str, spec: ToolEnvSpec, percentile: float) -> ToolEnvSpec | Rejected:
        return spec if item_id in self.ids else gated(item_id, self.scores[item_id], percentile)


def _best(outcomes: Iterable[Outcome], screen: Contamination, percentile: float) -> _Best:
    scores = {
        outcome.item_id: _score(result)
        for outcome, result in _beside_others(outcomes, screen)
        if isinstance(result, ToolEnvSpec)
    }
    return _Best(scores, percentile_gate(scores, percentile))


def _score(spec: ToolEnvSpec) -> float:
    """The mean of the judges' four scores, as the env's provenance tells them; 0 where it does not."""
    verdicts = [Verdict.model_validate(verdict) for verdict in spec.provenance.details.get("verdicts", [])]
    score = overall(verdicts)
    return 0.0 if score is None else score
