"""verl's own classes accept every preset and refuse what is wrong, on a machine without a GPU.

verl is imported once, in a process of its own: it warns while it is imported.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from astra_train.training.command import build_overrides, settings_of
from astra_train.training.job import DataFiles, TrainingJob
from astra_train.training.presets import RECIPES, preset_names

PRESETS = [(recipe, name) for recipe in RECIPES for name in preset_names(recipe)]
WRONG = {
    "misspelt": (["actor_rollout_ref.actor.optm.lr=3"], "actor_rollout_ref.actor.optim.lr"),
    "unknown field": (["+actor_rollout_ref.actor.optim.lrr=3"], "FSDPOptimizerConfig has no 'lrr'; the nearest are lr"),
    "not an override": (["data.train_batch_size=3="], "data.train_batch_size=3="),
    "no number": (["data.train_batch_size=abc"], "data.train_batch_size='abc' is no number; verl's default is 1024"),
    "no such mode": (["actor_rollout_ref.actor.loss_agg_mode=foo"], "Invalid loss_agg_mode: foo"),
    "a group of one": (["actor_rollout_ref.rollout.n=1"], "a group of one has no advantage"),
    "batches that do not divide": (["actor_rollout_ref.actor.ppo_mini_batch_size=7"], "not a multiple of 7"),
    "no room": (["actor_rollout_ref.rollout.max_model_len=100"], "room for 100 tokens, but one sequence may have 3072"),
    "unknown filling option": (["+trainer.v1.sampler.sampler_kwargs.delt=1"], "unknown delt"),
    "no such class": (["data.custom_cls.path=pkg://astra_train.nothing", "data.custom_cls.name=X"], "data.custom_cls"),
    "saving that cannot be resumed": (["actor_rollout_ref.actor.checkpoint.async_save=true"], "async_save"),
}
PROGRAM = """
import json, sys
from astra_train.training.validator import Request, check
found = {}
for name, request in json.load(open(sys.argv[1])).items():
    report = check(Request(**request))
    found[name] = {"problems": report.problems, "notes": report.notes, "composed": report.config is not None}
json.dump(found, open(sys.argv[2], "w"))
"""


def request(recipe: str, preset: str, *overrides: str, filling: bool | None = None) -> dict[str, object]:
    job = TrainingJob(recipe, preset, dry_run=True, steps=3, seed=1, batch_filling=filling, overrides=overrides)
    lines = build_overrides(job, settings_of(job), DataFiles((), ()), 1)
    return {
        "recipe": recipe,
        "overrides": lines,
        "model": None,
        "train": [],
        "validation": [],
        "agent_loop": "",
        "dry_run": True,
    }


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, list[str]]]:
    folder = tmp_path_factory.mktemp("reports")
    requests = {f"{recipe} {name}": request(recipe, name) for recipe, name in PRESETS}
    requests |= {name: request("grpo", "cpu", *overrides) for name, (overrides, _) in WRONG.items()}
    requests["filling on cpu"] = request("grpo", "cpu", filling=True)
    requests["no filling in paper"] = request("grpo", "paper", filling=False)
    (folder / "in.json").write_text(json.dumps(requests))
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(folder / "in.json"), str(folder / "out.json")],
        env={**os.environ, "VERL_PLATFORM": "cpu"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return dict(json.loads((folder / "out.json").read_text()))


@pytest.mark.parametrize("name", [f"{recipe} {name}" for recipe, name in PRESETS])
def test_every_preset_is_accepted_by_verls_classes(reports, name):
    assert reports[name]["problems"] == []


@pytest.mark.parametrize("name", ["filling on cpu", "no filling in paper"])
def test_batch_filling_can_be_switched_in_every_preset(reports, name):
    assert reports[name]["problems"] == []


@pytest.mark.parametrize("name", list(WRONG))
def test_what_is_wrong_is_named(reports, name):
    assert reports[name]["problems"]
    assert WRONG[name][1] in " ".join(reports[name]["problems"])


def test_a_preset_for_gpus_says_that_there_is_none(reports):
    import torch

    if torch.accelerator.is_available():
        pytest.skip("this machine has a GPU")
    assert any("no GPU" in note for note in reports["grpo gpu"]["notes"])
    assert not any("GPU" in note for note in reports["grpo cpu"]["notes"])


def test_the_command_is_verls_own(tmp_path: Path):
    from astra_train.training.command import build_command

    job = TrainingJob("grpo", "cpu", run=tmp_path / "run")
    command = build_command(job, ["trainer.device=cpu"], 1, 1, 1)
    assert command.argv == [sys.executable, "-m", "verl.trainer.main_ppo", "trainer.device=cpu"]
    assert command.environment["VERL_PLATFORM"] == "cpu"
    assert command.shown() == "python -m verl.trainer.main_ppo trainer.device=cpu"
    sft = build_command(TrainingJob("sft", "cpu"), ["trainer.device=cuda"], 1, 1, 8)
    assert sft.shown().startswith("torchrun --standalone --nnodes=1 --nproc_per_node=8 -m verl.trainer.sft_trainer")
    assert "VERL_PLATFORM" not in sft.environment
