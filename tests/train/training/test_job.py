"""A job's data files."""

from __future__ import annotations

from pathlib import Path

import pytest

from astra_train.errors import TrainingError
from astra_train.training.job import TrainingJob, find_data


def job(*data: Path, recipe="grpo", validation=()) -> TrainingJob:
    return TrainingJob(recipe, "cpu", data=data, validation=tuple(validation))


@pytest.mark.parametrize(
    ("there", "recipe", "train", "validation"),
    [
        (["train.parquet", "validation.parquet"], "grpo", "train.parquet", ["validation.parquet"]),
        (["train.parquet", "test.parquet"], "grpo", "train.parquet", ["test.parquet"]),
        (["train.parquet"], "sft", "train.parquet", []),
        (["rl/train.parquet", "sft/train.parquet"], "sft", "sft/train.parquet", []),
        (["rl/train.parquet", "rl/val.parquet"], "ppo", "rl/train.parquet", ["rl/val.parquet"]),
        (["sft-train.parquet", "sft-validation.parquet"], "sft", "sft-train.parquet", ["sft-validation.parquet"]),
    ],
)
def test_a_folder_is_searched_for_both_files(tmp_path: Path, there, recipe, train, validation):
    for name in there:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = find_data(job(tmp_path, recipe=recipe))
    assert found.train == (tmp_path / train,)
    assert found.validation == tuple(tmp_path / name for name in validation)


def test_files_are_taken_as_they_are(tmp_path: Path):
    files = [tmp_path / name for name in ("a.parquet", "b.parquet", "held.parquet")]
    for file in files:
        file.touch()
    found = find_data(job(*files[:2], validation=files[2:]))
    assert (found.train, found.validation) == (tuple(files[:2]), tuple(files[2:]))


def test_files_given_win_over_those_of_the_folder(tmp_path: Path):
    for name in ("train.parquet", "validation.parquet", "mine.parquet"):
        (tmp_path / name).touch()
    found = find_data(job(tmp_path, validation=[tmp_path / "mine.parquet"]))
    assert found.validation == (tmp_path / "mine.parquet",)


def test_what_is_missing_is_named(tmp_path: Path):
    (tmp_path / "other.csv").touch()
    with pytest.raises(TrainingError, match=r"no rl training data.*the folder holds other\.csv"):
        find_data(job(tmp_path))
    with pytest.raises(TrainingError, match=r"gone\.parquet"):
        find_data(job(tmp_path / "gone.parquet"))


def test_the_run_folder_is_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    assert TrainingJob("sft", "cpu", run=Path("runs/one")).run == tmp_path / "runs" / "one"
