"""Which model a folder holds, in a short text: a run that goes on with another model than it began with is noticed.

Four parts: the configuration, the names and shapes of the tensors, the tokenizer with its chat template, and a sample
of the weights. Settings that do not change what a model computes (library versions, where it was loaded from) are
left out.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

from astra_gym.records import JSON
from astra_train.policies.folders import ModelFolderError, locate_model
from astra_train.policies.weights import read_weight_files

PARTS = ("config", "shapes", "tokenizer", "weights")
_NOT_THE_MODEL = frozenset(
    {"_name_or_path", "_model_name_or_path", "architectures", "transformers_version", "dtype", "torch_dtype"}
    | {
        "rope_theta",
        "rope_scaling",
        "rope_parameters",
        "use_cache",
        "bos_token_id",
        "eos_token_id",
        "pad_token_id",
        "unk_token_id",
    }
)
_TOKENIZER_FILES = ("tokenizer.model", "vocab.json", "merges.txt", "tiktoken.model", "tekken.json")
_SAMPLES = 64
_SAMPLE_BYTES = 4096


def fingerprint(path_or_id: str | Path) -> str:
    """`config:<hex> shapes:<hex> tokenizer:<hex> weights:<hex>` of a model folder, or of an id that was downloaded.

    Raises: ModelFolderError when the folder is not there, or its configuration or its weights cannot be read.
    """
    folder = locate_model(path_or_id)
    weights = read_weight_files(folder)
    if weights.problems:
        raise ModelFolderError("; ".join(weights.problems))
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        parts = {
            "config": _digest(_settled(config)),
            "shapes": _digest({name: list(shape) for name, shape in weights.shapes.items()}),
            "tokenizer": _digest([_vocabulary(folder), _template(folder)]),
            "weights": _sample(weights.files),
        }
    except (OSError, ValueError, AttributeError) as error:
        raise ModelFolderError(f"{folder}: config.json or the tokenizer cannot be read: {error}") from error
    return " ".join(f"{part}:{parts[part]}" for part in PARTS)


def differing_parts(one: str, other: str) -> tuple[str, ...]:
    """The parts in which two fingerprints differ; all of them when either is no fingerprint."""
    first, second = _parts(one), _parts(other)
    return tuple(part for part in PARTS if part not in first or first[part] != second.get(part))


def _parts(text: str) -> dict[str, str]:
    pairs = (part.partition(":") for part in text.split())
    return {name: value for name, _, value in pairs}


def _settled(config: dict[str, JSON]) -> dict[str, JSON]:
    """What decides what is computed; positions in one form (transformers 4 and 5 write them under different names)."""
    rope: dict[str, JSON] = {"rope_type": "default", "rope_theta": config.get("rope_theta")}
    rope |= {**(config.get("rope_scaling") or {}), **(config.get("rope_parameters") or {})}
    kept = {key: value for key, value in config.items() if key not in _NOT_THE_MODEL}
    return kept | {"rope": {key: value for key, value in rope.items() if value is not None}}


def _vocabulary(folder: Path) -> JSON:
    """Tokens, merges and added tokens; not how transformers happens to write the file around them."""
    path = folder / "tokenizer.json"
    if path.exists():
        layout = json.loads(path.read_text(encoding="utf-8"))
        model = layout.get("model", {})
        merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in model.get("merges", ())]
        added = sorted([token["id"], token["content"]] for token in layout.get("added_tokens", ()))
        return [model.get("vocab"), merges, added]
    present = [folder / name for name in _TOKENIZER_FILES if (folder / name).exists()]
    return [hashlib.sha256(path.read_bytes()).hexdigest() for path in present]


def _template(folder: Path) -> JSON:
    alone = folder / "chat_template.jinja"
    if alone.exists():
        return alone.read_text(encoding="utf-8")
    config = folder / "tokenizer_config.json"
    template: JSON = json.loads(config.read_text(encoding="utf-8")).get("chat_template") if config.exists() else None
    return template


def _sample(files: Iterable[Path]) -> str:
    """A hash over evenly spaced blocks of each file: training changes every tensor."""
    digest = hashlib.sha256()
    for path in files:
        size = path.stat().st_size
        digest.update(size.to_bytes(8, "little"))
        with path.open("rb") as file:
            for at in range(0, size, max(size // _SAMPLES, _SAMPLE_BYTES)):
                file.seek(at)
                digest.update(file.read(_SAMPLE_BYTES))
    return digest.hexdigest()[:12]


def _digest(value: JSON) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:12]
