"""No attack reaches file, network, process, interpreter state or another episode, and none outlives its budget."""

from __future__ import annotations

from typing import Any

import pytest

from tests.sandbox.attack_lists import Child, own_attacks, reference_attacks

pytestmark = pytest.mark.timeout(1200)  # a portion on a busy machine; each attack has its own limit
OWN = own_attacks()
CATEGORIES = sorted({attack["category"] for attack in OWN})
REFERENCE = reference_attacks()
SLICES = 3


def _portions() -> list[Any]:
    """Own attacks by category, large categories in slices."""
    portions = []
    for category in CATEGORIES:
        attacks = [attack for attack in OWN if attack["category"] == category]
        pieces = SLICES if len(attacks) > 100 else 1
        portions += [pytest.param(attacks[i::pieces], id=f"{category}-{i}") for i in range(pieces)]
    return portions


def _problems(attacks: list[dict[str, Any]], reports: dict[str, dict[str, Any]]) -> dict[str, str]:
    """What is wrong with each attack's report."""
    problems = {}
    for attack in attacks:
        report = reports[attack["id"]]
        if "failed" in report:
            problems[attack["id"]] = report["failed"]
        elif report["touched"] or report["changed"]:
            problems[attack["id"]] = f"touched {report['touched']}, changed {report['changed']}"
        elif any("PWN" in str(outcome) for outcome in report["outcomes"]):
            problems[attack["id"]] = f"reached: {report['outcomes']}"
        elif len({repr(outcome) for outcome in report["outcomes"]}) > 1 and not _timed_out(report):
            problems[attack["id"]] = f"episodes differ: {report['outcomes']}"
        elif any(outcome[0] in ("internal_error", "tool_crashed") for outcome in report["outcomes"]):
            problems[attack["id"]] = f"not contained: {report['outcomes']}"
    return problems


def _timed_out(report: dict[str, Any]) -> bool:
    return any(outcome[0] == "tool_timeout" for outcome in report["outcomes"])


def _differences(first: dict[str, dict[str, Any]], second: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Attacks whose outcome is not the same in two runs (a stop by the clock may fall differently)."""
    return {
        name: (first[name].get("outcomes"), second[name].get("outcomes"))
        for name in first
        if "outcomes" in first[name] and "outcomes" in second[name]
        if not (_timed_out(first[name]) or _timed_out(second[name]))
        if _comparable(first[name]) != _comparable(second[name])
    }


def _comparable(report: dict[str, Any]) -> list[list[Any]]:
    """The outcomes, with what depends on the interpreter's own recursion limit left out.

    Generators inside each other are only stopped by that one, which is not the same in a worker.
    """
    return [
        [code, "" if code == "limit_exceeded" and str(text).startswith(("recursion", "fuel")) else text]
        for code, text in report["outcomes"]
    ]


def _check(attacks: list[dict[str, Any]]) -> None:
    """Two runs in process with different hash seeds and time zones, one in workers: harmless each, and all alike."""
    runs = [Child("inprocess", 0).run(attacks), Child("inprocess", 1).run(attacks), Child("worker", 1).run(attacks)]
    assert [_problems(attacks, run) for run in runs] == [{}, {}, {}]
    assert [_differences(runs[0], run) for run in runs[1:]] == [{}, {}]


@pytest.mark.parametrize("attacks", _portions())
def test_own_attacks_come_to_nothing_in_process_and_in_a_worker(attacks: list[dict[str, Any]]) -> None:
    _check(attacks)


@pytest.mark.skipif(not REFERENCE, reason="no reference attack list lies beside this repository")
def test_reference_attacks_come_to_nothing_in_process_and_in_a_worker() -> None:
    _check(REFERENCE)


def test_the_own_list_is_large_and_its_names_are_unique() -> None:
    names = [attack["id"] for attack in OWN]
    assert len(names) == len(set(names)) >= 150
