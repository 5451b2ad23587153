"""What surrounds a run: what a resume recalls, what is shown, what the run's own process adds."""

from __future__ import annotations

from pathlib import Path

import pytest

from astra_train.training.command import Command, build_overrides, settings_of, value_of
from astra_train.training.job import DataFiles, TrainingJob
from astra_train.training.presets import load_preset
from astra_train.training.run import Prepared, installed_versions, recall
from astra_train.training.run_folder import RunFolder, write_json
from astra_train.training.table import settings_table

STARTED = {
    "recipe": "grpo",
    "preset": "gpu",
    "batch_filling": True,
    "overrides": ["data.seed=3", "trainer.save_freq=5"],
    "seed": 7,
    "steps": 40,
    "model": {"path": "/models/one"},
    "train_files": ["/data/train.parquet"],
    "validation_files": ["/data/validation.parquet"],
}


def prepared(job: TrainingJob, config: dict[str, object], unchanged: frozenset[str] = frozenset()) -> Prepared:
    overrides = tuple(build_overrides(job, settings_of(job), DataFiles((), ()), 1))
    command = Command(("python",), overrides, {})
    return Prepared(
        job, load_preset(job.recipe, job.preset), command, config, DataFiles((), ()), 1, None, 50, unchanged, ()
    )


def test_a_resumed_run_needs_no_more_than_its_folder(tmp_path: Path):
    write_json(RunFolder(tmp_path).description, STARTED)
    job = recall(TrainingJob("grpo", "", run=tmp_path, resume=True))
    assert (job.preset, job.model, job.seed, job.steps, job.batch_filling) == ("gpu", "/models/one", 7, 40, True)
    assert job.data == (Path("/data/train.parquet"),)
    assert job.validation == (Path("/data/validation.parquet"),)
    assert job.overrides == ("data.seed=3", "trainer.save_freq=5")


def test_what_is_said_on_resuming_wins(tmp_path: Path):
    write_json(RunFolder(tmp_path).description, STARTED)
    asked = TrainingJob("grpo", "cpu", run=tmp_path, resume=True, steps=90, overrides=("trainer.save_freq=9",))
    job = recall(asked)
    assert (job.preset, job.steps) == ("cpu", 90)
    assert job.overrides == ("data.seed=3", "trainer.save_freq=9")


def test_a_new_run_recalls_nothing(tmp_path: Path):
    write_json(RunFolder(tmp_path).description, STARTED)
    assert recall(TrainingJob("grpo", "", run=tmp_path)).preset == "cpu"


def test_the_table_gives_reasons_and_leaves_out_what_verl_has_anyway():
    job = TrainingJob("grpo", "cpu", overrides=("data.train_batch_size=4", "actor_rollout_ref.rollout.top_p=1.0"))
    config = {"data": {"train_batch_size": 4}, "trainer": {"device": "cpu"}}
    unchanged = frozenset({"actor_rollout_ref.rollout.top_p", "actor_rollout_ref.rollout.top_k"})
    rows = {str(row[0]): row[1:] for row in settings_table(prepared(job, config, unchanged))}
    assert rows["data.train_batch_size"] == ["4", "yours; the preset has 16"]
    assert "actor_rollout_ref.rollout.top_p" in rows
    assert "actor_rollout_ref.rollout.top_k" not in rows
    assert "VERL_PLATFORM" in str(rows["trainer.device"][1])


@pytest.mark.parametrize(
    ("trainer", "total"),
    [
        ({"total_training_steps": 30, "total_epochs": 9}, 30),
        ({"total_training_steps": None, "total_epochs": 2}, 2 * (50 // 16)),
    ],
)
def test_the_number_of_steps_is_known_before_the_run(trainer, total):
    config = {"trainer": trainer, "data": {"train_batch_size": 16}}
    assert prepared(TrainingJob("sft", "cpu"), config).total_steps == total


@pytest.mark.parametrize(
    ("recipe", "keys"),
    [
        ("sft", ["trainer.seed", "engine.seed"]),
        ("grpo", ["data.seed", "actor_rollout_ref.rollout.seed", "actor_rollout_ref.actor.fsdp_config.seed"]),
        ("ppo", ["data.seed", "critic.fsdp.seed"]),
    ],
)
def test_a_seed_reaches_everything_that_draws(recipe, keys):
    job = TrainingJob(recipe, "cpu", seed=5)
    overrides = build_overrides(job, settings_of(job), DataFiles((), ()), 1)
    assert [value_of(overrides, key, "") for key in keys] == ["5"] * len(keys)


def test_steps_are_not_cut_short_by_epochs():
    job = TrainingJob("sft", "cpu", steps=500)
    overrides = build_overrides(job, settings_of(job), DataFiles((), ()), 1)
    assert value_of(overrides, "trainer.total_training_steps", "") == "500"
    assert int(value_of(overrides, "trainer.total_epochs", "0")) >= 100_000


def test_without_held_out_rows_nothing_is_validated(tmp_path: Path):
    files = DataFiles((tmp_path / "train.parquet",), ())
    job = TrainingJob("grpo", "cpu", model="/m", run=tmp_path)
    overrides = build_overrides(job, settings_of(job), files, 1)
    assert value_of(overrides, "trainer.val_before_train", "") == "false"
    assert value_of(overrides, "trainer.test_freq", "") == "-1"


def test_each_attempt_logs_into_a_file_of_its_own(tmp_path: Path):
    job = TrainingJob("grpo", "cpu", run=tmp_path)
    first, second = (build_overrides(job, settings_of(job), DataFiles((), ()), number) for number in (1, 2))
    key = "ray_kwargs.ray_init.runtime_env.env_vars.VERL_FILE_LOGGER_PATH"
    assert value_of(first, key, "") != value_of(second, key, "")


def test_versions_name_what_a_run_depends_on():
    assert {"python", "astra-gym", "verl", "torch", "transformers", "ray"} <= installed_versions().keys()


def test_the_script_sets_the_environment_and_quotes(tmp_path: Path):
    command = Command(("python", "-m", "x"), ("a='b c'",), {"B": "1", "A": "two words"})
    lines = command.script().splitlines()
    assert lines[:3] == ["#!/bin/sh", "export A='two words'", "export B=1"]
    assert lines[-1].strip() == """'a='"'"'b c'"'"''"""
    assert not (tmp_path / "script").exists()
