"""One measured figure with its yardstick and budget, how to take one, and how to show many."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable

from rich.console import Console
from rich.table import Table

from astra_gym.records import JSON, Record

_WIDTH_IN_A_FILE = 150


class Figure(Record):
    """`value` of `name` in `unit`, beside `yardstick_value` of `yardstick` measured in the same run."""

    name: str
    value: float
    unit: str
    yardstick: str | None = None
    yardstick_value: float | None = None
    """In the same unit as `value`."""
    budget: float | None = None
    """The bound of the architecture page, in `unit`."""
    budget_is_floor: bool = False
    """True where more is better (a rate), so that the budget is a floor."""

    @property
    def ratio(self) -> float | None:
        return self.value / self.yardstick_value if self.yardstick_value else None

    @property
    def met(self) -> bool | None:
        if self.budget is None:
            return None
        return self.value >= self.budget if self.budget_is_floor else self.value <= self.budget


def median_us(functions: dict[str, Callable[[], object]], *, rounds: int, calls: int) -> dict[str, float]:
    """Median time of one call of each function in microseconds, taken in interleaved rounds of `calls` calls."""
    samples: dict[str, list[float]] = {name: [] for name in functions}
    for function in functions.values():
        for _ in range(calls):
            function()
    for _ in range(rounds):
        for name, function in functions.items():
            start = time.perf_counter_ns()
            for _ in range(calls):
                function()
            samples[name].append((time.perf_counter_ns() - start) / calls / 1000)
    return {name: statistics.median(taken) for name, taken in samples.items()}


def show_figures(results: dict[str, JSON]) -> None:
    """Tables of a result of `run_benchmarks`."""
    console = Console(highlight=False, width=None if sys.stdout.isatty() else _WIDTH_IN_A_FILE)
    machine = results["machine"]
    console.print(f"Python {machine['python']}, {machine['system']}, {machine['cores']} cores")
    for section, rows in results["sections"].items():
        table = Table(title=section, title_justify="left", title_style="bold")
        for column in ("figure", "value", "unit", "yardstick", "its value", "ratio", "budget", ""):
            table.add_column(column, justify="right" if column in ("value", "its value", "ratio", "budget") else "left")
        for row in rows:
            table.add_row(*_cells(Figure.model_validate(row)))
        console.print(table)


def _cells(figure: Figure) -> list[str]:
    met = {True: "[green]met[/]", False: "[red]missed[/]", None: ""}[figure.met]
    budget = "" if figure.budget is None else f"{'≥' if figure.budget_is_floor else '≤'} {_short(figure.budget)}"
    return [
        figure.name,
        _short(figure.value),
        figure.unit,
        figure.yardstick or "",
        "" if figure.yardstick_value is None else _short(figure.yardstick_value),
        "" if figure.ratio is None else f"{figure.ratio:,.2f}",
        budget,
        met,
    ]


def _short(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:,.2f}"
