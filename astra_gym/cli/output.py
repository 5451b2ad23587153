"""What commands print: tables, or one JSON document with `--json`, on standard output; errors on standard error."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import NoReturn

import orjson
from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from astra_gym.records import JSON

_WIDTH_IN_A_FILE = 120
console = Console(highlight=False, emoji=False, width=None if sys.stdout.isatty() else _WIDTH_IN_A_FILE)
errors = Console(stderr=True, highlight=False, emoji=False)


def fail(message: str, *, exit_code: int) -> NoReturn:
    """Print `message` as an error and leave with `exit_code`."""
    errors.print(f"[bold red]error:[/] {escape(message)}", soft_wrap=True)
    sys.exit(exit_code)


def print_json(value: JSON) -> None:
    """One JSON document on standard output."""
    sys.stdout.write(orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS).decode() + "\n")


def print_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """A table; a column whose cells are all numbers is set to the right."""
    body = [list(row) for row in rows]
    table = Table(title=title, title_justify="left", title_style="bold", header_style="bold")
    for i, column in enumerate(columns):
        numeric = all(isinstance(row[i], int | float | None) for row in body) and bool(body)
        table.add_column(column, justify="right" if numeric else "left", overflow="fold")
    for row in body:
        table.add_row(*(_cell(cell) for cell in row))
    console.print(table)


def _cell(value: object) -> str:
    if value is None:
        return "-"
    return escape(f"{value:.3f}" if isinstance(value, float) else str(value))


class Bar:
    """Progress of one long command, on standard error."""

    def __init__(self, progress: Progress, label: str, total: int | None) -> None:
        self._progress = progress
        self._task = progress.add_task(label, total=total, note="")

    def at(self, completed: int, note: str = "") -> None:
        self._progress.update(self._task, completed=completed, note=note)

    def stop(self) -> None:
        """Leave the bar as it is: what is printed from now on comes below it."""
        self._progress.stop()


@contextmanager
def progress_bar(label: str, total: int | None, *, quiet: bool = False) -> Iterator[Bar]:
    """A bar with counts, a note, elapsed and remaining time; silent when `quiet` or when nobody looks at a terminal."""
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[note]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=errors, disable=quiet or not errors.is_terminal) as progress:
        yield Bar(progress, label, total)
