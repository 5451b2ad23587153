"""Pass-rate picking inside verl's data loader: see `verl_data.py`, which runs in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("ray")
HERE = Path(__file__).parent
pytestmark = pytest.mark.timeout(900)  # importing verl takes its time on a busy machine


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("data")
    env = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HOME": str(folder), "PYTHONPATH": str(HERE.parents[2])}
    command = [sys.executable, HERE / "verl_data.py", folder]
    done = subprocess.run(command, capture_output=True, text=True, env=env, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.strip().splitlines()[-1])


def test_the_loader_hands_out_train_envs_over_several_epochs(loaded):
    assert len(loaded["early"]) == 23
    assert {env_id[0] for batch in loaded["early"] for env_id in batch} == {"t"}


def test_a_batch_holds_no_env_twice(loaded):
    assert all(len(set(batch)) == len(batch) for batch in loaded["early"])


def test_a_resumed_run_picks_exactly_what_the_run_that_went_on_picks(loaded):
    assert loaded["resumed"] == loaded["went_on"]


def test_envs_with_signal_are_picked_more_often(loaded):
    assert loaded["good_share"] > 0.3, "a tenth of the envs has signal"


def test_validation_is_read_in_order(loaded):
    assert loaded["validation"] == [[f"v{i}" for i in range(8)]]


def test_the_estimates_are_in_the_metrics(loaded):
    assert loaded["seen_share"] == 1.0


@pytest.mark.parametrize(
    ("place", "message"),
    [(0, "are the same"), (1, "row 0 has no extra_info.env_id"), (2, "no outcome was reported")],
)
def test_what_would_pick_blindly_is_refused(loaded, place, message):
    assert loaded["errors"][place].startswith("FillingConfigError: ")
    assert message in loaded["errors"][place]
