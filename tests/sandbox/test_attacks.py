"""Every attack of the lists ends as a refusal or a result, within its budget, and leaves nothing behind.

Up to three runs an attack: in process under two hash seeds and time zones, and in the worker. The outcomes must be the
same bytes in all of them, unless the clock ended one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.sandbox.attack_harness import ROOT, Report, run_attacks
from tests.sandbox.attacks import OWN, records

pytestmark = pytest.mark.timeout(1200)  # a batch on a busy machine; each attack has its own limit in the harness
BATCH = 400
RUNS = (("inprocess", 0), ("worker", 0), ("inprocess", 4242))
HEAVY = frozenset({"cpu", "crash", "memory"})
"""Categories that cost time and do not look at hash order: without the third run."""


def batches(paths: Iterable[Path]) -> Iterator[Any]:
    """The attacks of the lists by category, in batches: starting the processes takes longer than most attacks."""
    by_category: dict[str, list[dict[str, Any]]] = {}
    for path in paths:
        for record in records(path):
            by_category.setdefault(record["category"], []).append(record)
    for category, found in sorted(by_category.items()):
        for start in range(0, len(found), BATCH):
            yield pytest.param(found[start : start + BATCH], id=f"{category}-{start // BATCH}")


def differences(reports: list[Report]) -> list[str]:
    """Where the runs of one attack disagree."""
    if any(report.timed_out or report.breaches for report in reports):
        return []
    seen = {(report.refused, str(report.outcomes)) for report in reports}
    return [f"differs from run to run: {sorted(map(str, seen))}"] if len(seen) > 1 else []


def check(attacks: list[dict[str, Any]]) -> None:
    """Play the attacks in all runs and show everything that is wrong with any of them."""
    chosen = RUNS[:2] if {attack["category"] for attack in attacks} <= HEAVY else RUNS
    with ThreadPoolExecutor(2) as pool:
        runs = list(pool.map(lambda run: run_attacks(attacks, *run), chosen))
    problems = []
    for attack in attacks:
        reports = [run[attack["id"]] for run in runs]
        found = differences(reports)
        for (isolation, seed), report in zip(chosen, reports, strict=True):
            found += [f"{isolation}, hash seed {seed}: {finding[:500]}" for finding in report.findings()]
        problems += [f"{attack['id']} ({attack['name'][:80]}) {finding}" for finding in found]
    assert not problems, "\n".join(problems)


@pytest.mark.parametrize("attacks", list(batches(OWN)))
def test_attack_is_contained(attacks: list[dict[str, Any]]) -> None:
    check(attacks)


OTHER_LISTS = sorted(ROOT.parent.glob("*/reference/sandbox/attacks.jsonl"))


@pytest.mark.skipif(not OTHER_LISTS, reason="no further list of attacks beside the repository")
def test_attacks_of_other_lists_are_contained() -> None:
    for path in OTHER_LISTS:
        check(list(records(path)))
