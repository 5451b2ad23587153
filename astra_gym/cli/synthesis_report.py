"""What `astra synthesize envs` shows: one line of progress, the funnel by stage, the cost, and what is not done."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from rich.markup import escape

from astra_gym.cli.make_suites import as_json, show_report
from astra_gym.cli.output import Bar, console, errors, print_json, print_table
from astra_gym.records import JSON

if TYPE_CHECKING:
    from astra_gym.env_synthesis.llm.suite_files import LlmRunReport


def show_progress(bar: Bar, report: LlmRunReport) -> None:
    """One line while it runs: kept, rejected where most, what was asked and what it cost."""
    usage = report.usage
    stages = ", ".join(f"{stage} {count}" for stage, count in Counter(report.rejected_by_stage).most_common(3))
    rejected = f"{report.rejected} rejected" + (f" ({stages})" if stages else "")
    asked = f"{usage.calls} calls ({usage.cached_calls} cached), {usage.tokens:,} tokens, ${usage.spent_usd:.2f}"
    bar.at(report.kept + report.rejected, f"{report.kept} kept, {rejected}; {asked}")


def show_outcome(report: LlmRunReport, total: int, json: bool) -> None:
    """What came of it: the funnel by stage, the usual report, and what is not done."""
    if json:
        print_json(_as_json(report, total))
    else:
        rows = funnel(report)
        print_table("Funnel", ["stage", "in", "rejected", "out"], rows)
        show_report(report)
        usage = report.usage
        console.print(
            f"{usage.calls} calls, {usage.cached_calls} of them cached, {usage.prompt_tokens:,} + "
            f"{usage.completion_tokens:,} tokens, {usage.spent_usd:.4f} USD spent ({usage.usd:.4f} without the cache)"
        )
    if report.stopped:
        errors.print(f"[bold red]stopped:[/] {escape(report.stopped)}", soft_wrap=True)
    elif report.unanswered:
        errors.print(f"[yellow]the last failure:[/] {escape(report.last_failure)}", soft_wrap=True)
    if left := total - report.kept - report.rejected:
        errors.print(
            f"[yellow]{left} of {total} items are not done; what was finished is kept, the same command goes on[/]"
        )
    if not report.kept:
        errors.print("[yellow]nothing was kept[/]")


def funnel(report: LlmRunReport) -> list[list[JSON]]:
    """[stage, items that came to it, rejected there, left], for the stages that rejected something, in their order."""
    from astra_gym.env_synthesis.llm.pipeline import ANYWHERE, STAGES

    order = [*ANYWHERE, *STAGES]
    stages = [
        *(s for s in order if s in report.rejected_by_stage),
        *sorted(report.rejected_by_stage.keys() - set(order)),
    ]
    left = report.kept + report.rejected
    rows: list[list[JSON]] = []
    for stage in stages:
        lost = report.rejected_by_stage[stage]
        rows.append([stage, left, lost, left - lost])
        left -= lost
    return [*rows, ["certified", left, 0, report.kept]]


def _as_json(report: LlmRunReport, total: int) -> dict[str, JSON]:
    names = ("stage", "in", "rejected", "out")
    return {
        **as_json(report),
        "items": total,
        "unanswered": report.unanswered,
        "stopped": report.stopped or None,
        "funnel": [dict(zip(names, row, strict=True)) for row in funnel(report)],
        "usage": {**report.usage.as_json(), "spent_usd": report.usage.spent_usd},
    }
