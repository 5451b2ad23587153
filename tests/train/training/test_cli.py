"""`astra train`: what it refuses before anything starts, and what a dry run shows."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.timeout(900)


def astra_train(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "astra_train.cli", *map(str, arguments)]
    return subprocess.run(
        command,
        env={**os.environ, "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )


def test_importing_the_command_pulls_in_nothing_heavy():
    code = (
        "import sys, astra_train.cli, astra_train.training.preflight;"
        "print([m for m in ('torch', 'verl', 'ray', 'transformers', 'hydra', 'pyarrow') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_dry_run_of_the_papers_preset_needs_no_model_no_data_and_no_gpu():
    done = astra_train("grpo", "--preset", "paper", "--dry-run", "--json")
    assert done.returncode == 0, done.stderr
    shown = json.loads(done.stdout)
    assert shown["config"]["data"]["max_response_length"] == 49152
    assert shown["config"]["actor_rollout_ref"]["actor"]["ppo_mini_batch_size"] == 256
    assert shown["command"][1:3] == ["-m", "verl.trainer.main_ppo"]
    assert shown["total_steps"] == 140
    assert any("not on this machine" in note for note in shown["notes"])


def test_all_problems_are_told_at_once(tmp_path: Path):
    model = tmp_path / "model"
    model.mkdir()
    (model / "config.json").write_text('{"architectures": ["Qwen3ForCausalLM"]}')
    done = astra_train(
        "grpo", "--model", model, "--data", tmp_path / "gone", "--run", tmp_path / "run", "data.trian_batch_size=3"
    )
    assert done.returncode == 2
    for part in ("no weights here", "holds no tokenizer", "no such data file", "data.train_batch_size", "4 problems"):
        assert part in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "run").exists()


def test_an_unknown_preset_is_bad_usage():
    done = astra_train("grpo", "--preset", "cloud", "--dry-run")
    assert done.returncode == 2
    assert "cpu, gpu" in done.stderr


def test_export_of_what_is_no_run_says_so(tmp_path: Path):
    done = astra_train("export", tmp_path)
    assert done.returncode == 1
    assert "a run folder?" in done.stderr
