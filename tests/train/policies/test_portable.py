"""What transformers 4 looks for is there beside what 5 wrote."""

from __future__ import annotations

import json

import pytest

pytest.importorskip("transformers", reason="needs the train extra")
pytest.importorskip("torch", reason="needs the train extra")

from astra_train.policies.check import check_model_folder
from astra_train.policies.portable import make_portable
from tests.train.policies.folders_for_tests import write_folder

YARN = {"rope_type": "yarn", "rope_theta": 5e5, "factor": 4.0, "original_max_position_embeddings": 128}


@pytest.mark.parametrize(
    ("rope", "scaling"),
    [
        ({"rope_type": "default", "rope_theta": 5e5}, None),
        (YARN, {key: value for key, value in YARN.items() if key != "rope_theta"}),
    ],
)
def test_rope_tokenizer_class_and_length_stand_where_4_looks_and_5_still_reads_them(tmp_path, rope, scaling):
    from transformers import AutoConfig, AutoTokenizer

    folder = write_folder(tmp_path, rope_parameters=rope)
    before = AutoConfig.from_pretrained(folder)
    make_portable(folder)
    written = {path.name: path.read_text() for path in folder.glob("*.json")}
    make_portable(folder)
    assert written == {path.name: path.read_text() for path in folder.glob("*.json")}
    config = json.loads(written["config.json"])
    assert config["rope_theta"] == 5e5
    assert config.get("rope_scaling") == scaling
    assert config["torch_dtype"] == config["dtype"] == "float32"
    tokenizer = json.loads(written["tokenizer_config.json"])
    assert (tokenizer["tokenizer_class"], tokenizer["model_max_length"]) == ("PreTrainedTokenizerFast", 512)
    assert AutoConfig.from_pretrained(folder).rope_parameters == before.rope_parameters
    assert AutoTokenizer.from_pretrained(folder).model_max_length == 512
    assert check_model_folder(folder).problems == []
