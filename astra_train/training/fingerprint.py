"""What a model folder is, in a few digests: so that a run is not resumed with another model.

Only small parts of the weights are read: names and shapes of all tensors, and the first and last bytes of each file.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

_SAMPLE_BYTES = 1 << 16
_VOLATILE = frozenset({"transformers_version", "_name_or_path", "dtype", "torch_dtype", "use_cache"})
_TOKENIZER_FILES = ("tokenizer.json", "vocab.json", "merges.txt", "tokenizer.model", "chat_template.jinja")


def weight_files(folder: Path) -> list[Path]:
    """The files that hold a model's weights."""
    return sorted(folder.glob("*.safetensors")) or sorted(folder.glob("pytorch_model*.bin"))


def model_fingerprint(folder: Path) -> dict[str, str]:
    """Digests of a model folder's architecture, tokenizer and weights."""
    return {
        "architecture": architecture_digest(folder / "config.json"),
        "tokenizer": _digest(*(path.read_bytes() for name in _TOKENIZER_FILES if (path := folder / name).is_file())),
        "weights": _digest(*(_sample(path) for path in weight_files(folder))),
    }


def architecture_digest(config: Path) -> str:
    """A digest of a config.json without what changes when the same model is saved again."""
    content = json.loads(config.read_text(encoding="utf-8"))
    kept = {key: value for key, value in content.items() if key not in _VOLATILE}
    return _digest(json.dumps(kept, sort_keys=True).encode())


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


def _sample(path: Path) -> bytes:
    size = path.stat().st_size
    with path.open("rb") as stream:
        head = stream.read(_SAMPLE_BYTES)
        stream.seek(max(0, size - _SAMPLE_BYTES))
        return size.to_bytes(8, "little") + head + stream.read()


def _digest(*parts: bytes) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
    return digest.hexdigest()[:16]
