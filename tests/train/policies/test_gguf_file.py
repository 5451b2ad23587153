"""A GGUF file is read as the package that defines the format writes it."""

from __future__ import annotations

import numpy as np
import pytest

from astra_train.policies.gguf_file import GGUFError, read_gguf

gguf = pytest.importorskip("gguf", reason="needs the train extra")

KINDS = [gguf.GGMLQuantizationType[name] for name in ("F32", "F16", "BF16", "Q4_1", "Q8_0")]
SETTINGS = {
    "a.text": "größer",
    "a.count": 7,
    "a.share": 0.5,
    "a.yes": True,
    "a.words": ["x", "", "y z"],
    "a.ids": [3, 1],
}


@pytest.fixture(scope="module")
def values():
    return np.random.default_rng(0).normal(size=(6, 64)).astype(np.float32)


@pytest.fixture
def written(tmp_path, values):
    writer = gguf.GGUFWriter(tmp_path / "model.gguf", "llama")
    writer.add_string("a.text", SETTINGS["a.text"])
    writer.add_uint32("a.count", SETTINGS["a.count"])
    writer.add_float32("a.share", SETTINGS["a.share"])
    writer.add_bool("a.yes", SETTINGS["a.yes"])
    writer.add_array("a.words", SETTINGS["a.words"])
    writer.add_array("a.ids", SETTINGS["a.ids"])
    for kind in KINDS:
        writer.add_tensor(kind.name, gguf.quants.quantize(values, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return tmp_path / "model.gguf"


def test_settings_and_tensors_are_what_was_written(written, values):
    found = read_gguf(written)
    assert {name: value for name, value in found.settings.items() if name.startswith("a.")} == SETTINGS
    weights = dict(found.weights())
    assert list(weights) == [kind.name for kind in KINDS]
    for kind in KINDS:
        expected = gguf.quants.dequantize(gguf.quants.quantize(values, kind), kind)
        assert weights[kind.name].dtype == np.float32
        np.testing.assert_array_equal(weights[kind.name], expected)
    np.testing.assert_array_equal(weights["F32"], values)


@pytest.mark.parametrize(
    "content", [b"", b"GGUF", b"GGML" + bytes(100), b"GGUF" + bytes(100), b"GGUF\x03\0\0\0" + b"\xff" * 60]
)
def test_what_is_no_gguf_file_is_said(tmp_path, content):
    (tmp_path / "model.gguf").write_bytes(content)
    with pytest.raises(GGUFError, match=r"model\.gguf"):
        read_gguf(tmp_path / "model.gguf")


@pytest.mark.parametrize("kept", [0.2, 0.5, 0.95])
def test_a_file_that_is_cut_short_is_said(written, kept):
    content = written.read_bytes()
    written.write_bytes(content[: int(kept * len(content))])
    with pytest.raises(GGUFError, match="cut short"):
        dict(read_gguf(written).weights())
