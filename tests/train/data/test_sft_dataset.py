"""The data set that verl's SFT trainer loads: tokens, loss mask, padding, limits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from astra_gym.tool_calls import parse_turn
from astra_train.chat_tokens import ChatTokens
from astra_train.data.encoding import encode_conversation, spaced
from astra_train.data.errors import DataError
from astra_train.data.sft import write_sft
from astra_train.data.sft_dataset import ToolSFTDataset
from astra_train.data.styles import STYLES, play
from tests.specs import JOIN

TRAJECTORIES = [play(JOIN, style, seed=2) for style in STYLES]
MISTAKEN = STYLES.index("mistake_recovery")


@pytest.fixture(scope="module")
def tokenizer(tiny_folder: Path) -> PreTrainedTokenizerBase:
    loaded: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(tiny_folder)
    return loaded


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> str:
    file = tmp_path_factory.mktemp("sft") / "rows.parquet"
    write_sft(file, TRAJECTORIES)
    return str(file)


def rows_of(data: ToolSFTDataset) -> list[dict[str, torch.Tensor]]:
    return [data[index] for index in range(len(data))]


def dataset(path: str, tokenizer: PreTrainedTokenizerBase, **config: Any) -> ToolSFTDataset:
    return ToolSFTDataset(path, tokenizer, {"max_length": 4096, **config})


def test_rows_are_the_tokens_of_the_conversations(path: str, tokenizer: PreTrainedTokenizerBase) -> None:
    rows = dataset(path, tokenizer)
    chat = ChatTokens(tokenizer)
    assert len(rows) == len(STYLES)
    for row, trajectory in zip(rows_of(rows), TRAJECTORIES, strict=True):
        unlearned = trajectory.metadata["mistake_turns"]
        expected = encode_conversation(chat, list(trajectory.messages), trajectory.tools, unlearned)  # type: ignore[arg-type]
        assert row["input_ids"].tolist() == expected.token_ids
        assert row["loss_mask"].tolist() == expected.learned
        assert row["position_ids"].tolist() == list(range(len(expected.token_ids)))
        assert {tensor.dtype for tensor in row.values()} == {torch.int64}
        assert set(row) == {"input_ids", "position_ids", "loss_mask"}
        assert row["loss_mask"][0] == 0  # verl shifts the mask over the ends of rows


def test_a_mistake_is_read_but_not_learned_unless_asked(path: str, tokenizer: PreTrainedTokenizerBase) -> None:
    (turn,) = TRAJECTORIES[MISTAKEN].metadata["mistake_turns"]
    mistake = ChatTokens(tokenizer).assistant(TRAJECTORIES[MISTAKEN].actions[turn])
    row, learned = dataset(path, tokenizer)[MISTAKEN], dataset(path, tokenizer, learn_mistakes=True)[MISTAKEN]
    assert torch.equal(row["input_ids"], learned["input_ids"])
    changed = (row["loss_mask"] != learned["loss_mask"]).nonzero().flatten().tolist()
    assert row["input_ids"][changed].tolist() == mistake
    assert int(row["loss_mask"].sum()) + len(mistake) == int(learned["loss_mask"].sum())


def test_right_padding_pads_everything_to_the_limit(path: str, tokenizer: PreTrainedTokenizerBase) -> None:
    bare, padded = dataset(path, tokenizer), dataset(path, tokenizer, pad_mode="right", max_length=1500)
    for row, longer in zip(rows_of(bare), rows_of(padded), strict=True):
        length = len(row["input_ids"])
        assert {len(tensor) for tensor in longer.values()} == {1500}
        assert torch.equal(longer["input_ids"][:length], row["input_ids"])
        assert torch.equal(longer["loss_mask"][:length], row["loss_mask"])
        assert set(longer["input_ids"][length:].tolist()) == {tokenizer.pad_token_id}
        assert longer["attention_mask"].tolist() == [1] * length + [0] * (1500 - length)
        assert not longer["loss_mask"][length:].any()


def test_a_long_row_is_an_error_before_training_or_left_out(path: str, tokenizer: PreTrainedTokenizerBase) -> None:
    unsorted = [len(row["input_ids"]) for row in rows_of(dataset(path, tokenizer))]
    lengths = sorted(unsorted)
    long = lengths.count(lengths[-1])
    with pytest.raises(DataError, match=rf"{long} of 5 rows are longer .* has {lengths[-1]} .*row \d"):
        dataset(path, tokenizer, max_length=lengths[-1] - 1)
    some = dataset(path, tokenizer, max_length=lengths[-1] - 1, truncation="skip")
    assert (len(some), some.skipped) == (5 - long, long)
    assert [len(row["input_ids"]) for row in rows_of(some)] == [n for n in unsorted if n < lengths[-1]]
    with pytest.raises(DataError, match="5 of 5 rows"):
        dataset(path, tokenizer, max_length=5, truncation="skip")


@pytest.mark.parametrize("truncation", ["left", "right"])
def test_cutting_a_conversation_is_refused(path: str, tokenizer: PreTrainedTokenizerBase, truncation: str) -> None:
    with pytest.raises(DataError, match=r"data\.truncation: expected 'error' or 'skip'"):
        dataset(path, tokenizer, truncation=truncation)


def test_samples_are_the_first_or_drawn_with_the_seed(path: str, tokenizer: PreTrainedTokenizerBase) -> None:
    rows = [row["input_ids"].tolist() for row in rows_of(dataset(path, tokenizer))]

    def taken(**config: Any) -> list[list[int]]:
        made = ToolSFTDataset([path], tokenizer, {"max_length": 4096, **config}, max_samples=3)
        return [row["input_ids"].tolist() for row in rows_of(made)]

    assert taken() == rows[:3]
    assert taken(shuffle=True, seed=1) == taken(shuffle=True, seed=1)
    drawn = {tuple(map(tuple, taken(shuffle=True, seed=seed))) for seed in range(5)}
    assert len(drawn) > 1


def test_several_files_are_one_data_set(path: str, tokenizer: PreTrainedTokenizerBase) -> None:
    assert len(ToolSFTDataset([path, path], tokenizer, {"max_length": 4096})) == 10


def test_calls_can_be_written_as_pretrained_models_write_them(path: str, tokenizer: PreTrainedTokenizerBase) -> None:
    row = dataset(path, tokenizer, call_form="spaced")[0]
    text = str(tokenizer.decode(row["input_ids"][row["loss_mask"].bool()].tolist()))
    assert '<tool_call>\n{"name": "get_height", "arguments": {"mountain": "Galdhøpiggen"}}\n</tool_call>' in text
    turns = [parse_turn(turn) for turn in text.split("<|im_end|>")[:-1]]
    assert turns == [parse_turn(action) for action in TRAJECTORIES[0].actions]
    with pytest.raises(DataError, match=r"data\.call_form"):
        dataset(path, tokenizer, call_form="xml")


@pytest.mark.parametrize(
    "text",
    [
        "Oslo",
        "<tool_call>{oops</tool_call>",
        'a <tool_call>{"name":"f","arguments":{"x":"\\u003c/tool_call>"}}</tool_call>',
    ],
)
def test_what_cannot_be_spaced_out_without_a_change_of_meaning_stays_as_it_is(text: str) -> None:
    assert parse_turn(spaced(text)) == parse_turn(text)


def test_other_padding_is_refused(path: str, tokenizer: PreTrainedTokenizerBase) -> None:
    with pytest.raises(DataError, match=r"data\.pad_mode"):
        dataset(path, tokenizer, pad_mode="left_right")
