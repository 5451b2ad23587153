"""Two models have the same fingerprint only when a run may go on with either."""

from __future__ import annotations

import json
import shutil

import pytest

pytest.importorskip("transformers", reason="needs the train extra")
pytest.importorskip("torch", reason="needs the train extra")

from astra_train.policies.fingerprint import differing_parts, fingerprint
from astra_train.policies.folders import ModelFolderError
from tests.train.policies.folders_for_tests import write_folder


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return write_folder(tmp_path_factory.mktemp("model"))


def test_a_copy_has_the_same_fingerprint(model, tmp_path):
    shutil.copytree(model, tmp_path / "copy")
    assert fingerprint(model) == fingerprint(str(tmp_path / "copy"))
    assert differing_parts(fingerprint(model), fingerprint(tmp_path / "copy")) == ()


def test_saving_it_again_changes_nothing(model, tmp_path):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    AutoModelForCausalLM.from_pretrained(model).save_pretrained(tmp_path)
    AutoTokenizer.from_pretrained(model).save_pretrained(tmp_path)
    assert differing_parts(fingerprint(model), fingerprint(tmp_path)) == ()


def test_positions_may_stand_where_transformers_4_or_5_keeps_them(model, tmp_path):
    shutil.copytree(model, tmp_path / "copy")
    path = tmp_path / "copy/config.json"
    config = json.loads(path.read_text())
    config["rope_theta"] = config["rope_parameters"]["rope_theta"]
    path.write_text(json.dumps(config))
    assert fingerprint(tmp_path / "copy") == fingerprint(model)
    del config["rope_parameters"]
    path.write_text(json.dumps(config))
    assert fingerprint(tmp_path / "copy") == fingerprint(model)
    config["rope_theta"] = 5.0
    path.write_text(json.dumps(config))
    assert differing_parts(fingerprint(tmp_path / "copy"), fingerprint(model)) == ("config",)


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        ({"rope_theta": 500_000.0}, {"config"}),
        ({"hidden_size": 32}, {"config", "shapes", "weights"}),
        ({"template": "another"}, {"tokenizer"}),
    ],
)
def test_another_model_differs_in_the_parts_that_differ(model, tmp_path, options, parts):
    other = fingerprint(write_folder(tmp_path, **options))
    assert set(differing_parts(fingerprint(model), other)) == parts


def test_trained_weights_and_another_vocabulary_are_noticed(model, tmp_path):
    import torch
    from transformers import AutoModelForCausalLM

    shutil.copytree(model, tmp_path / "trained")
    trained = AutoModelForCausalLM.from_pretrained(model)
    with torch.no_grad():
        for parameter in trained.parameters():
            parameter.add_(1e-3)
    trained.save_pretrained(tmp_path / "trained")
    layout = json.loads((tmp_path / "trained/tokenizer.json").read_text())
    layout["model"]["merges"] = [["a", "b"]]
    layout["model"]["vocab"]["ab"] = 300
    (tmp_path / "trained/tokenizer.json").write_text(json.dumps(layout))
    assert differing_parts(fingerprint(model), fingerprint(tmp_path / "trained")) == ("tokenizer", "weights")


def test_what_is_no_fingerprint_differs_in_everything(model):
    assert differing_parts("", fingerprint(model)) == differing_parts(fingerprint(model), "v0") != ()


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_a_damaged_folder_has_none(model, tmp_path, name):
    shutil.copytree(model, tmp_path / "copy")
    (tmp_path / "copy" / name).write_text("{")
    with pytest.raises(ModelFolderError, match=name):
        fingerprint(tmp_path / "copy")
