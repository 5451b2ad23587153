"""What a model folder must hold before a run is worth starting; each defect is one sentence, found without a GPU.

Weights are checked by their headers and by building the model without memory; whether the model is any good is for
`astra eval` to say. Chat templates are judged by what they render (`chat_check`), never by their text.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from astra_train.policies.chat_check import check_chat
from astra_train.policies.folders import ModelFolderError, is_cached, is_offline, locate_model
from astra_train.policies.foreign import collected, explained, quiet_transformers
from astra_train.policies.weights import WeightFiles, read_weight_files

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedTokenizerBase

_SHOWN = 3


@dataclass(slots=True)
class ModelReport:
    """What was found. `problems` stop a run; `notes` are worth knowing. Facts not reached keep their empty value."""

    name: str
    """As asked for."""
    folder: Path | None = None
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    model_type: str = ""
    """As in config.json; verl picks its way of joining turns by it."""
    architecture: str = ""
    parameters: int = 0
    dtype: str = ""
    """Of the weights as they are stored, as safetensors calls it; several are joined by '+'."""
    disk_bytes: int = 0
    """Size of the weight files."""
    vocabulary: int = 0
    """Tokens of the tokenizer, added ones included."""
    embedding_rows: int = 0
    context_length: int | None = None
    """Tokens that the positions are made for; None when the configuration sets no limit."""
    stop_token_ids: tuple[int, ...] = ()
    """What ends a turn, the end-of-turn token of the chat template first; found only when tools were asked for."""

    @property
    def ok(self) -> bool:
        """Whether a run may start."""
        return not self.problems

    def require(self) -> ModelReport:
        """Itself. Raises: ModelFolderError with every problem, one a line."""
        if self.problems:
            raise ModelFolderError("\n".join(self.problems))
        return self


def check_model_folder(
    path_or_id: str | Path, *, need_tools: bool = True, required_tokens: int | None = None
) -> ModelReport:
    """Look at a model before anything is started with it; what is wrong is reported, not raised.

    Args:
        path_or_id: a folder (no network is used), or a Hugging Face id (its small files are fetched, unless
            HF_HUB_OFFLINE is set; its weights are checked when they are in the cache).
        need_tools: the chat template must carry tools, calls and results.
        required_tokens: longest sequence that will be asked of it, prompt and response.

    Raises: MissingExtraError when transformers or torch is not installed.
    """
    from astra_train.versions import require_training

    report = ModelReport(str(path_or_id))
    with collected(report.problems):
        report.folder = locate_model(path_or_id)
    if report.folder is None:
        return report
    require_training("torch", "transformers")
    with quiet_transformers(), collected(report.problems):
        _check_model(report, report.folder, required_tokens)
        tokenizer = _load_tokenizer(report, report.folder)
        if need_tools:
            check_chat(report, report.folder, tokenizer)
    return report


def _check_model(report: ModelReport, folder: Path, required_tokens: int | None) -> None:
    """Raises: ModelFolderError when the configuration cannot be read: the tokenizer could not be loaded either."""
    weights = _check_weight_files(report, folder)
    config = _load_config(report, folder)
    with collected(report.problems):
        _check_context(report, config, required_tokens)
    with collected(report.problems):
        _check_architecture(report, folder, config, weights)


def _load_config(report: ModelReport, folder: Path) -> PretrainedConfig:
    from transformers import AutoConfig

    path = folder / "config.json"
    if not path.is_file():
        raise ModelFolderError(f"{folder}: no config.json; this is no Hugging Face model folder")
    with explained(f"{path}: cannot be read"):
        raw = json.loads(path.read_text(encoding="utf-8"))
        report.model_type = str(raw.get("model_type"))
        architectures = list(raw.get("architectures") or ())
        config: PretrainedConfig = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    report.architecture = "+".join(map(str, architectures))
    if len(architectures) != 1:
        report.problems.append(f"{path}: `architectures` must name one class (verl asks for it), found {architectures}")
    return config


def _check_weight_files(report: ModelReport, folder: Path) -> WeightFiles:
    weights = read_weight_files(folder)
    report.disk_bytes, report.dtype = weights.n_bytes, "+".join(sorted(weights.dtypes))
    if weights.problems and not weights.files and is_cached(folder) and not is_offline():
        report.notes.append(f"{report.name}: the weights are not on this machine yet; loading the model downloads them")
    else:
        report.problems += weights.problems
    if weights.files and not weights.shapes and not weights.problems:
        report.notes.append(f"{folder}: the weights are in PyTorch's own format; their tensors were not looked at")
    return weights


def _check_context(report: ModelReport, config: PretrainedConfig, required: int | None) -> None:
    longest = getattr(config.get_text_config(), "max_position_embeddings", None)
    report.context_length = longest
    if required is not None and longest is not None and required > longest:
        raise ModelFolderError(
            f"{report.folder}: reads {longest} tokens at most (max_position_embeddings), the run asks for {required}; "
            "shorten prompt and response, or take a model with a longer context"
        )


def _check_architecture(report: ModelReport, folder: Path, config: PretrainedConfig, weights: WeightFiles) -> None:
    """Build the model without memory; with whole safetensors files, match each tensor's name and shape."""
    import torch
    from transformers import MODEL_FOR_CAUSAL_LM_MAPPING, AutoModelForCausalLM

    if type(config) not in MODEL_FOR_CAUSAL_LM_MAPPING:
        raise ModelFolderError(
            f"{folder}: transformers has no AutoModelForCausalLM for model_type {report.model_type!r}; "
            "take a model that writes text"
        )
    model: Any
    info: dict[str, Any] = {}
    with explained(f"{folder}: transformers cannot build this model"):
        if weights.shapes and not weights.problems:
            loaded: Any = AutoModelForCausalLM.from_pretrained(
                folder,
                device_map="meta",
                output_loading_info=True,
                ignore_mismatched_sizes=True,
                local_files_only=True,
                trust_remote_code=False,
            )
            model, info = loaded
        else:
            with torch.device("meta"):
                model = AutoModelForCausalLM.from_config(config, trust_remote_code=False)
    report.parameters = sum(parameter.numel() for parameter in model.parameters())
    report.embedding_rows = int(model.get_input_embeddings().weight.shape[0])
    _report_loading(report, folder, info)


def _report_loading(report: ModelReport, folder: Path, info: dict[str, Any]) -> None:
    if missing := sorted(info.get("missing_keys", ())):
        report.problems.append(
            f"{folder}: the weights lack {len(missing)} tensors of the model ({_some(missing)}), which would start at "
            "random; download or export the model again"
        )
    if mismatched := sorted(str(entry[0]) for entry in info.get("mismatched_keys", ())):
        report.problems.append(
            f"{folder}: {len(mismatched)} tensors have another shape than config.json says ({_some(mismatched)}); "
            "weights and configuration belong to different models"
        )
    if unexpected := sorted(info.get("unexpected_keys", ())):
        report.notes.append(f"{folder}: {len(unexpected)} tensors are not used by the model ({_some(unexpected)})")


def _load_tokenizer(report: ModelReport, folder: Path) -> PreTrainedTokenizerBase:
    from transformers import AutoTokenizer

    with explained(f"{folder}: the tokenizer cannot be loaded"):
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False
        )
        report.vocabulary = max(tokenizer.get_vocab().values()) + 1
    if 0 < report.embedding_rows < report.vocabulary:
        report.problems.append(
            f"{folder}: the tokenizer goes up to token {report.vocabulary - 1}, the model has {report.embedding_rows} "
            "embedding rows; this is the tokenizer of another model, or tokens were added without resizing"
        )
    if tokenizer.pad_token_id is None:
        report.notes.append(f"{folder}: the tokenizer has no padding token; verl takes the end-of-text token instead")
    return tokenizer


def _some(names: list[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")


__all__ = ["ModelFolderError", "ModelReport", "check_model_folder"]
