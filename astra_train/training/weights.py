"""What the weight files of a model folder hold, read from their headers."""

from __future__ import annotations

import json
from pathlib import Path


def weight_files(folder: Path) -> list[Path]:
    """The files that hold a model's weights."""
    return sorted(folder.glob("*.safetensors")) or sorted(folder.glob("pytorch_model*.bin"))


def parameter_bytes(folder: Path) -> tuple[int, int]:
    """Bytes of all weight files and bytes of one parameter (of the first tensor with a float type)."""
    files = weight_files(folder)
    width = 4
    for path in files:
        if path.suffix == ".safetensors":
            types = {str(entry["dtype"]) for name, entry in _header(path).items() if name != "__metadata__"}
            width = 2 if types & {"BF16", "F16"} else 4
            break
    return sum(path.stat().st_size for path in files), width


def weights_dtype(folder: Path) -> str | None:
    """The type of the weights in a folder of safetensors as transformers names it; None when they differ."""
    types = {
        str(entry["dtype"])
        for path in folder.glob("*.safetensors")
        for name, entry in _header(path).items()
        if name != "__metadata__"
    }
    names = {"F32": "float32", "BF16": "bfloat16", "F16": "float16"}
    return names.get(types.pop()) if len(types) == 1 else None


def _header(path: Path) -> dict[str, dict[str, object]]:
    with path.open("rb") as stream:
        size = int.from_bytes(stream.read(8), "little")
        header: dict[str, dict[str, object]] = json.loads(stream.read(size))
    return header
