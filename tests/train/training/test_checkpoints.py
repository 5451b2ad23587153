"""Checkpoints: which are whole, and what a resumed run finds."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest

from astra_train.errors import TrainingError
from astra_train.training.checkpoints import (
    TRACKER,
    checkpoints,
    find_checkpoint,
    missing_parts,
    prepare_resume,
    whole_checkpoints,
)

LOADER = {"sft": "data_0.pt", "grpo": "data.pt", "ppo": "data.pt"}
ROLES = {"sft": [""], "grpo": ["actor"], "ppo": ["actor", "critic"]}


def archive(path: Path) -> None:
    """What `torch.save` writes is a zip archive."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("data.pkl", b"0" * 1000)


def checkpoint(folder: Path, step: int, recipe: str = "grpo", ranks: int = 1) -> Path:
    """A checkpoint as verl lays it out."""
    path = folder / f"global_step_{step}"
    for role in ROLES[recipe]:
        for rank in range(ranks):
            for part in ("model", "optim", "extra_state"):
                archive(path / role / f"{part}_world_size_{ranks}_rank_{rank}.pt")
        (path / role / "fsdp_config.json").write_text(json.dumps({"FSDP_version": 2, "world_size": ranks}))
    archive(path / LOADER[recipe])
    return path


@pytest.mark.parametrize("recipe", ["sft", "grpo", "ppo"])
def test_a_finished_checkpoint_is_whole(tmp_path: Path, recipe):
    checkpoint(tmp_path, 2, recipe, ranks=2)
    (found,) = checkpoints(tmp_path)
    assert (found.step, missing_parts(found, recipe)) == (2, [])


@pytest.mark.parametrize(
    ("damage", "missing"),
    [
        (lambda path: (path / "actor/optim_world_size_1_rank_0.pt").unlink(), "actor/optim_world_size_1_rank_0.pt"),
        (lambda path: (path / "actor/fsdp_config.json").unlink(), "actor/fsdp_config.json"),
        (lambda path: (path / "actor/fsdp_config.json").write_text("{"), "actor/fsdp_config.json"),
        (lambda path: (path / "data.pt").unlink(), "data.pt"),
        (
            lambda path: (path / "actor/model_world_size_1_rank_0.pt").write_bytes(
                (path / "actor/model_world_size_1_rank_0.pt").read_bytes()[:-40]
            ),
            "actor/model_world_size_1_rank_0.pt",
        ),
    ],
)
def test_what_a_kill_leaves_is_not_whole(tmp_path: Path, damage, missing):
    damage(checkpoint(tmp_path, 4))
    (found,) = checkpoints(tmp_path)
    assert missing_parts(found, "grpo") == [missing]


def test_ppo_needs_the_critic_too(tmp_path: Path):
    checkpoint(tmp_path, 1, "grpo")
    (found,) = checkpoints(tmp_path)
    assert missing_parts(found, "grpo") == []
    assert missing_parts(found, "ppo") == ["critic/fsdp_config.json"]


@pytest.mark.parametrize("tracker", ["6", "", None, "4"])
def test_a_run_goes_on_from_the_last_whole_checkpoint(tmp_path: Path, tracker):
    for step in (2, 4, 6):
        checkpoint(tmp_path, step)
    (tmp_path / "global_step_6" / "data.pt").unlink()
    if tracker is not None:
        (tmp_path / TRACKER).write_text(tracker)
    found = prepare_resume(tmp_path, "grpo")
    assert found is not None
    assert found.step == 4
    assert (tmp_path / TRACKER).read_text() == "4"
    assert [c.step for c in checkpoints(tmp_path)] == [2, 4]


def test_checkpoints_that_the_former_process_would_have_removed_are_removed(tmp_path: Path):
    for step in (2, 4, 6):
        checkpoint(tmp_path, step)
    prepare_resume(tmp_path, "grpo", keep=2)
    assert [c.step for c in checkpoints(tmp_path)] == [4, 6]


def test_without_a_whole_checkpoint_a_run_starts_again(tmp_path: Path):
    (checkpoint(tmp_path, 2) / "data.pt").unlink()
    (tmp_path / TRACKER).write_text("2")
    assert prepare_resume(tmp_path, "grpo") is None
    assert list(tmp_path.iterdir()) == []
    assert prepare_resume(tmp_path / "none", "grpo") is None


def test_what_is_no_step_is_left_alone(tmp_path: Path):
    (tmp_path / "notes").mkdir()
    (tmp_path / "global_step_x").mkdir()
    checkpoint(tmp_path, 10)
    checkpoint(tmp_path, 9)
    assert [c.step for c in whole_checkpoints(tmp_path, "grpo")] == [9, 10]
    prepare_resume(tmp_path, "grpo", keep=1)
    assert (tmp_path / "notes").is_dir()


def test_a_step_that_is_not_there_is_refused_with_those_that_are(tmp_path: Path):
    with pytest.raises(TrainingError, match="no whole checkpoint"):
        find_checkpoint(tmp_path, "grpo", None)
    checkpoint(tmp_path, 3)
    assert find_checkpoint(tmp_path, "grpo", None).step == 3
    assert find_checkpoint(tmp_path, "grpo", 3).model_folder("grpo").name == "actor"
    with pytest.raises(TrainingError, match=r"step 5; there are \[3\]"):
        find_checkpoint(tmp_path, "grpo", 5)
