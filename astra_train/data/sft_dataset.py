"""The SFT data set that verl's `sft_trainer` loads: tokens from `ChatTokens`, loss on assistant turns only.

verl's own data set renders each message by itself and checks that the pieces add up to the whole; here the pieces are
those that the agent loop plays with, so what is learned is what is sampled later, token by token. Use it with
`data.custom_cls.path=pkg://astra_train.data.sft_dataset data.custom_cls.name=ToolSFTDataset`.

Read from verl's `data` config: `max_length`, `truncation`, `pad_mode`, `apply_chat_template_kwargs`, and with
max_samples `shuffle` and `seed`. Of our own: `learn_mistakes` (default false: turns marked as mistakes are read, not
learned) and `call_form` ("compact", as the oracle writes calls, or "spaced", as the templates of pretrained Qwen models
write them; envs read both).
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import Dataset

from astra_train.chat_tokens import ChatTokens
from astra_train.data.encoding import CallForm, encode_conversation
from astra_train.data.errors import DataError
from astra_train.data.sft import SftRow, read_sft

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

logger = logging.getLogger(__name__)
PAD_MODES = ("no_padding", "right")
TRUNCATIONS = ("error", "skip")
CALL_FORMS = ("compact", "spaced")


class ToolSFTDataset(Dataset[dict[str, torch.Tensor]]):
    """Rows of `write_sft` as tensors. Every row is tokenized here, so that a bad one is met before training starts."""

    def __init__(
        self,
        parquet_files: str | Sequence[str],
        tokenizer: PreTrainedTokenizerBase,
        config: Mapping[str, Any] | None = None,
        processor: Any = None,  # noqa: ARG002 - verl passes it; the rows are text
        max_samples: int = -1,
    ) -> None:
        """
        Args:
            config: verl's `data` section.
            max_samples: use only so many rows; -1 uses all.

        Raises: DataError for options that make no sense, an unreadable file, or a row longer than `max_length` under
            truncation "error" ("skip" leaves such rows out and says how many); ChatTemplateError.
        """
        options: Mapping[str, Any] = config if config is not None else {}
        self.max_length = int(options.get("max_length", 1024))
        self.pad_mode = str(options.get("pad_mode", "no_padding"))
        self.truncation = str(options.get("truncation", "error"))
        self.learn_mistakes = bool(options.get("learn_mistakes", False))
        self.call_form: CallForm = options.get("call_form", "compact")
        self._check_options()
        self.pad_token_id = int(tokenizer.pad_token_id if tokenizer.pad_token_id is not None else 0)
        tokens = ChatTokens(tokenizer, dict(options.get("apply_chat_template_kwargs") or {}))
        paths = [parquet_files] if isinstance(parquet_files, str) else list(parquet_files)
        rows = [(f"{path}: row {n}", row) for path in paths for n, row in enumerate(read_sft(path), start=1)]
        if not rows:
            raise DataError(f"{paths}: no row to learn from")
        chosen = _chosen(len(rows), max_samples, bool(options.get("shuffle", False)), options.get("seed"))
        self._rows: list[tuple[npt.NDArray[np.int32], npt.NDArray[np.bool_]]] = []
        """Token ids and whether each is learned: 5 bytes a token."""
        self._encode([rows[index] for index in chosen], tokens)

    def _check_options(self) -> None:
        if self.pad_mode not in PAD_MODES:
            raise DataError(f"data.pad_mode: expected one of {PAD_MODES}, found {self.pad_mode!r}")
        if self.call_form not in CALL_FORMS:
            raise DataError(f"data.call_form: expected one of {CALL_FORMS}, found {self.call_form!r}")
        if self.truncation not in TRUNCATIONS:
            raise DataError(
                f"data.truncation: expected 'error' or 'skip', found {self.truncation!r}: a conversation that is cut "
                "loses its tools (left) or its answer (right)"
            )

    def _encode(self, rows: Sequence[tuple[str, SftRow]], tokens: ChatTokens) -> None:
        long: list[tuple[int, str]] = []
        for where, row in rows:
            unlearned = () if self.learn_mistakes else row.unlearned_turns
            try:
                encoded = encode_conversation(tokens, row.messages, row.tools, unlearned, self.call_form)
            except DataError as error:
                raise DataError(f"{where} ({row.env_id}): {error}") from None
            if len(encoded.token_ids) > self.max_length:
                long.append((len(encoded.token_ids), where))
            else:
                self._rows.append((np.array(encoded.token_ids, np.int32), np.array(encoded.learned, np.bool_)))
        if long and (self.truncation == "error" or not self._rows):
            longest, where = max(long)
            raise DataError(
                f"{len(long)} of {len(rows)} rows are longer than data.max_length={self.max_length} tokens; the "
                f"longest has {longest} ({where}); raise data.max_length, or leave them out with data.truncation=skip"
            )
        if long:
            logger.warning("left out %d of %d rows longer than %d tokens", len(long), len(rows), self.max_length)
        self.skipped = len(long)

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        """`input_ids`, `position_ids` and `loss_mask`, each of shape (T,) and int64.

        T is the row's length; with pad_mode "right" it is `max_length`, and `attention_mask` is there too.
        """
        token_ids, learned = self._rows[index]
        length = len(token_ids)
        tensors = {
            "input_ids": torch.from_numpy(token_ids.astype(np.int64)),
            "position_ids": torch.arange(length, dtype=torch.long),
            "loss_mask": torch.from_numpy(learned.astype(np.int64)),
        }
        if self.pad_mode == "no_padding":
            return tensors
        tensors["attention_mask"] = torch.ones(length, dtype=torch.long)
        return {
            name: torch.nn.functional.pad(
                tensor, (0, self.max_length - length), value=self.pad_token_id if name == "input_ids" else 0
            )
            for name, tensor in tensors.items()
        }


def _chosen(total: int, max_samples: int, shuffle: bool, seed: int | None) -> list[int]:
    """Which rows to use: all, the first so many, or so many drawn with the seed."""
    if not 0 < max_samples < total:
        return list(range(total))
    if not shuffle:
        return list(range(max_samples))
    drawn = np.random.default_rng(seed).choice(total, size=max_samples, replace=False)
    return [int(index) for index in drawn]


__all__ = ["ToolSFTDataset"]
