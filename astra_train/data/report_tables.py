"""What `astra data` prints about the files that it wrote."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from astra_gym.cli.output import console, print_json, print_table
from astra_gym.records import JSON
from astra_train.data.oracle_data import StyleReport
from astra_train.data.rl import RlReport
from astra_train.data.sft import SftReport
from astra_train.data.split import Leak, Split


def sft_json(output: Path, written: SftReport, report: StyleReport, *, measured: bool) -> dict[str, JSON]:
    """What was written, for machines; lengths only where a tokenizer `measured` them."""
    unfit = sorted(report.unfit.items())
    return {
        "file": str(output),
        "rows": written.rows,
        "by_style": dict(sorted(written.by_style.items())),
        "by_hops": dict(sorted(written.by_hops.items())),
        "unfit": [{"style": style, "reason": reason, "draws": count} for (style, reason), count in unfit],
        "without": report.without,
        "rejected": [rejected.to_json() for rejected in report.rejected],
        "too_long": [{"env_id": env_id, "tokens": length} for env_id, length in written.too_long],
        "tokens": _lengths(written) if measured else None,
    }


def show_sft(output: Path, written: SftReport, report: StyleReport, *, measured: bool) -> None:
    """The same for people."""
    print_table(f"{written.rows} conversations", ["style", "rows"], sorted(written.by_style.items()))
    if report.unfit:
        unfit = [[style, reason, count] for (style, reason), count in sorted(report.unfit.items())]
        print_table("drawn but not fit; another style came instead", ["style", "reason", "draws"], unfit)
    for what, names in (
        ("envs no style fits", report.without),
        ("trajectories rejected", [f"{r.id} ({r.stage}): {r.reason}" for r in report.rejected]),
        ("rows dropped as too long", [f"{env_id} ({length})" for env_id, length in written.too_long]),
    ):
        if names:
            console.print(f"[yellow]{len(names)} {what}[/], the first: {names[0]}", soft_wrap=True)
    if measured:
        console.print("tokens: " + ", ".join(f"{name} {value}" for name, value in _lengths(written).items()))
    console.print(f"{output}: {written.rows} rows", soft_wrap=True)


def _lengths(written: SftReport) -> dict[str, int]:
    return {
        "median": written.length_at(0.5),
        "p95": written.length_at(0.95),
        "longest": written.length_at(1.0),
        "all": sum(written.lengths),
        "learned": written.learned,
    }


def show_rl(output: Path, split: Split, reports: Mapping[str, RlReport], leaks: Sequence[Leak], *, json: bool) -> None:
    """What became of the envs: on which side, by domain and hops, why dropped, what is shared."""
    sides = {"train": split.train, "validation": split.validation, "dropped": tuple(split.dropped)}
    counts = {
        side: Counter((split.contents[i].domain, split.contents[i].hops) for i in ids) for side, ids in sides.items()
    }
    groups = sorted({group for counter in counts.values() for group in counter})
    reasons = Counter(split.dropped.values())
    if json:
        print_json(
            {
                **{side: len(ids) for side, ids in sides.items()},
                "dropped_because": dict(sorted(reasons.items())),
                "common_texts": sorted(split.common),
                "groups": [
                    {"domain": domain, "hops": hops, **{side: counts[side][domain, hops] for side in sides}}
                    for domain, hops in groups
                ],
                "too_long": {part: report.too_long for part, report in reports.items()},
                "longest_prompt": max(report.longest_prompt for report in reports.values()),
                "leaks": [[leak.kind, leak.what, leak.train, leak.validation] for leak in leaks],
            }
        )
        return
    rows = [[domain, hops, *(counts[side][domain, hops] for side in sides)] for domain, hops in groups]
    rows.append(["all", "", *(len(ids) for ids in sides.values())])
    print_table("envs", ["domain", "hops", *sides], rows)
    if reasons:
        console.print("dropped: " + ", ".join(f"{reason} {count}" for reason, count in sorted(reasons.items())))
    console.print(f"{len(split.common)} texts were too common to hold out (continents, weekdays and the like)")
    for part, report in reports.items():
        long = f", {len(report.too_long)} dropped as too long" if report.too_long else ""
        longest = f", longest prompt {report.longest_prompt} tokens" if report.longest_prompt else ""
        console.print(f"{output / part}.parquet: {report.rows} rows{longest}{long}", soft_wrap=True)
    if leaks:
        print_table(
            f"{len(leaks)} leaks",
            ["kind", "what", "train", "validation"],
            [[k.kind, k.what, k.train, k.validation] for k in leaks[:20]],
        )
    else:
        console.print("leakage check: nothing is shared")
