"""PPO through verl on this machine's CPU, and what every reinforcement learning run has to show.

SFT and GRPO run to their end in `training/test_resume.py`, where they are killed on the way as well.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from astra_gym.registration import SHIPPED
from astra_gym.suite import open_suite

pytestmark = pytest.mark.timeout(1800)


def test_one_step_of_ppo_is_exact_and_the_time_of_the_envs_is_logged(tiny_folder: Path, tmp_path: Path) -> None:
    from astra_train.data.rl import write_rl

    ids = [spec.id for spec in open_suite(SHIPPED)]
    write_rl(tmp_path / "train.parquet", None, ids[:12])
    write_rl(tmp_path / "validation.parquet", None, ids[12:16])
    run = tmp_path / "run"
    command = [sys.executable, "-m", "astra_gym.cli", "train", "ppo", "--preset", "cpu", "--model", str(tiny_folder)]
    command += ["--data", str(tmp_path / "train.parquet"), "--validation", str(tmp_path / "validation.parquet")]
    command += ["--run", str(run), "--steps", "1", "data.train_batch_size=8", "actor_rollout_ref.rollout.n=4"]
    command += ["data.max_response_length=128", "trainer.test_freq=1", "trainer.val_before_train=false"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "-m verl.trainer.main_ppo" in (run / "command.sh").read_text()
    steps = {r["step"]: r.get("data", r) for r in map(json.loads, (run / "metrics.jsonl").read_text().splitlines())}
    step = steps[1]
    assert step["training/rollout_probs_diff_max"] < 1e-4
    assert 0 < step["episode/env_time_share"] < 1  # how much is for a quiet machine to say
    assert step["episode/env_clock_share"] > 0
    assert step["episode/calls"] >= 0
    assert {"critic/vf_loss", "actor/pg_loss", "val-aux/astra_gym/solve_rate/mean@1"} <= step.keys()
    sampled = list((run / "rollouts").rglob("*.jsonl"))
    assert sampled
    assert "score" in sampled[0].read_text().splitlines()[0]
