"""verl's own classes accept every preset and refuse what is wrong, on a machine without a GPU.

verl is imported once, in a process of its own: it warns while it is imported.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as parquet
import pytest

from astra_gym.registration import SHIPPED
from astra_gym.suite import open_suite
from astra_train.training.command import AGENT_LOOP, build_overrides, settings_of
from astra_train.training.job import DataFiles, TrainingJob
from astra_train.training.presets import RECIPES, preset_names

pytestmark = pytest.mark.timeout(900)
PRESETS = [(recipe, name) for recipe in RECIPES for name in preset_names(recipe)]
RULES = (
    "actor_rollout_ref.rollout.n=1",
    "actor_rollout_ref.actor.ppo_mini_batch_size=7",
    "actor_rollout_ref.rollout.max_model_len=100",
    "actor_rollout_ref.actor.checkpoint.async_save=true",
)
CLASSES = (
    "+actor_rollout_ref.actor.optim.lrr=3",
    "+trainer.v1.sampler.sampler_kwargs.delt=1",
    "data.custom_cls.path=pkg://astra_train.nothing",
    "data.custom_cls.name=X",
)
REQUESTS = {
    "misspelt": ("actor_rollout_ref.actor.optm.lr=3",),
    "not an override": ("data.train_batch_size=3=",),
    "no number": ("data.train_batch_size=abc",),
    "no such mode": ("actor_rollout_ref.actor.loss_agg_mode=foo",),
    "rules": RULES,
    "uneven": ("data.train_batch_size=5", "actor_rollout_ref.rollout.n=3"),
    "classes": CLASSES,
}
WRONG = [
    ("misspelt", "actor_rollout_ref.actor.optim.lr"),
    ("not an override", "data.train_batch_size=3="),
    ("no number", "data.train_batch_size='abc' is no number; verl's default is 1024"),
    ("no such mode", "Invalid loss_agg_mode: foo"),
    ("rules", "a group of one has no advantage"),
    ("rules", "data.train_batch_size=16 is not a multiple of 7"),
    ("rules", "room for 100 tokens, but one sequence may have 3072"),
    ("rules", "async_save=true"),
    ("uneven", "15 episodes a step on 1 devices do not divide into micro-batches of 8"),
    ("classes", "FSDPOptimizerConfig has no 'lrr'; the nearest are lr"),
    ("classes", "unknown delt"),
    ("classes", "data.custom_cls"),
]
DATA = [
    ("fine", None),
    ("too long", "rows are longer than data.max_prompt_length=20"),
    ("too few", "fewer than one batch: data.train_batch_size=4096"),
    ("no context", "type yarn"),
    ("no template", "no chat template"),
    ("no such env", "row 2: no env 'astra/nothing-v0'"),
    ("leaking", "train.parquet"),
]
PROGRAM = """
import json, sys
from astra_train.training.validator import Request, check
found = {}
for name, request in json.load(open(sys.argv[1])).items():
    report = check(Request(**request))
    found[name] = {"problems": report.problems, "notes": report.notes, "composed": report.config is not None}

from astra_train.filling.groups import Group, Rollout
from astra_train.filling.outcomes import listener_metrics, report
from astra_train.training.driver import EpisodeMetrics

made = EpisodeMetrics(config={})
for name, f1 in (("a", 1.0), ("b", 0.0)):
    metrics = {"f1": f1, "calls": 2.0, "env_s": 0.1, "episode_s": 8.0, "note": "text", "lost": float("nan")}
    report(Group(name, "astra/x-v0", 0, 0, 0, (Rollout((name,), f1, metrics=metrics),)))
found["episodes"] = [listener_metrics(10.0), listener_metrics(10.0)]
json.dump(found, open(sys.argv[2], "w"))
"""


def request(
    recipe: str,
    preset: str,
    *overrides: str,
    filling: bool | None = None,
    model: Path | None = None,
    train: Path | None = None,
    validation: Path | None = None,
) -> dict[str, Any]:
    job = TrainingJob(
        recipe,
        preset,
        model=None if model is None else str(model),
        dry_run=True,
        steps=3,
        seed=1,
        batch_filling=filling,
        overrides=overrides,
    )
    return {
        "recipe": recipe,
        "overrides": build_overrides(job, settings_of(job), DataFiles((), ()), 1),
        "model": None if model is None else str(model),
        "train": [] if train is None else [str(train)],
        "validation": [] if validation is None else [str(validation)],
        "agent_loop": str(AGENT_LOOP),
        "dry_run": True,
    }


def data_requests(model: Path, folder: Path) -> dict[str, dict[str, Any]]:
    """Jobs on real rows: one that is in order, and one with each thing that can be wrong."""
    from astra_train.data.content import content_of
    from astra_train.data.rl import write_rl
    from astra_train.data.split import split_contents

    split = split_contents([content_of(spec) for spec in open_suite(SHIPPED)])
    train, held_out = folder / "train.parquet", folder / "validation.parquet"
    for path, ids in ((train, split.train), (held_out, split.validation)):
        write_rl(path, None, ids, notes={"common": sorted(split.common)})
    table = parquet.read_table(train)
    rows = table.to_pylist()
    rows[1]["extra_info"]["env_id"] = "astra/nothing-v0"
    parquet.write_table(pa.Table.from_pylist(rows, table.schema), folder / "changed.parquet")
    mute = folder / "mute"
    shutil.copytree(model, mute)
    (mute / "chat_template.jinja").unlink()
    files: dict[str, Any] = {"train": train, "validation": held_out}
    return {
        "fine": request("grpo", "cpu", model=model, **files),
        "too long": request("grpo", "cpu", "data.max_prompt_length=20", model=model, **files),
        "too few": request("grpo", "cpu", "data.train_batch_size=4096", model=model, **files),
        "no context": request("grpo", "cpu", "data.max_response_length=99000", model=model, **files),
        "no template": request("grpo", "cpu", model=mute, **files),
        "no such env": request("grpo", "cpu", model=model, train=folder / "changed.parquet"),
        "leaking": request("grpo", "cpu", model=model, train=train, validation=train),
    }


@pytest.fixture(scope="module")
def reports(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("reports")
    requests = {f"{recipe} {name}": request(recipe, name) for recipe, name in PRESETS}
    requests |= {name: request("grpo", "cpu", *overrides) for name, overrides in REQUESTS.items()}
    requests["filling on cpu"] = request("grpo", "cpu", filling=True)
    requests["no filling in paper"] = request("grpo", "paper", filling=False)
    requests |= data_requests(tiny_folder, folder)
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


@pytest.mark.parametrize(("name", "message"), WRONG)
def test_what_is_wrong_is_named(reports, name, message):
    assert message in " ".join(reports[name]["problems"])


@pytest.mark.parametrize(("name", "message"), DATA)
def test_model_and_data_are_checked_together_with_the_settings(reports, name, message):
    problems = reports[name]["problems"]
    assert (problems == []) if message is None else (message in " ".join(problems))


def test_a_steps_episodes_are_averaged_once(reports):
    first, second = reports["episodes"]
    share, clock = first.pop("episode/env_time_share"), first.pop("episode/env_clock_share")
    assert first == {"episode/f1": 0.5, "episode/calls": 2.0, "episode/env_s": 0.1, "episode/episode_s": 8.0}
    assert share == pytest.approx(0.2 / 16)
    assert clock == pytest.approx(0.2 / 10)
    assert second == {}


def test_prompts_are_measured(reports):
    assert any("rows measured: the longest has" in note for note in reports["fine"]["notes"])


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


def test_sft_on_several_machines_is_one_script_for_all(monkeypatch: pytest.MonkeyPatch):
    from astra_train.training.command import build_command

    monkeypatch.setenv("MASTER_ADDR", "node-0")
    shown = build_command(TrainingJob("sft", "paper_32b"), [], 1, 2, 8).shown()
    assert "--nnodes=2 --nproc_per_node=8 --master_addr=node-0 --master_port=29500" in shown
    assert "node_rank" not in shown
