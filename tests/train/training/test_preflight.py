"""Checks before the start that need no training library."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from astra_train.policies.fingerprint import fingerprint
from astra_train.training.job import TrainingJob
from astra_train.training.preflight import check_disk, check_model, check_run_folder, checkpoint_bytes
from astra_train.training.run_folder import RunFolder, write_json

CONFIG = {"architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3", "hidden_size": 8, "vocab_size": 9}


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(CONFIG))
    (folder / "tokenizer.json").write_text("{}")
    save_file({"w": np.zeros((1000, 100), np.float32)}, folder / "model.safetensors")
    return folder


def started(folder: Path, model: Path, recipe: str = "grpo") -> RunFolder:
    run = RunFolder(folder)
    described = {"path": str(model), "fingerprint": fingerprint(model)}
    write_json(run.description, {"recipe": recipe, "model": described})
    return run


def test_a_model_folder_is_found(model: Path):
    assert check_model(str(model)) == (model, [], [])


@pytest.mark.parametrize(
    ("gone", "message"),
    [
        ("model.safetensors", "no weights here"),
        ("tokenizer.json", "holds no tokenizer"),
        ("config.json", "config.json"),
    ],
)
def test_what_a_model_folder_lacks_is_named(model: Path, gone, message):
    (model / gone).unlink()
    found, problems, _ = check_model(str(model))
    assert found is None
    assert message in problems[0]


def test_a_checkpoint_given_as_a_model_points_to_export(tmp_path: Path):
    (tmp_path / "actor").mkdir()
    (tmp_path / "actor" / "fsdp_config.json").write_text("{}")
    assert "astra train export" in check_model(str(tmp_path))[1][0]


def test_without_a_model_or_run_a_job_is_refused():
    assert "--model" in check_model(None)[1][0]
    assert "--run" in check_run_folder(TrainingJob("grpo", "cpu"), None)[0]
    assert check_run_folder(TrainingJob("grpo", "cpu", dry_run=True), None) == []


def test_a_folder_with_a_run_needs_resume_and_one_without_must_not_have_it(tmp_path: Path, model: Path):
    empty, used = tmp_path / "empty", tmp_path / "used"
    started(used, model).write_status("stopped")
    assert check_run_folder(TrainingJob("grpo", "cpu", run=empty), model) == []
    assert check_run_folder(TrainingJob("grpo", "cpu", run=used, resume=True), model) == []
    assert "state: stopped" in check_run_folder(TrainingJob("grpo", "cpu", run=used), model)[0]
    assert "no run to resume" in check_run_folder(TrainingJob("grpo", "cpu", run=empty, resume=True), model)[0]


def test_another_recipe_or_another_model_does_not_go_on_with_a_run(tmp_path: Path, model: Path):
    run = started(tmp_path / "run", model).path
    assert "run of grpo, not of sft" in check_run_folder(TrainingJob("sft", "cpu", run=run, resume=True), model)[0]
    other = tmp_path / "other"
    shutil.copytree(model, other)
    save_file({"w": np.ones((1000, 100), np.float32)}, other / "model.safetensors")
    message = check_run_folder(TrainingJob("grpo", "cpu", run=run, resume=True), other)[0]
    assert "differs in weights" in message


def test_a_checkpoint_of_another_model_is_refused(tmp_path: Path, model: Path):
    run = started(tmp_path / "run", model)
    config = run.checkpoints / "global_step_3" / "actor" / "huggingface" / "config.json"
    write_json(config, {**CONFIG, "hidden_size": 16})
    message = check_run_folder(TrainingJob("grpo", "cpu", run=run.path, resume=True), model)[0]
    assert "checkpoint of another model" in message
    assert "hidden_size 16 instead of 8" in message


def settings(contents: list[str], keep: int | None = 2, lora: int = 0) -> dict[str, Any]:
    return {
        "actor_rollout_ref": {"actor": {"checkpoint": {"save_contents": contents}}, "model": {"lora_rank": lora}},
        "trainer": {"max_actor_ckpt_to_keep": keep, "save_freq": 10, "total_training_steps": 35},
    }


@pytest.mark.parametrize(
    ("contents", "recipe", "lora", "each"),
    [
        (["model", "optimizer", "extra"], "grpo", 0, 12),
        (["model", "optimizer", "extra", "hf_model"], "grpo", 0, 16),
        (["model", "optimizer", "extra"], "ppo", 0, 24),
        (["model", "optimizer", "extra"], "grpo", 8, 4),
    ],
)
def test_a_checkpoints_size_follows_from_what_it_holds(model: Path, contents, recipe, lora, each):
    size = checkpoint_bytes(model, settings(contents, lora=lora), recipe)
    assert size == pytest.approx(100_000 * each, rel=0.01)


@pytest.mark.parametrize(("keep", "kept"), [(2, 2), (None, 4)])
def test_a_disk_that_is_too_small_is_refused(tmp_path: Path, keep, kept):
    free = shutil.disk_usage(tmp_path).free
    problems, _ = check_disk(tmp_path / "run", free, settings([], keep), "grpo")
    assert f"{kept} checkpoints" in problems[0]
    assert check_disk(tmp_path / "run", 1, settings([], keep), "grpo") == ([], [])


def test_a_disk_that_is_nearly_too_small_is_noted(tmp_path: Path):
    free = shutil.disk_usage(tmp_path).free
    problems, notes = check_disk(tmp_path / "run", int(free * 0.45), settings([], 2), "grpo")
    assert problems == []
    assert "are free" in notes[0]


def test_checkpoints_that_are_there_count(tmp_path: Path):
    run = tmp_path / "run"
    there = run / "checkpoints" / "global_step_1" / "x"
    there.parent.mkdir(parents=True)
    there.write_bytes(b"0" * 5_000_000)
    assert check_disk(run, 2_000_000, settings([], 2), "grpo") == ([], [])
