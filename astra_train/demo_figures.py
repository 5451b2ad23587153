"""What the training demo shows: the stages side by side, and the learning curve in the terminal and as a picture."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from astra_gym.cli.output import console, print_table
from astra_gym.comparison import EvaluationReport
from astra_gym.summary import Summary

HELD_OUT_METRICS = {
    "F1": "val-aux/astra_gym/f1/mean@1",
    "solved": "val-aux/astra_gym/solve_rate/mean@1",
    "final answer right": "val-aux/astra_gym/final_answer_correct/mean@1",
}
"""What is drawn -> its name in verl's metrics."""
BARS = " ▁▂▃▄▅▆▇█"
Curve = Mapping[str, Mapping[int, float]]
"""Metric -> step -> value."""


def show_stages(report: EvaluationReport, how: str) -> None:
    """Each policy's means with intervals, and whether each stage beats the one before; `how` they were played."""
    rows = [
        [model.model, *(_with_interval(model.all, metric) for metric in ("f1", "solve_rate")), model.all.calls,
         model.all.final_answer_accuracy]
        for model in report.models
    ]  # fmt: skip
    title = f"{report.models[0].all.envs} held-out envs, {how} (95 % intervals)"
    print_table(title, ["policy", "F1", "solved", "calls", "final answer right"], rows)
    for difference in report.differences:
        if difference.metric in ("f1", "solve_rate"):
            verdict = "not clear" if not difference.clear else "clear" if difference.estimate > 0 else "worse, clear"
            console.print(f"{difference.second} over {difference.first}, {difference.metric}: {difference} ({verdict})")


def _with_interval(summary: Summary, metric: str) -> str:
    value = getattr(summary, metric)
    if value is None:
        return "-"
    low, high = summary.intervals.get(metric, (value, value))
    return f"{value:.3f} [{low:.2f}, {high:.2f}]"


def read_curve(metrics: Path) -> Curve:
    """The held-out metrics of a GRPO run by step, from its metrics.jsonl."""
    curve: dict[str, dict[int, float]] = {name: {} for name in HELD_OUT_METRICS}
    for line in metrics.read_text().splitlines():
        record = json.loads(line)
        data = record.get("data", record)
        for name, key in HELD_OUT_METRICS.items():
            if key in data:
                curve[name][int(record["step"])] = float(data[key])
    return curve


def show_curve(curve: Curve) -> None:
    """One line of bars a metric, from the first step to the last."""
    steps = sorted(next(iter(curve.values())))
    if not steps:
        return
    console.print(f"held-out envs during GRPO (sampled), steps {', '.join(map(str, steps))}:")
    for name, values in curve.items():
        bars = "".join(BARS[round(values[step] * (len(BARS) - 1))] for step in sorted(values))
        console.print(f"  {name:<20} {bars}  {values[steps[0]]:.3f} -> {values[steps[-1]]:.3f}")


def draw_curve(curve: Curve, report: EvaluationReport, path: Path) -> Path:
    """Write the stages (bars with intervals) and the curve of GRPO as one PNG; returns its path."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, (stages, steps) = plt.subplots(1, 2, figsize=(11, 4.2), layout="constrained")
    names = [model.model for model in report.models]
    for offset, (metric, label) in enumerate((("f1", "F1"), ("solve_rate", "solved"))):
        values = [getattr(model.all, metric) or 0.0 for model in report.models]
        spans = [model.all.intervals.get(metric, (v, v)) for model, v in zip(report.models, values, strict=True)]
        errors = [
            [value - low for value, (low, _) in zip(values, spans, strict=True)],
            [high - value for value, (_, high) in zip(values, spans, strict=True)],
        ]
        places = [place + 0.38 * offset - 0.19 for place in range(len(names))]
        stages.bar(places, values, width=0.36, yerr=errors, capsize=3, label=label)
    stages.set_xticks(range(len(names)), names, rotation=20, ha="right")
    stages.set_title("held-out envs by policy, sampled at temperature 1")
    for name, by_step in curve.items():
        steps.plot(sorted(by_step), [by_step[step] for step in sorted(by_step)], marker="o", label=name)
    steps.set_title("a part of them during GRPO, sampled")
    steps.set_xlabel("GRPO step")
    for axes in (stages, steps):
        axes.set_ylim(0, 1.02)
        axes.grid(alpha=0.3)
        axes.legend()
    figure.savefig(path, dpi=120)
    plt.close(figure)
    return path
