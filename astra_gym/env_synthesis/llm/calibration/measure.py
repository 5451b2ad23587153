"""Judges asked about a labelled set, and what came of it: precision and recall of each check.

A check finds a flaw when its verdict is a fail. Unknown is counted apart: it never passes in the corridor, but it is no
finding either. Each broken draft is put to the one check that must find its flaw, each sound one to all that are
measured.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace

from astra_gym.env_synthesis.llm.agreement import Agreement, agreement_by_check
from astra_gym.env_synthesis.llm.calibration.breaking import FLAWS
from astra_gym.env_synthesis.llm.calibration.labelled import Labelled
from astra_gym.env_synthesis.llm.final_answer import check_final_answer
from astra_gym.env_synthesis.llm.judging import Judges
from astra_gym.env_synthesis.llm.necessity import judge_necessity
from astra_gym.env_synthesis.llm.scores import (
    judge_atomicity,
    judge_completeness,
    judge_dependency,
    judge_serialisation,
)
from astra_gym.env_synthesis.llm.thresholds import Thresholds
from astra_gym.llm.together import together
from astra_gym.records import Record
from astra_gym.types import Verdict

JudgeOf = Callable[[Labelled], Judges]
Progress = Callable[[int], None]
CHECKS: tuple[str, ...] = tuple(check for check, _ in FLAWS.values())


class Counts(Record):
    """Verdicts on drafts of one label."""

    passed: int = 0
    failed: int = 0
    unknown: int = 0

    @property
    def total(self) -> int:
        return self.passed + self.failed + self.unknown


class CheckMeasure(Record):
    """How one check did."""

    check: str
    sound: Counts
    broken: Counts
    agreement: Agreement

    @property
    def precision(self) -> float | None:
        """Of the drafts that it failed, the share that is broken; None when it failed none."""
        failed = self.broken.failed + self.sound.failed
        return self.broken.failed / failed if failed else None

    @property
    def recall(self) -> float | None:
        """Of the broken drafts, the share that it failed."""
        return self.broken.failed / self.broken.total if self.broken.total else None

    @property
    def kept(self) -> float | None:
        """Of the sound drafts, the share that it passed."""
        return self.sound.passed / self.sound.total if self.sound.total else None


class Miss(Record):
    """A verdict that is not what the label says."""

    id: str
    check: str
    flaw: str | None
    verdict: Verdict


class CalibrationReport(Record):
    """All checks, and where they went wrong."""

    checks: tuple[CheckMeasure, ...]
    misses: tuple[Miss, ...]


async def measure(
    labelled: Sequence[Labelled],
    judge_of: JudgeOf,
    *,
    checks: Collection[str] = CHECKS,
    thresholds: Thresholds | None = None,
    at_once: int = 8,
    progress: Progress | None = None,
) -> CalibrationReport:
    """Ask the judges about every draft of `labelled`.

    Args:
        judge_of: whoever judges a draft; asked once for each draft, so that each has a session of its own.
        checks: measure these of `CHECKS` only; drafts broken for another are passed over.
        at_once: drafts judged at the same time.
        progress: called with the number of drafts done.

    Raises: EndpointError when judges cannot be reached: what is not measured is no measure.
    """
    minima, places, done = thresholds or Thresholds(), asyncio.Semaphore(at_once), Counter[str]()
    asked = [one for one in labelled if one.check is None or one.check in checks]

    async def judged(one: Labelled) -> list[Verdict]:
        async with places:
            verdicts = await _verdicts(one, judge_of(one), minima, checks)
        done["drafts"] += 1
        if progress is not None:
            progress(done["drafts"])
        return verdicts

    results = await together(judged(one) for one in asked)
    found = [(one, verdict) for one, verdicts in zip(asked, results, strict=True) for verdict in verdicts]
    return _report(found, [check for check in CHECKS if check in checks])


async def _verdicts(one: Labelled, judges: Judges, minima: Thresholds, checks: Collection[str]) -> list[Verdict]:
    """The verdict of the check that must find the flaw; of all of `checks` on a sound draft."""
    drafted = one.drafted
    wanted = checks if one.check is None else (one.check,)
    verdicts = []
    if "necessity" in wanted:
        verdicts.append((await judge_necessity(drafted, judges)).verdict)
    for check, judge in _SCORES.items():
        if check in wanted:
            verdicts.append(await judge(drafted, judges, minima))
    if "final_answer" in wanted:
        # Without its program, so that it is the entailment judge that is measured.
        verdicts.append(await check_final_answer(replace(drafted, answer_from=""), judges))
    return verdicts


_SCORES = {
    "dependency": judge_dependency,
    "atomicity": judge_atomicity,
    "serialisation": judge_serialisation,
    "completeness": judge_completeness,
}


def _report(found: Sequence[tuple[Labelled, Verdict]], checks: Iterable[str]) -> CalibrationReport:
    agreed = agreement_by_check(verdict for _, verdict in found)
    nobody = Agreement(units=0, judges=0, observed=None, kappa=None)
    measures = [
        CheckMeasure(
            check=check,
            sound=_counts(v for one, v in found if v.check == check and one.flaw is None),
            broken=_counts(v for one, v in found if v.check == check and one.flaw is not None),
            agreement=agreed.get(check, nobody),
        )
        for check in checks
    ]
    misses = [
        Miss(id=one.truth.id, check=verdict.check, flaw=one.flaw, verdict=verdict)
        for one, verdict in found
        if verdict.status != ("pass" if one.flaw is None else "fail")
    ]
    return CalibrationReport(checks=tuple(measures), misses=tuple(misses))


def _counts(verdicts: Iterable[Verdict]) -> Counts:
    count = Counter(verdict.status for verdict in verdicts)
    return Counts(passed=count["pass"], failed=count["fail"], unknown=count["unknown"])
