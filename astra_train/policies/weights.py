"""The weight files of a model folder, by their names, sizes and headers: no tensor is read.

A safetensors file begins with the length of its header (8 bytes, little endian), then the header as JSON: name ->
dtype, shape and where the bytes lie. Source: github.com/huggingface/safetensors, "Format".
"""

from __future__ import annotations

import json
import math
import zipfile
from dataclasses import dataclass, field
from pathlib import Path

_LENGTH_BYTES = 8
_MAX_HEADER_BYTES = 100_000_000
_LFS_POINTER = b"version https://git-lfs"
_KINDS = (
    ("model.safetensors", "model.safetensors.index.json"),
    ("pytorch_model.bin", "pytorch_model.bin.index.json"),
)
"""File and index of each format, in the order in which transformers looks for them."""
_DTYPES = {"F32": "float32", "BF16": "bfloat16", "F16": "float16"}
_WIDEST_BYTES = 4


@dataclass(slots=True)
class WeightFiles:
    """What lies in a folder. Without problems, each file is whole and each indexed tensor is in its file."""

    files: list[Path] = field(default_factory=list)
    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)
    """Tensor name -> shape; empty for PyTorch's own format, whose headers are not read."""
    dtypes: set[str] = field(default_factory=set)
    """As safetensors calls them: F32, BF16..."""
    n_bytes: int = 0
    problems: list[str] = field(default_factory=list)

    @property
    def dtype(self) -> str | None:
        """The type of all weights as torch calls it; None when they differ or it is not known."""
        return _DTYPES.get(next(iter(self.dtypes))) if len(self.dtypes) == 1 else None

    @property
    def parameters(self) -> int:
        """How many there are; for PyTorch's own format as many as there would be in float32."""
        return sum(map(math.prod, self.shapes.values())) if self.shapes else self.n_bytes // _WIDEST_BYTES


def read_weight_files(folder: Path) -> WeightFiles:
    """Look at the weights in `folder`. What is wrong is in `problems`, one sentence each."""
    found = WeightFiles()
    for single, index in _KINDS:
        if (folder / single).exists():
            _add(found, folder / single, None)
            return found
        if (folder / index).exists():
            _add_indexed(found, folder / index)
            return found
    found.problems.append(f"{folder}: no weights here: {_what_else(folder)}")
    return found


def _what_else(folder: Path) -> str:
    if any(folder.glob("*.gguf")):
        return "only a GGUF file, which cannot be trained; convert it to safetensors (`astra policy smollm2` does one)"
    if (folder / "adapter_config.json").exists():
        return "only a LoRA adapter; merge it into its base model first"
    if any(folder.glob("**/model_world_size_*_rank_*.pt")):
        return "a checkpoint of verl in shards; export it to a Hugging Face folder first"
    return "neither model.safetensors (nor its index) nor pytorch_model.bin"


def _add_indexed(found: WeightFiles, index: Path) -> None:
    try:
        weight_map = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
        by_file: dict[str, set[str]] = {}
        for tensor, name in weight_map.items():
            by_file.setdefault(name, set()).add(tensor)
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        found.problems.append(f"{index}: no index of weights ({type(error).__name__}: {error}); download it again")
        return
    missing = sorted(name for name in by_file if not (index.parent / name).exists())
    if missing:
        found.problems.append(
            f"{index.parent}: {len(missing)} of {len(by_file)} weight files are missing, for instance {missing[0]}; "
            "download them"
        )
    for name in sorted(set(by_file) - set(missing)):
        _add(found, index.parent / name, by_file[name])


def _add(found: WeightFiles, path: Path, expected: set[str] | None) -> None:
    found.files.append(path)
    size = path.stat().st_size
    found.n_bytes += size
    with path.open("rb") as file:
        start = file.read(len(_LFS_POINTER))
    if start == _LFS_POINTER:
        found.problems.append(f"{path}: a Git LFS pointer, not the file itself; run `git lfs pull` in its folder")
    elif path.suffix == ".safetensors":
        _add_safetensors(found, path, size, expected)
    elif not zipfile.is_zipfile(path):
        found.problems.append(f"{path}: cut short, or no PyTorch file ({size} bytes); download it again")


def _add_safetensors(found: WeightFiles, path: Path, size: int, expected: set[str] | None) -> None:
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(_LENGTH_BYTES), "little")
            if size < _LENGTH_BYTES or length > min(size - _LENGTH_BYTES, _MAX_HEADER_BYTES):
                raise ValueError(f"its header should have {length} bytes")
            header = json.loads(file.read(length))
        header.pop("__metadata__", None)
        shapes = {name: tuple(map(int, entry["shape"])) for name, entry in header.items()}
        dtypes = {str(entry["dtype"]) for entry in header.values()}
        needed = _LENGTH_BYTES + length + max((int(entry["data_offsets"][1]) for entry in header.values()), default=0)
    except (OSError, ValueError, KeyError, IndexError, AttributeError, TypeError) as error:
        found.problems.append(f"{path}: cut short, or no safetensors file ({size} bytes; {error}); download it again")
        return
    if size < needed:
        found.problems.append(f"{path}: cut short: {size} bytes of {needed}; download it again")
    if lacking := sorted((expected or set()) - set(shapes)):
        found.problems.append(f"{path}: lacks {len(lacking)} tensors that the index expects, for instance {lacking[0]}")
    found.shapes |= shapes
    found.dtypes |= dtypes
