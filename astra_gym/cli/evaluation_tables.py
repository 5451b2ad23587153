"""The tables of `astra eval`. F1 never stands alone: solve rate, calls and final answers are beside it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import groupby
from typing import TYPE_CHECKING

from astra_gym.cli.output import print_table
from astra_gym.comparison import Difference, EvaluationReport, ModelReport
from astra_gym.summary import Summary

if TYPE_CHECKING:
    from astra_gym.evaluation_plan import EvaluationPlan

GROUPS = {
    "domain": "by_domain",
    "scenario": "by_scenario_type",
    "hops": "by_hops",
    "distractors": "by_distractor_band",
}


def show_report(report: EvaluationReport, plan: EvaluationPlan) -> None:
    """The groups first, then all envs together, and at the end how the models differ."""
    for title, key in GROUPS.items():
        groups: dict[str, dict[str, Summary]] = {found.model: getattr(found, key) for found in report.models}
        names = list(dict.fromkeys(name for by_name in groups.values() for name in by_name))
        if key != "by_distractor_band" or names != ["none"]:
            _show_groups(title, _sorted(names), groups)
    samples = f"{plan.n_samples} episode{'s' if plan.n_samples > 1 else ''} each"
    _show_all(report.models, f"{plan.suite.path}: {len(plan.env_ids)} envs, {samples}")
    _show_details(report.models)
    if report.differences:
        _show_differences(report.differences)


def _sorted(names: Iterable[str]) -> list[str]:
    return sorted(names, key=lambda name: (not name.isdigit(), int(name) if name.isdigit() else 0, name))


def _show_groups(title: str, names: Iterable[str], groups: Mapping[str, Mapping[str, Summary]]) -> None:
    several = len(groups) > 1
    rows = []
    for name in names:
        for model, by_name in groups.items():
            if name in by_name:
                s = by_name[name]
                shown = [model] if several else []
                rows.append([name, *shown, s.episodes, s.f1, s.solve_rate, s.calls, s.final_answer_accuracy])
    columns = [title, *(["model"] if several else []), "episodes", "F1", "solved all", "calls", "final right"]
    print_table(f"by {title}" if several else f"{next(iter(groups))}, by {title}", columns, rows)


def _show_all(models: Iterable[ModelReport], title: str) -> None:
    models = list(models)
    failed = any(found.all.failed for found in models)
    rows: list[list[object]] = []
    for found in models:
        s = found.all
        rows.append([found.model, s.episodes, *([s.failed] if failed else []), _with_interval(s, "f1")])
        rows[-1] += [_with_interval(s, "solve_rate"), s.calls, _with_interval(s, "final_answer_accuracy")]
    columns = ["model", "episodes", *(["failed"] if failed else []), "F1", "solved all", "calls", "final right"]
    print_table(f"{title} [95 % interval]", columns, rows)


def _with_interval(summary: Summary, metric: str) -> str:
    value, interval = getattr(summary, metric), summary.intervals.get(metric)
    if value is None:
        return "-"
    return f"{value:.3f}" if interval is None else f"{value:.3f} [{interval[0]:.2f}, {interval[1]:.2f}]"


def _show_details(models: Iterable[ModelReport]) -> None:
    models = list(models)
    ks = sorted({k for found in models for k in found.all.pass_at})
    rows = []
    for found in models:
        s = found.all
        passed = [s.pass_at.get(k) for k in ks]
        rows.append([found.model, s.recall, s.precision, s.turns, s.invalid_calls, s.invalid_call_rate, *passed])
    columns = ["model", "recall", "precision", "turns", "invalid calls", "invalid rate", *(f"pass@{k}" for k in ks)]
    print_table("an episode; pass@k: the chance that one of k episodes solves all", columns, rows)


def _show_differences(differences: Iterable[Difference]) -> None:
    names = {"f1": "F1", "solve_rate": "solved all", "calls": "calls", "final_answer_accuracy": "final right"}
    rows = []
    for (first, second), group in groupby(differences, key=lambda d: (d.first, d.second)):
        pair = f"{second} minus {first}"
        for d in group:
            rows.append([pair, names.get(d.metric, d.metric), str(d), "yes" if d.clear else "no", d.envs])
            pair = ""
    columns = ["on the same envs", "", "difference [95 % interval]", "clear of 0", "envs"]
    print_table("differences, paired by env", columns, rows)
