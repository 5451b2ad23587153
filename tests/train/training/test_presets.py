"""Presets: what they say, why, and in what order."""

from __future__ import annotations

from pathlib import Path

import pytest

from astra_train.errors import TrainingError
from astra_train.training.presets import CONFIGS, RECIPES, Preset, Setting, load_preset, merge, preset_names

PACKAGED = [(recipe, name) for recipe in RECIPES for name in preset_names(recipe)]


def values(preset: Preset) -> dict[str, object]:
    return {setting.key.lstrip("+"): setting.value for setting in preset.settings}


@pytest.mark.parametrize(("recipe", "name"), PACKAGED)
def test_every_line_of_a_packaged_preset_says_why(recipe, name):
    preset = load_preset(recipe, name).with_batch_filling(True)
    assert preset.settings
    assert [setting.key for setting in preset.settings if not setting.why] == []


def test_each_recipe_has_the_three_presets():
    for recipe in RECIPES:
        assert {"cpu", "gpu", "paper"} <= set(preset_names(recipe))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("data.max_prompt_length", 25600),
        ("data.max_response_length", 49152),
        ("data.train_batch_size", 256),
        ("actor_rollout_ref.actor.ppo_mini_batch_size", "${data.train_batch_size}"),
        ("actor_rollout_ref.actor.ppo_epochs", 1),
        ("actor_rollout_ref.actor.optim.lr", 2e-6),
        ("actor_rollout_ref.actor.optim.lr_scheduler_type", "constant"),
        ("actor_rollout_ref.actor.use_kl_loss", False),
        ("algorithm.use_kl_in_reward", False),
        ("actor_rollout_ref.actor.entropy_coeff", 0),
        ("actor_rollout_ref.actor.loss_agg_mode", "token-mean"),
        ("actor_rollout_ref.rollout.multi_turn.max_assistant_turns", 32),
    ],
)
def test_grpo_has_the_papers_numbers(key, value):
    assert values(load_preset("grpo", "paper"))[key] == value


def test_the_clip_is_symmetric():
    for name in preset_names("grpo"):
        found = values(load_preset("grpo", name))
        low, high = (found[f"actor_rollout_ref.actor.clip_ratio_{side}"] for side in ("low", "high"))
        assert low == high


@pytest.mark.parametrize(("name", "lr", "parallel"), [("paper", 5e-6, 2), ("paper_32b", 2e-6, 4)])
def test_sft_has_the_papers_numbers(name, lr, parallel):
    found = values(load_preset("sft", name))
    assert (found["trainer.total_epochs"], found["data.train_batch_size"], found["data.max_length"]) == (2, 32, 20000)
    assert (found["optim.lr"], found["optim.lr_scheduler_type"]) == (lr, "cosine")
    assert (found["optim.lr_warmup_steps_ratio"], found["engine.ulysses_sequence_parallel_size"]) == (0.05, parallel)


def test_batch_filling_is_on_where_the_paper_uses_it_and_can_be_switched():
    key = "trainer.v1.sampler.sampler_kwargs.filter"
    assert values(load_preset("grpo", "cpu").with_batch_filling(None))[key] is False
    assert values(load_preset("grpo", "cpu").with_batch_filling(True))[key] is True
    assert values(load_preset("grpo", "paper").with_batch_filling(None))[key] is True
    assert values(load_preset("grpo", "paper").with_batch_filling(False))[key] is False


def test_a_later_setting_takes_the_place_of_an_earlier_one():
    merged = merge((Setting("a", 1), Setting("+b", 2)), (Setting("b", 3, "newer"), Setting("c", 4)))
    assert [(s.key, s.value) for s in merged] == [("a", 1), ("+b", 3), ("c", 4)]


def test_a_preset_of_ones_own_includes_packaged_ones(tmp_path: Path):
    own = tmp_path / "mine.yaml"
    own.write_text("include: [grpo_cpu]\ndata.train_batch_size: 3  # small\n")
    found = load_preset("grpo", str(own))
    assert found.name == "mine"
    assert values(found)["data.train_batch_size"] == 3
    assert values(found)["trainer.device"] == "cpu"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- a\n", "mapping"),
        ("a: [\n", "cannot be read"),
        ("include: [nowhere]\n", "'nowhere'"),
        ("a: 1\na: 2\n", "cannot be read"),
    ],
)
def test_a_preset_that_cannot_be_used_is_named(tmp_path: Path, text, message):
    own = tmp_path / "mine.yaml"
    own.write_text(text)
    with pytest.raises(TrainingError, match=message) as caught:
        load_preset("grpo", str(own))
    assert str(own) in str(caught.value)


def test_presets_that_include_each_other_are_refused(tmp_path: Path):
    (tmp_path / "one.yaml").write_text("include: [two]\n")
    (tmp_path / "two.yaml").write_text("include: [one]\n")
    with pytest.raises(TrainingError, match="circle"):
        load_preset("grpo", str(tmp_path / "one.yaml"))


def test_an_unknown_preset_names_those_there_are():
    with pytest.raises(TrainingError, match=r"'cloud'.*cpu, gpu, gpu_lora, paper"):
        load_preset("grpo", "cloud")


def test_no_preset_is_left_unused():
    shared = {path.stem for path in (CONFIGS / "shared").glob("*.yaml")} - {"batch_filling"}
    included = {
        line.strip(" -")
        for path in CONFIGS.glob("*.yaml")
        for line in path.read_text().splitlines()
        if "include" in line
    }
    named = {name.strip() for line in included for name in line.partition("[")[2].rstrip("]").split(",")}
    assert shared <= named
