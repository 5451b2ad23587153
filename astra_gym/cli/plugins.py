"""Commands that other packages add to `astra`, through the entry point group `astra_gym.commands`."""

from __future__ import annotations

import warnings
from importlib.metadata import entry_points

import typer

GROUP = "astra_gym.commands"


def add_to(app: typer.Typer) -> None:
    """Add each of them by its entry point's name; one that cannot be loaded is left out with a warning."""
    there = {group.name for group in app.registered_groups}
    for entry in sorted(entry_points(group=GROUP), key=lambda entry: entry.name):
        if entry.name in there:
            continue
        try:
            app.add_typer(entry.load(), name=entry.name)
        except Exception as error:  # noqa: BLE001 - somebody else's package must not take the whole command down
            warnings.warn(f"`astra {entry.name}` is not there: {entry.value} fails: {error}", stacklevel=2)
