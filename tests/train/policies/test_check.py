"""Each way in which a model folder can be unfit is named, before anything is started with it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("transformers", reason="needs the train extra")
pytest.importorskip("torch", reason="needs the train extra")

from astra_train.policies.check import ModelFolderError, check_model_folder
from tests.train.policies.folders_for_tests import byte_tokenizer, write_folder


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return write_folder(tmp_path_factory.mktemp("model"), shard_size="20KB")


@pytest.fixture
def folder(whole, tmp_path):
    return Path(shutil.copytree(whole, tmp_path / "model"))


def edit(path: Path, **changes):
    content = json.loads(path.read_text())
    content.update(changes)
    path.write_text(json.dumps({key: value for key, value in content.items() if value is not None}))


def set_template(folder: Path, template: str | None):
    (folder / "chat_template.jinja").unlink()
    edit(folder / "tokenizer_config.json", chat_template=template)


def the_problem(folder, **options):
    report = check_model_folder(folder, **options)
    assert not report.ok
    assert len(report.problems) == 1, report.problems
    with pytest.raises(ModelFolderError):
        report.require()
    return report.problems[0]


def test_a_whole_folder_has_no_problems_and_its_facts_are_read(whole):
    report = check_model_folder(str(whole), required_tokens=512)
    assert (report.problems, report.notes) == ([], [])
    assert report.require() is report
    assert (report.model_type, report.architecture, report.dtype) == ("llama", "LlamaForCausalLM", "F32")
    assert (report.vocabulary, report.embedding_rows, report.context_length) == (259, 259, 512)
    files = list(whole.glob("*.safetensors"))
    assert len(files) > 1
    assert report.disk_bytes == sum(path.stat().st_size for path in files)
    assert report.parameters == 259 * 16 + 2 * (4 * 16 * 16 + 3 * 16 * 32 + 2 * 16) + 16
    assert report.stop_token_ids == (258,)


@pytest.mark.parametrize(
    ("name", "said"),
    [("no/such/folder/anywhere", "no such folder"), ("./nowhere", "no such folder"), (__file__, "a file")],
)
def test_what_is_no_folder_is_said(name, said):
    assert said in the_problem(name)


def test_a_folder_without_a_configuration(folder):
    (folder / "config.json").unlink()
    assert "no config.json" in the_problem(folder)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"model_type": "no_such_model"}, "cannot be read"),
        ({"model_type": "vit", "architectures": ["ViTModel"]}, "no AutoModelForCausalLM for model_type 'vit'"),
        ({"architectures": None}, "`architectures` must name one class"),
        ({"num_attention_heads": 3}, "cannot be read"),
        ({"num_hidden_layers": 3}, "lack 9 tensors"),
        ({"intermediate_size": 48}, "6 tensors have another shape"),
    ],
)
def test_a_configuration_that_does_not_fit_is_named(folder, changes, said):
    edit(folder / "config.json", **changes)
    assert said in the_problem(folder)


def test_a_configuration_that_is_no_json(folder):
    (folder / "config.json").write_text("{")
    assert "config.json: cannot be read: JSONDecodeError" in the_problem(folder)


def test_a_context_that_is_too_short_for_the_run(whole):
    assert "reads 512 tokens at most" in the_problem(whole, required_tokens=513)


def shards(folder):
    return sorted(folder.glob("model-*.safetensors"))


def cut(path: Path, n_bytes: int):
    path.write_bytes(path.read_bytes()[:n_bytes])


@pytest.mark.parametrize(
    ("break_it", "said"),
    [
        (lambda folder: cut(shards(folder)[0], -100), "cut short"),
        (lambda folder: cut(shards(folder)[0], 4), "cut short"),
        (lambda folder: cut(shards(folder)[0], 0), "cut short"),
        (lambda folder: shards(folder)[0].write_bytes(b"\xff" * 1000), "no safetensors file"),
        (lambda folder: shards(folder)[0].write_bytes(b"version https://git-lfs.github.com/spec/v1\n"), "git lfs pull"),
        (lambda folder: shards(folder)[0].unlink(), "weight files are missing"),
        (lambda folder: shutil.copy(shards(folder)[1], shards(folder)[0]), "that the index expects"),
        (lambda folder: (folder / "model.safetensors.index.json").write_text("[]"), "no index of weights"),
        (lambda folder: (folder / "model.safetensors.index.json").unlink(), "neither model.safetensors"),
    ],
)
def test_weights_that_are_not_whole_are_named(folder, break_it, said):
    break_it(folder)
    assert said in the_problem(folder)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("model.gguf", "only a GGUF file"),
        ("adapter_config.json", "only a LoRA adapter"),
        ("model_world_size_1_rank_0.pt", "a checkpoint of verl in shards"),
    ],
)
def test_a_folder_that_holds_weights_of_another_kind_is_recognized(folder, name, said):
    for path in [*shards(folder), folder / "model.safetensors.index.json"]:
        path.unlink()
    (folder / name).write_text("{}")
    assert said in the_problem(folder)


def test_weights_in_pytorchs_own_format_are_checked_too(folder):
    import torch
    from transformers import AutoModelForCausalLM

    state = AutoModelForCausalLM.from_pretrained(folder).state_dict()
    for path in [*shards(folder), folder / "model.safetensors.index.json"]:
        path.unlink()
    torch.save(dict(state), folder / "pytorch_model.bin")
    report = check_model_folder(folder)
    assert report.ok
    assert "their tensors were not looked at" in report.notes[0]
    cut(folder / "pytorch_model.bin", 3000)
    assert "cut short, or no PyTorch file" in the_problem(folder)


def test_a_tokenizer_that_is_missing_or_of_another_model(folder):
    tokenizer = byte_tokenizer("{{ messages[0].content }}")
    tokenizer.add_tokens(["<another>"])
    tokenizer.save_pretrained(folder)
    assert "the model has 259 embedding rows" in the_problem(folder, need_tools=False)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).unlink()
    assert "the tokenizer cannot be loaded" in the_problem(folder)


CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}"
    "{% for c in m.tool_calls or [] %}{{ c.function.arguments }}{% endfor %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
TOOLS = "{{ tools | default([], true) | tojson }}"
NAMES = "{% for t in tools or [] %}{{ t.function.name }}{% endfor %}"


@pytest.mark.parametrize(
    ("template", "said"),
    [
        (None, "no chat template"),
        (CHATML, "shows no tools"),
        (NAMES + CHATML, "leaves out probe_city_b2, probe_day_c3, probe_start_e5"),
        ("{{ raise_exception('no') }}", "fails on a question with tools"),
        ("{{ messages | length }}" + TOOLS + CHATML, "not append-only"),
        (TOOLS + CHATML.replace("{{ m.content }}", "{% if m.role != 'tool' %}{{ m.content }}{% endif %}"), "results"),
        (TOOLS + CHATML.replace("{{ c.function.arguments }}", ""), "leaves out tool calls"),
        (TOOLS + CHATML.replace("<|im_end|>", "[end]"), "no special token"),
    ],
)
def test_a_chat_template_that_cannot_carry_an_episode_is_refused(folder, template, said):
    set_template(folder, template)
    assert said in the_problem(folder)
    assert check_model_folder(folder, need_tools=False).ok


def test_an_end_of_turn_that_the_generation_configuration_does_not_know_is_noted(folder):
    edit(folder / "generation_config.json", eos_token_id=[1, 2])
    report = check_model_folder(folder)
    assert report.ok
    assert "'<|im_end|>' (258)" in report.notes[0]


def test_a_template_with_another_form_of_calls_is_noted(folder):
    set_template(folder, TOOLS + CHATML)
    report = check_model_folder(folder)
    assert report.ok
    assert "envs read <tool_call> blocks" in report.notes[0]


@pytest.mark.parametrize("variables", [{"HF_HUB_OFFLINE": "1"}, {"HF_ENDPOINT": "http://127.0.0.1:9"}])
def test_an_id_out_of_reach_is_one_clear_message(tmp_path, variables):
    code = "from astra_train.policies.check import check_model_folder as c; print(c('some/model').problems)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "HF_HOME": str(tmp_path), **variables},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert "some/model: no folder of this name" in done.stdout
    assert ("HF_HUB_OFFLINE is set" if "HF_HUB_OFFLINE" in variables else "cannot be reached") in done.stdout
