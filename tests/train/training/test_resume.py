"""Runs through verl, killed without warning, and resumed: right step, right optimizer state, no lost run.

These are the real thing (torchrun, Ray, verl) on a tiny policy; minutes, not seconds.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from astra_gym.registration import SHIPPED
from astra_gym.suite import open_suite
from astra_train.training.checkpoints import TRACKER, checkpoints
from astra_train.training.progress import read_metrics
from astra_train.training.run_folder import RunFolder

pytestmark = pytest.mark.timeout(1800)
PATIENCE_S = 900
SFT = ("--preset", "cpu", "trainer.save_freq=2", "data.train_batch_size=4", "data.micro_batch_size_per_gpu=4")
GRPO = (
    "--preset",
    "cpu",
    "trainer.save_freq=1",
    "trainer.test_freq=-1",
    "trainer.val_before_train=false",
    "data.train_batch_size=4",
    "actor_rollout_ref.rollout.n=2",
    "data.max_response_length=96",
)


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "astra_train.cli", *map(str, arguments)]


def environment() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1"}


def astra_train(*arguments: object) -> None:
    done = subprocess.run(command(*arguments), env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]


def killed_after_checkpoint(run: RunFolder, step: int, *arguments: object) -> None:
    """Start a run and kill every process of it, at once and without warning, when a checkpoint is there."""
    process = subprocess.Popen(
        command(*arguments), env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    tracker = run.checkpoints / TRACKER
    until = time.monotonic() + PATIENCE_S
    while not (tracker.is_file() and tracker.read_text().strip().isdigit() and int(tracker.read_text()) >= step):
        assert process.poll() is None, run.log.read_text()[-3000:] if run.log.is_file() else "ended before it began"
        assert time.monotonic() < until, "no checkpoint came"
        time.sleep(0.1)
    family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
    for member in family:
        with contextlib.suppress(psutil.Error):
            member.kill()
    process.wait()
    psutil.wait_procs(family, timeout=60)


def optimizer_steps(run: RunFolder, step: int, below: str) -> set[int]:
    """How often Adam has stepped, for every parameter of a checkpoint."""
    import torch

    path = run.checkpoints / f"global_step_{step}" / below / "optim_world_size_1_rank_0.pt"
    state = torch.load(path, weights_only=False)["state"]
    assert state
    return {int(entry["step"]) for entry in state.values()}


def weights(folder: Path) -> dict[str, Any]:
    from safetensors.numpy import load_file

    return dict(load_file(folder / "model.safetensors"))


@pytest.fixture(scope="module")
def sft_data(tmp_path_factory: pytest.TempPathFactory) -> list[object]:
    from astra_train.data.oracle_data import oracle_trajectories
    from astra_train.data.sft import write_sft

    folder = tmp_path_factory.mktemp("sft")
    played = list(oracle_trajectories(list(open_suite(SHIPPED))[:24], ["sequential"]))
    write_sft(folder / "train.parquet", played)
    return ["--data", folder / "train.parquet"]


@pytest.fixture(scope="module")
def rl_data(tmp_path_factory: pytest.TempPathFactory) -> list[object]:
    from astra_train.data.rl import write_rl

    folder = tmp_path_factory.mktemp("rl")
    write_rl(folder / "train.parquet", None, [spec.id for spec in open_suite(SHIPPED)][:16])
    return ["--data", folder / "train.parquet"]


def test_a_killed_sft_run_ends_with_the_weights_of_one_that_was_not(
    tiny_folder: Path, sft_data: list[object], tmp_path: Path
):
    start = ["sft", "--model", tiny_folder, *sft_data, "--steps", 6, *SFT]
    straight, killed = RunFolder(tmp_path / "straight"), RunFolder(tmp_path / "killed")
    astra_train(*start, "--run", straight.path)
    killed_after_checkpoint(killed, 2, *start, "--run", killed.path)
    last = checkpoints(killed.checkpoints)[-1].step
    half = killed.checkpoints / f"global_step_{last + 2}"
    half.mkdir()
    (half / "model_world_size_1_rank_0.pt").write_bytes(b"half a file")
    (killed.checkpoints / TRACKER).write_text("")
    astra_train("sft", "--run", killed.path, "--resume")
    assert killed.describe()["starts"][-1]["resumed_from"] in (2, 4)
    assert [line["step"] for line in read_metrics(killed.metrics) if "train/loss" in line] == [1, 2, 3, 4, 5, 6]
    assert optimizer_steps(killed, 6, "") == {6}
    assert json.loads(killed.status.read_text())["state"] == "finished"
    for run in (straight, killed):
        astra_train("export", run.path, "-o", run.path / "model")
    one, two = weights(straight.path / "model"), weights(killed.path / "model")
    assert one.keys() == two.keys()
    assert all((one[name] == two[name]).all() for name in one)
    assert any((one[name] != weights(tiny_folder)[name]).any() for name in one)


@pytest.mark.parametrize("recipe", ["grpo"])
def test_a_killed_run_of_rl_goes_on_with_step_and_optimizer(
    tiny_folder: Path, rl_data: list[object], tmp_path: Path, recipe
):
    run = RunFolder(tmp_path / "run")
    start = [recipe, "--model", tiny_folder, *rl_data, "--run", run.path, "--steps", 3, *GRPO]
    killed_after_checkpoint(run, 1, *start)
    before = [c.step for c in checkpoints(run.checkpoints)]
    astra_train(recipe, "--run", run.path, "--resume")
    assert 1 <= run.describe()["starts"][-1]["resumed_from"] <= max(before)
    steps = [line["step"] for line in read_metrics(run.metrics) if "training/global_step" in line]
    assert steps == sorted(set(steps))
    assert steps[-1] == 3
    assert optimizer_steps(run, 3, "actor") == {3}
    assert "verl.trainer.main_ppo" in run.command.read_text()
    for line in read_metrics(run.metrics):
        assert {
            "episode/f1",
            "episode/solve_rate",
            "episode/calls",
            "episode/env_time_share",
            "episode/env_clock_share",
        } <= line.keys()
    astra_train("export", run.path)
    assert (run.path / "export" / "step_3" / "model.safetensors").is_file()
