"""What is read from the headers of weight files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from astra_train.training.weights import parameter_bytes, weights_dtype


def model(folder: Path, dtype: type) -> Path:
    folder.mkdir()
    save_file({"w": np.ones((8, 8), dtype), "b": np.zeros(8, dtype)}, folder / "model.safetensors")
    return folder


@pytest.mark.parametrize(("dtype", "name", "width"), [(np.float32, "float32", 4), (np.float16, "float16", 2)])
def test_the_weights_type_is_read_from_the_file(tmp_path: Path, dtype, name, width):
    folder = model(tmp_path / "a", dtype)
    assert weights_dtype(folder) == name
    total, found = parameter_bytes(folder)
    assert found == width
    assert 72 * width <= total <= 72 * width + 400


def test_weights_of_several_types_have_no_one_type(tmp_path: Path):
    folder = model(tmp_path / "a", np.float32)
    save_file({"c": np.zeros(8, np.float16)}, folder / "more.safetensors")
    assert weights_dtype(folder) is None
