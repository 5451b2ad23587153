"""What is read from the headers of weight files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from astra_train.policies.weights import read_weight_files


@pytest.mark.parametrize(("dtype", "name", "width"), [(np.float32, "float32", 4), (np.float16, "float16", 2)])
def test_type_and_number_of_the_weights_are_read_from_the_file(tmp_path: Path, dtype, name, width):
    save_file({"w": np.ones((8, 8), dtype), "b": np.zeros(8, dtype)}, tmp_path / "model.safetensors")
    found = read_weight_files(tmp_path)
    assert (found.dtype, found.parameters, found.problems) == (name, 72, [])
    assert 72 * width <= found.n_bytes <= 72 * width + 400


def test_weights_of_several_types_have_no_one_type(tmp_path: Path):
    save_file({"w": np.ones(8, np.float32), "c": np.zeros(8, np.float16)}, tmp_path / "model.safetensors")
    found = read_weight_files(tmp_path)
    assert found.dtype is None
    assert found.parameters == 16
