"""A model folder that transformers 5 wrote, made so that 4 reads the same model from it (vLLM may still run with 4).

Without it, 4 takes a rope base of 10,000 whatever the model has, and does not know the class of the tokenizer.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

_OF_THIS_MACHINE = ("backend", "is_local", "local_files_only", "name_or_path")
_NO_LIMIT = 10**12
"""Transformers writes a length beyond it for a tokenizer that was given none."""


def make_portable(folder: str | Path) -> None:
    """Add to config.json and tokenizer_config.json what transformers 4 reads; nothing is taken from 5. May be repeated.

    Raises: OSError or ValueError when either file is missing or no JSON.
    """
    config = _edit(Path(folder) / "config.json", _settled_config)
    _edit(Path(folder) / "tokenizer_config.json", lambda found: _settled_tokenizer(found, config))


def _settled_config(config: dict[str, Any]) -> dict[str, Any]:
    rope = config.get("rope_parameters") or {}
    if "rope_theta" in rope:  # one for all layers; what has one for each kind of layer is unknown to 4 anyway
        config.setdefault("rope_theta", rope["rope_theta"])
        if rope.get("rope_type", "default") != "default":
            config.setdefault("rope_scaling", {key: value for key, value in rope.items() if key != "rope_theta"})
    if "dtype" in config:
        config.setdefault("torch_dtype", config["dtype"])
    return config


def _settled_tokenizer(settings: dict[str, Any], config: dict[str, Any]) -> dict[str, Any]:
    kept = {key: value for key, value in settings.items() if key not in _OF_THIS_MACHINE}
    if kept.get("tokenizer_class") == "TokenizersBackend":
        kept["tokenizer_class"] = "PreTrainedTokenizerFast"
    if kept.get("model_max_length", _NO_LIMIT) >= _NO_LIMIT and "max_position_embeddings" in config:
        kept["model_max_length"] = config["max_position_embeddings"]
    kept.setdefault("model_input_names", ["input_ids", "attention_mask"])
    return kept


def _edit(path: Path, change: Any) -> dict[str, Any]:
    changed: dict[str, Any] = change(json.loads(path.read_text(encoding="utf-8")))
    path.write_text(json.dumps(changed, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return changed
