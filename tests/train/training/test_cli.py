"""`astra train`: what it refuses before anything starts, and what a dry run shows."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from astra_gym.registration import SHIPPED
from astra_gym.suite import open_suite
from astra_train.chat_tokens import ChatTokens


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


@pytest.fixture(scope="module")
def rl_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """RL rows of shipped envs, split by content."""
    from astra_train.data.rl import write_rl
    from astra_train.data.split import split_by_content

    folder = tmp_path_factory.mktemp("rl")
    split = split_by_content(list(open_suite(SHIPPED)), validation=0.2, seed=0)
    for part, ids in (("train", split.train), ("validation", split.validation)):
        write_rl(folder / f"{part}.parquet", None, ids)
    return folder


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


def test_a_dry_run_shows_the_settings_with_their_reasons(tiny_folder: Path, rl_data: Path, tmp_path: Path):
    run = tmp_path / "run"
    done = astra_train(
        "grpo",
        "--model",
        tiny_folder,
        "--data",
        rl_data,
        "--run",
        run,
        "--dry-run",
        "--steps",
        4,
        "data.train_batch_size=8",
    )
    assert done.returncode == 0, done.stderr
    assert "fsdp2" in done.stdout
    assert "yours; the preset has 16" in done.stdout
    assert "python -m verl.trainer.main_ppo" in done.stdout
    assert "rows measured: the longest has" in done.stdout
    assert not run.exists()


def test_all_problems_are_told_at_once(tiny_folder: Path, tmp_path: Path):
    model = tmp_path / "model"
    model.mkdir()
    (model / "config.json").write_text('{"architectures": ["Qwen3ForCausalLM"]}')
    done = astra_train(
        "grpo", "--model", model, "--data", tmp_path / "gone", "--run", tmp_path / "run", "data.trian_batch_size=3"
    )
    assert done.returncode == 2
    for part in ("holds no weights", "holds no tokenizer", "no such data file", "data.train_batch_size", "4 problems"):
        assert part in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "run").exists()


def test_a_prompt_over_the_limit_is_refused(tiny_folder: Path, rl_data: Path, tmp_path: Path):
    from transformers import AutoTokenizer

    spec = next(iter(open_suite(SHIPPED)))
    chat = ChatTokens(AutoTokenizer.from_pretrained(tiny_folder))
    prompt = len(chat.initial([{"role": "user", "content": spec.question}], spec.tool_schemas))
    assert prompt > 20
    done = astra_train(
        "grpo", "--model", tiny_folder, "--data", rl_data, "--run", tmp_path / "run", "data.max_prompt_length=20"
    )
    assert done.returncode == 2
    assert "rows are longer than data.max_prompt_length=20" in done.stderr


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda tokenizer: tokenizer.pop("chat_template", None), "no chat template"),
    ],
)
def test_a_tokenizer_that_cannot_carry_tools_is_refused(
    tiny_folder: Path, rl_data: Path, tmp_path: Path, damage, message
):
    import shutil

    model = tmp_path / "model"
    shutil.copytree(tiny_folder, model)
    (model / "chat_template.jinja").unlink(missing_ok=True)
    content = json.loads((model / "tokenizer_config.json").read_text())
    damage(content)
    (model / "tokenizer_config.json").write_text(json.dumps(content))
    done = astra_train("grpo", "--model", model, "--data", rl_data, "--run", tmp_path / "run", "--dry-run")
    assert done.returncode == 2
    assert message in done.stderr


def test_a_row_whose_env_is_not_registered_is_refused(tiny_folder: Path, rl_data: Path, tmp_path: Path):
    import pyarrow as pa
    import pyarrow.parquet as parquet

    table = parquet.read_table(rl_data / "train.parquet")
    rows = table.to_pylist()
    rows[1]["extra_info"]["env_id"] = "astra/nothing-v0"
    changed = tmp_path / "train.parquet"
    parquet.write_table(pa.Table.from_pylist(rows, table.schema), changed)
    done = astra_train("grpo", "--model", tiny_folder, "--data", changed, "--run", tmp_path / "run", "--dry-run")
    assert done.returncode == 2
    assert "row 2: no env 'astra/nothing-v0'" in done.stderr


def test_training_on_what_is_measured_is_refused(tiny_folder: Path, rl_data: Path, tmp_path: Path):
    files = ["--data", rl_data / "train.parquet", "--validation", rl_data / "train.parquet"]
    done = astra_train("grpo", "--model", tiny_folder, *files, "--run", tmp_path / "run", "--dry-run")
    assert done.returncode == 2
    assert "train.parquet" in done.stderr


def test_an_unknown_preset_is_bad_usage():
    done = astra_train("grpo", "--preset", "cloud", "--dry-run")
    assert done.returncode == 2
    assert "cpu, gpu" in done.stderr


def test_export_of_what_is_no_run_says_so(tmp_path: Path):
    done = astra_train("export", tmp_path)
    assert done.returncode == 1
    assert "a run folder?" in done.stderr
