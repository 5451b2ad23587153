"""A checkpoint of a run as an ordinary Hugging Face folder.

Two ways, chosen by what the checkpoint holds. Where verl saved the whole model beside its shards (`hf_model` among
`checkpoint.save_contents`, as in the CPU presets) those files are taken: exact, in the precision that was trained in.
Otherwise verl's own merger joins the shards; it rounds to bfloat16, which is what GPU runs roll out with. LoRA adapters
are merged into their base, so that the folder needs nothing else.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from astra_gym.errors import AstraError
from astra_train.errors import TrainingError
from astra_train.policies.portable import make_portable
from astra_train.policies.weights import read_weight_files
from astra_train.training.checkpoints import find_checkpoint
from astra_train.training.presets import Recipe
from astra_train.training.run_folder import RunFolder, write_json
from astra_train.versions import require_training

_TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.jinja",
    "vocab.json",
    "merges.txt",
    "tokenizer.model",
)


@dataclass(frozen=True, slots=True)
class Exported:
    """A folder that was written and loads."""

    path: str
    step: int
    parameters: int
    dtype: str

    def to_json(self) -> dict[str, Any]:
        """For machines."""
        return asdict(self)


def export_run(run: Path, output: Path | None = None, step: int | None = None, *, overwrite: bool = False) -> Exported:
    """Write the policy of a run's checkpoint and load it once.

    Args:
        output: default RUN/export/step_N.
        step: which checkpoint; default the last whole one.

    Raises: TrainingError when there is no such checkpoint, the output exists, or what was written does not load.
    """
    require_training()
    folder = RunFolder(run.resolve())
    recipe: Recipe = folder.describe()["recipe"]
    checkpoint = find_checkpoint(folder.checkpoints, recipe, step)
    source = checkpoint.model_folder(recipe)
    target = output.resolve() if output is not None else folder.path / "export" / f"step_{checkpoint.step}"
    if target.exists() and any(target.iterdir()) and not overwrite:
        raise TrainingError(f"{target}: is there already; give --overwrite, or another --output")
    partial = target.with_name(f".{target.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        if read_weight_files(source / "huggingface").files:
            shutil.copytree(source / "huggingface", partial, dirs_exist_ok=True)
        else:
            _merge(source, partial)
        _complete_tokenizer(partial, folder)
        _name_dtype(partial)
        make_portable(partial)
        parameters, dtype = _load(partial)
        shutil.rmtree(target, ignore_errors=True)
        partial.replace(target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return Exported(str(target), checkpoint.step, parameters, dtype)


def _merge(source: Path, target: Path) -> None:
    """verl's merger, in its own process: it loads the whole model."""
    command = [sys.executable, "-m", "verl.model_merger", "merge", "--backend", "fsdp"]
    command += ["--local_dir", str(source), "--target_dir", str(target)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        tail = "\n".join(done.stderr.strip().splitlines()[-6:])
        raise TrainingError(f"{source}: verl's merger failed (exit {done.returncode}):\n{tail}")
    if (target / "lora_adapter").is_dir():
        _merge_adapter(target)


def _merge_adapter(target: Path) -> None:
    """Fold a LoRA adapter into the base that lies beside it."""
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    adapter = target / "lora_adapter"
    base = AutoModelForCausalLM.from_pretrained(target, dtype="auto")
    merged = PeftModel.from_pretrained(base, adapter).merge_and_unload()
    for path in read_weight_files(target).files:
        path.unlink()
    merged.save_pretrained(target)
    shutil.rmtree(adapter)


def _complete_tokenizer(target: Path, run: RunFolder) -> None:
    """Tokenizer files of the model that the run started from, where verl's own saving left one out."""
    path = (run.describe().get("model") or {}).get("path")
    origin = Path(path) if path else None
    if origin is None or not origin.is_dir():
        return
    for name in _TOKENIZER_FILES:
        if (origin / name).is_file() and not (target / name).is_file():
            shutil.copy2(origin / name, target / name)


def _name_dtype(target: Path) -> None:
    """Say in config.json what type the weights have: they are loaded as that, and verl always writes bfloat16."""
    dtype = read_weight_files(target).dtype
    if dtype is None:
        return
    config = json.loads((target / "config.json").read_text(encoding="utf-8"))
    for key in ("torch_dtype", "attn_implementation"):  # the second is how this machine trained, not what the model is
        config.pop(key, None)
    write_json(target / "config.json", {**config, "dtype": dtype})


def _load(target: Path) -> tuple[int, str]:
    """Load what was written as anybody would. Raises: TrainingError."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from astra_train.chat_tokens import ChatTokens

    try:
        ChatTokens(AutoTokenizer.from_pretrained(target))
        loaded: Any = AutoModelForCausalLM.from_pretrained(target, output_loading_info=True)
    except (AstraError, OSError, ValueError, RuntimeError) as error:
        raise TrainingError(f"{target}: was written but does not load: {error}") from error
    model, info = loaded
    lost = {name: sorted(info[name]) for name in ("missing_keys", "unexpected_keys", "mismatched_keys") if info[name]}
    if lost:
        raise TrainingError(f"{target}: was written but its weights do not fit its config: {lost}")
    return sum(p.numel() for p in model.parameters()), str(model.dtype).removeprefix("torch.")
