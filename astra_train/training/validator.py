"""The slow checks, in a process of their own: those that import verl, torch and transformers.

`python -m astra_train.training.validator REQUEST REPORT`: reads what is asked from one JSON file and writes what was
found to another. The command itself thus stays small while the training runs, and the checks see the environment that
the training will see.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from astra_gym.errors import AstraError
from astra_train.data.errors import LeakageError
from astra_train.training.presets import Recipe

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from astra_gym.types import Message
    from astra_train.chat_tokens import ChatTokens

_YARN = " (Qwen3: add rope_scaling of type yarn and max_position_embeddings to its config.json)"
_LENGTHS_S = 120.0
"""Seconds after which no further prompts are measured."""


@dataclass(frozen=True, slots=True)
class Request:
    """What is to be checked."""

    recipe: Recipe
    overrides: list[str]
    model: str | None
    """The model's folder; None when it is not on this machine."""
    train: list[str]
    validation: list[str]
    agent_loop: str
    dry_run: bool


@dataclass(slots=True)
class Report:
    """What was found."""

    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    config: dict[str, Any] | None = None
    """verl's configuration, resolved; None when it could not be composed."""
    unchanged: list[str] = field(default_factory=list)
    """Keys of the configuration that have verl's own values."""
    rows: int | None = None
    """Rows of the training files."""


def check(request: Request) -> Report:
    """All checks; one that fails does not keep the others from being made."""
    from astra_train.training.validation import as_verl_has_it, compose, mistyped, resolved, validate

    report = Report()
    try:
        config = compose(request.recipe, request.overrides)
        report.config = resolved(config)
        report.unchanged = as_verl_has_it(request.recipe, report.config)
    except AstraError as error:
        report.problems.append(str(error))
        return report
    report.problems += mistyped(request.recipe, report.config)
    if report.problems:  # nothing can be counted with what is no number
        return report
    report.problems += validate(request.recipe, config, model_is_here=request.model is not None)
    _check_machine(config, request, report)
    _check_leakage(request, report)
    report.rows = _check_rows(config, request, report)
    if request.model is not None:
        _check_model(config, request, report, request.model)
    return report


def _check_machine(config: DictConfig, request: Request, report: Report) -> None:
    """GPUs and the packages that only runs on GPUs need; those of a Ray cluster cannot be seen from here."""
    import torch

    if str(config.trainer.device) == "cpu":
        return
    lacking = []
    if not torch.accelerator.is_available():
        lacking.append("no GPU is visible to torch (the preset `cpu` runs without one)")
    else:
        here, wanted = torch.accelerator.device_count(), int(config.trainer.n_gpus_per_node)
        if here < wanted and request.recipe == "sft":
            lacking.append(f"{here} GPUs are visible to torch, trainer.n_gpus_per_node is {wanted}")
    engine = "" if request.recipe == "sft" else str(config.actor_rollout_ref.rollout.name)
    if engine in ("vllm", "sglang") and find_spec(engine) is None:
        lacking.append(f"the rollout engine {engine} is not installed (pip install {engine})")
    cluster = request.recipe != "sft" and bool(os.environ.get("RAY_ADDRESS"))
    (report.notes if request.dry_run or cluster else report.problems).extend(lacking)


def _check_leakage(request: Request, report: Report) -> None:
    """Nothing that is measured on may be trained on."""
    from astra_train.data.leakage import refuse_leaking_files

    for path in request.validation:
        try:
            refuse_leaking_files(request.train, path)
        except LeakageError as error:
            report.problems.append(f"{path}: {error}")
        except (AstraError, OSError) as error:  # a file of somebody else, or one that `_check_rows` refuses
            report.notes.append(f"{path}: not checked for leaks from the training files: {error}")


def _check_rows(config: DictConfig, request: Request, report: Report) -> int | None:
    """Rows that can be read, whose envs exist, and enough of them for one batch."""
    import pyarrow.parquet as parquet

    rows = 0
    for path in [*request.train, *request.validation]:
        try:
            count = parquet.ParquetFile(path).metadata.num_rows
            if request.recipe != "sft":
                from astra_train.data.rl import check_rows

                check_rows(path)
        except (OSError, AstraError, ValueError) as error:
            report.problems.append(f"{path}: {error}" if path not in str(error) else str(error))
            continue
        if not count:
            report.problems.append(f"{path}: holds no rows")
        rows += count if path in request.train else 0
    batch = int(config.data.train_batch_size)
    if request.train and rows and rows < batch:
        report.problems.append(f"{rows} rows to train on, fewer than one batch: data.train_batch_size={batch}")
    return rows or None


def _check_model(config: DictConfig, request: Request, report: Report, model: str) -> None:
    """The model's folder, its context and its template, and the lengths of what it is to read."""
    from transformers import AutoTokenizer

    from astra_train.chat_tokens import ChatTokens
    from astra_train.policies.check import check_model_folder

    section = config.model if request.recipe == "sft" else config.actor_rollout_ref.model
    longest = int(config.data.get("max_prompt_length", 0)) + int(config.data.get("max_response_length", 0))
    longest = int(config.data.max_length) if request.recipe == "sft" else longest
    extended = (section.get("override_config") or {}).get("max_position_embeddings")
    found = check_model_folder(model, required_tokens=None if extended else longest)
    report.problems += [problem + (_YARN if "max_position" in problem else "") for problem in found.problems]
    report.notes += found.notes
    if report.problems:
        return
    try:
        chat = ChatTokens(
            AutoTokenizer.from_pretrained(model), dict(config.data.get("apply_chat_template_kwargs") or {})
        )
        measure = _sft_lengths if request.recipe == "sft" else _prompt_lengths
        measure(config, request, report, chat)
    except (AstraError, OSError, ValueError) as error:
        report.problems.append(str(error))


def _prompt_lengths(config: DictConfig, request: Request, report: Report, chat: ChatTokens) -> None:
    """Every prompt as the agent loop builds it against the limit: verl would cut a longer one on the left."""
    from omegaconf import OmegaConf

    from astra_train.rows import make_env

    loop = dict(OmegaConf.to_container(OmegaConf.load(request.agent_loop))[0])
    prompt = loop.get("system_prompt")
    system: list[Message] = [{"role": "system", "content": str(prompt)}] if prompt else []

    def lengths(path: str) -> Iterator[tuple[str, int]]:
        import pyarrow.parquet as parquet

        for row in parquet.read_table(path, columns=["extra_info"]).to_pylist():
            extra = row["extra_info"]
            env = make_env(extra, loop.get("env_kwargs") or {})
            _, info = env.reset(seed=int(extra["seed"]))
            tools = env.unwrapped.tool_spec.tool_schemas  # type: ignore[attr-defined]
            yield str(extra["env_id"]), len(chat.initial([*system, *info["messages"]], tools))
            env.close()

    _measure(request, report, lengths, int(config.data.max_prompt_length), "data.max_prompt_length")


def _sft_lengths(config: DictConfig, request: Request, report: Report, chat: ChatTokens) -> None:
    """Every conversation as the data set tokenizes it against the limit."""
    from astra_train.data.encoding import encode_conversation
    from astra_train.data.sft import read_sft

    if str(config.data.truncation) != "error":
        return

    def lengths(path: str) -> Iterator[tuple[str, int]]:
        for row in read_sft(path):
            yield row.env_id, len(encode_conversation(chat, row.messages, row.tools).token_ids)

    _measure(request, report, lengths, int(config.data.max_length), "data.max_length")


def _measure(
    request: Request, report: Report, lengths: Callable[[str], Iterator[tuple[str, int]]], limit: int, key: str
) -> None:
    """Compare rows with the limit for as long as there is time."""
    began, seen, longest, too_long = time.monotonic(), 0, 0, []
    for path in [*request.train, *request.validation]:
        for name, tokens in lengths(path):
            seen, longest = seen + 1, max(longest, tokens)
            if tokens > limit:
                too_long.append((tokens, name))
            if time.monotonic() - began > _LENGTHS_S:
                break
    if too_long:
        tokens, name = max(too_long)
        report.problems.append(
            f"{len(too_long)} of {seen} rows are longer than {key}={limit}; the longest, {name}, has {tokens} tokens: "
            f"raise {key} to at least {tokens}, or leave them out of the data"
        )
    report.notes.append(f"{seen} rows measured: the longest has {longest} tokens of {limit} ({key})")


def main() -> None:
    """Read the request, write the report."""
    request = Request(**json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
    report = check(request)
    Path(sys.argv[2]).write_text(json.dumps(asdict(report), default=str), encoding="utf-8")


if __name__ == "__main__":
    main()
