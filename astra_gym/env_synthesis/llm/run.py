"""A run: many items through the stages, their outcomes into the journal, from there into a suite in item order.

What is journaled is done for good: a run that was killed, interrupted or left without an endpoint goes on with the
same command, and ends with the bytes of an undisturbed one. What only shows beside others (repeats, near-duplicates,
contamination, the percentile gate) is decided when the files are written, in item order, never in the order in which
items were done.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Literal

from astra_gym.env_synthesis.llm.items import LlmItem
from astra_gym.env_synthesis.llm.journal import SIDE_FILES, Journal
from astra_gym.env_synthesis.llm.local_engine import run_local
from astra_gym.env_synthesis.llm.outcomes import Outcome, Placed, Unanswered
from astra_gym.env_synthesis.llm.ray_engine import run_on_ray
from astra_gym.env_synthesis.llm.suite_files import LlmRunReport, write_files
from astra_gym.env_synthesis.llm.thresholds import Thresholds
from astra_gym.env_synthesis.llm.worker import Work
from astra_gym.env_synthesis.outputs import Outputs
from astra_gym.env_synthesis.screen import Contamination
from astra_gym.errors import PipelineError
from astra_gym.llm.errors import DeadEndpointError
from astra_gym.llm.prompts import own_templates
from astra_gym.llm.settings import Endpoint, ItemBudget, LlmSettings
from astra_gym.records import JSON, content_hash
from astra_gym.types import Rejected

Engine = Literal["local", "ray"]
Progress = Callable[[LlmRunReport], None]
CACHE_SUFFIX = ".replies.sqlite"
_FIRST_FLUSH = 50
_ASKING = frozenset({"base_url", "api_key_env", "send_seed"})
"""Of an endpoint, what does not decide what the model is."""
_PRICES = frozenset({"price_in", "price_out"})
"""They decide nothing unless there is a budget in money."""


@dataclass(frozen=True)
class RunPlan:
    """How a run is done. What decides its result is in `deciding`; the rest may be another when it goes on."""

    settings: LlmSettings
    thresholds: Thresholds = field(default_factory=Thresholds)
    percentile: float | None = None
    """Keep only what scores above this percentile of the run (90: the best tenth); None: all that is sound."""
    budget: ItemBudget = field(default_factory=ItemBudget)
    screen: Sequence[Path] = ()
    """Files that the suite must share no question with."""
    engine: Engine = "local"
    concurrency: int = 8
    actors: int | None = None
    """On Ray; default one a core."""
    cache: Path | None = None
    """Default: beside the suite."""

    def deciding(self) -> dict[str, JSON]:
        """Plain data: all that decides what an item becomes."""
        settings, priced = self.settings, self.budget.usd is not None
        return {
            "writer": _model(settings.writer, priced),
            "judges": [_model(judge, priced) for judge in settings.judges],
            "judge_samples": settings.judge_samples,
            "reasks": settings.reasks,
            "thresholds": self.thresholds.model_dump(mode="json"),
            "percentile": self.percentile,
            "budget": self.budget.model_dump(mode="json"),
            "screen": [hashlib.sha256(_read(path)).hexdigest() for path in self.screen],
            "prompts": content_hash(own_templates().all_hashes()),
        }


def _model(endpoint: Endpoint, priced: bool) -> JSON:
    return endpoint.model_dump(mode="json", exclude=set(_ASKING if priced else _ASKING | _PRICES))


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise PipelineError(f"{path}: cannot be screened against: {error.strerror}") from error


def run(
    items: Callable[[], Iterable[LlmItem | Rejected]],
    output: Path,
    plan: RunPlan,
    *,
    source: dict[str, JSON],
    limit: int | None = None,
    overwrite: bool = False,
    today: str | None = None,
    progress: Progress | None = None,
) -> LlmRunReport:
    """Turn items into the certified suite `output` (JSONL) and `<output stem>.rejected.jsonl`.

    Args:
        items: gives the items, the same in every run.
        source: what determines the items (input hashes, options); a resumed run must have the same.
        limit: take only the first so many items; a later run may take more.
        overwrite: start again although `output` holds something; replies in the cache are not asked for again.
        today: the day that provenance names when the run is begun now; default: today (UTC).

    Returns: the report. `unanswered` counts items that an endpoint left without an answer, which a later run asks
        again; `stopped` says why nothing more was asked.
    Raises: PipelineError when `output` is another's, or another process is at it. What was finished is in the files
        then, as after ctrl-C.
    """
    settings = {**source, **plan.deciding()}
    outputs = Outputs(output, more=SIDE_FILES)
    screen = Contamination(plan.screen)
    if not overwrite:
        outputs.claim(settings, show=True)
    with Journal(output, today or datetime.now(UTC).date().isoformat(), anew=overwrite) as journal:
        if overwrite:  # only now that the journal is locked: nothing of a run that is under way is removed
            outputs.claim(settings, overwrite=True, show=True)
        running = _Run(outputs, journal, screen, plan, progress)
        try:
            running.do(islice(items(), limit))
        except DeadEndpointError as error:
            running.report.stopped = str(error)
        finally:
            running.flush()
            if progress:
                progress(running.report)
    return running.report


class _Run:
    """One call of `run`."""

    def __init__(
        self, outputs: Outputs, journal: Journal, screen: Contamination, plan: RunPlan, progress: Progress | None
    ) -> None:
        self._outputs, self._journal, self._screen, self._plan = outputs, journal, screen, plan
        self._progress = progress
        self.report = LlmRunReport(outputs.suite, outputs.rejected)
        """As far as it is known: what was done since the last flush has not been compared with others yet."""
        for outcome in journal.outcomes():
            self.report.count(outcome)
        self.report.resumed = len(journal.done)
        self._next_flush = len(journal.done) + _FIRST_FLUSH

    def do(self, items: Iterator[LlmItem | Rejected]) -> None:
        """All items that are not in the journal yet."""
        plan = self._plan
        work = Work(
            settings=plan.settings,
            thresholds=plan.thresholds,
            budget=plan.budget,
            concurrency=plan.concurrency,
            cache=(plan.cache or self._outputs.suite.with_suffix(CACHE_SUFFIX)).absolute(),
            date=self._journal.date,
        )
        todo = self._todo(items)
        if plan.engine == "ray":
            run_on_ray(todo, work, self._done, actors=plan.actors)
        else:
            run_local(todo, work, self._done)

    def _todo(self, items: Iterator[LlmItem | Rejected]) -> Iterator[Placed]:
        """The items to do; what could not be read, or has the id of an earlier one, is done by that."""
        seen: set[str] = set()
        for position, item in enumerate(items):
            if item.id in seen:
                raise PipelineError(f"two items have the id {item.id!r}; ids tell the items of a run apart")
            seen.add(item.id)
            if item.id in self._journal.done:
                continue
            if isinstance(item, Rejected):
                self._done(Outcome(position, item.id, item))
            else:
                yield Placed(position, item)

    def _done(self, done: Outcome | Unanswered) -> None:
        if isinstance(done, Unanswered):
            self.report.unanswered += 1
            self.report.last_failure = f"{done.item_id}: {done.reason}"
            if done.dead:
                raise DeadEndpointError(done.reason)
        else:
            self._journal.put(done)
            self.report.count(done)
        if self._progress:
            self._progress(self.report)
        if len(self._journal.done) >= self._next_flush:
            self.flush()
            self._next_flush = len(self._journal.done) + max(_FIRST_FLUSH, len(self._journal.done) // 10)

    def flush(self) -> None:
        """Write the files from the journal, and count what is in them."""
        report = write_files(self._journal.outcomes, self._outputs, self._screen, self._plan.percentile)
        now = self.report
        report.resumed, report.stopped = now.resumed, now.stopped
        report.unanswered, report.last_failure = now.unanswered, now.last_failure
        self.report = report
