"""An episode, for people."""

from __future__ import annotations

from collections.abc import Sequence

import orjson
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from astra_gym.cli.output import console
from astra_gym.tool_calls import parse_turn
from astra_gym.types import ToolCall, ToolEnvSpec, Trajectory

Played = Sequence[tuple[ToolEnvSpec, Trajectory]]
_LONGEST = 1000


def show_trajectory(trajectory: Trajectory, *, skip_question: bool = False) -> None:
    """The question, each call with its result and what it earned, and the counts at the end."""
    console.rule(
        f"[bold]{escape(trajectory.env_id)}[/] seed {trajectory.seed}, played by {trajectory.model}", align="left"
    )
    if not skip_question:
        _say("question", str(trajectory.messages[0]["content"] or ""), "bold")
    results = iter([m for m in trajectory.messages if m["role"] == "tool"])
    for action, reward in zip(trajectory.actions, trajectory.rewards, strict=True):
        turn = parse_turn(action)
        for call in turn.calls:
            if isinstance(call, ToolCall):
                arguments = ", ".join(f"{key}={orjson.dumps(value).decode()}" for key, value in call.arguments.items())
                _say("call", f"{call.name}({arguments})", "cyan")
            else:
                _say("call", call.text, "red")
            message = next(results, None)
            if message is not None:
                _say("result", str(message["content"]), "green")
        if not turn.calls:
            _say("answer", turn.content, "bold magenta")
        console.print(f"{'reward':>9}  {reward:+.3f}", style="dim")
    counts = trajectory.breakdown
    console.print(
        f"{'F1':>9}  [bold]{counts.f1:.3f}[/]  recall {counts.recall:.3f}, precision {counts.precision:.3f}: "
        f"{counts.solved} of {counts.needed} sub-questions solved with {counts.calls} calls"
        + (f"; dependencies {_edges(trajectory)}" if trajectory.edges else ""),
        soft_wrap=True,
    )
    if trajectory.final_answer_correct is not None:
        console.print(f"{'final':>9}  {'correct' if trajectory.final_answer_correct else 'not correct'}")
    if trajectory.stop_reason not in ("final_answer", "solved"):
        console.print(f"{'stopped':>9}  {trajectory.stop_reason} {trajectory.metadata.get('error', '')}")


def _say(who: str, text: str, style: str) -> None:
    shown = text if len(text) <= _LONGEST else text[:_LONGEST] + f"… ({len(text):,} characters)"
    line = Table.grid(padding=(0, 2))
    line.add_column(width=9, justify="right", style="dim")
    line.add_column(overflow="fold", style=style)
    line.add_row(who, Text(shown))
    console.print(line)


def _edges(trajectory: Trajectory) -> str:
    counts: dict[str, int] = {}
    for status in trajectory.edges.values():
        counts[status] = counts.get(status, 0) + 1
    return ", ".join(f"{count} {status}" for status, count in sorted(counts.items()))
