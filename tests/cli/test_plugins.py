"""Commands that other packages add to `astra`."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import EntryPoint

import pytest
import typer

from astra_gym.cli import plugins


def test_training_adds_its_commands_and_importing_any_of_them_first_is_fine() -> None:
    for module in ("astra_train.cli", "astra_train.data.cli", "astra_train.policies.cli", "astra_gym.cli"):
        done = subprocess.run([sys.executable, "-W", "error", "-c", f"import {module}"], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    shown = subprocess.run(
        [sys.executable, "-m", "astra_gym.cli", "--help"], capture_output=True, text=True, check=True
    )
    assert all(f" {name} " in shown.stdout for name in ("train", "data", "policy"))


def test_a_package_that_cannot_be_loaded_is_named_and_the_others_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [EntryPoint("broken", "no_such_module_here:app", plugins.GROUP), *plugins.entry_points(group=plugins.GROUP)]
    monkeypatch.setattr(plugins, "entry_points", lambda **_: found)
    app = typer.Typer()
    with pytest.warns(UserWarning, match="`astra broken` is not there: no_such_module_here:app fails"):
        plugins.add_to(app)
    assert [group.name for group in app.registered_groups] == ["data", "policy", "train"]


def test_adding_twice_changes_nothing() -> None:
    app = typer.Typer()
    plugins.add_to(app)
    plugins.add_to(app)
    assert [group.name for group in app.registered_groups] == ["data", "policy", "train"]
