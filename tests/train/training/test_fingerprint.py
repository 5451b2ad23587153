"""Fingerprints: the same model is the same however it was saved, another one is another."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from astra_train.training.fingerprint import model_fingerprint, parameter_bytes, weights_dtype

CONFIG = {"model_type": "qwen3", "hidden_size": 8, "architectures": ["Qwen3ForCausalLM"], "dtype": "float32"}


def model(folder: Path, *, config=CONFIG, value: float = 1.0, dtype=np.float32, tokenizer: str = "{}") -> Path:
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "tokenizer.json").write_text(tokenizer)
    save_file({"w": np.full((8, 8), value, dtype), "b": np.zeros(8, dtype)}, folder / "model.safetensors")
    return folder


def test_the_same_model_has_the_same_fingerprint(tmp_path: Path):
    saved_again = {**CONFIG, "transformers_version": "9", "dtype": "bfloat16"}
    one, two = model(tmp_path / "a"), model(tmp_path / "b", config=saved_again)
    assert model_fingerprint(one) == model_fingerprint(two)


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"config": {**CONFIG, "hidden_size": 9}}, "architecture"),
        ({"value": 2.0}, "weights"),
        ({"tokenizer": '{"a": 1}'}, "tokenizer"),
    ],
)
def test_what_differs_is_told(tmp_path: Path, change, part):
    one, two = model_fingerprint(model(tmp_path / "a")), model_fingerprint(model(tmp_path / "b", **change))
    assert [name for name in one if one[name] != two[name]] == [part]


@pytest.mark.parametrize(("dtype", "name", "width"), [(np.float32, "float32", 4), (np.float16, "float16", 2)])
def test_the_weights_type_is_read_from_the_file(tmp_path: Path, dtype, name, width):
    folder = model(tmp_path / "a", dtype=dtype)
    assert weights_dtype(folder) == name
    total, found = parameter_bytes(folder)
    assert found == width
    assert 72 * width <= total <= 72 * width + 400
