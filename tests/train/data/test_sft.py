"""SFT rows as Parquet: whole files, lengths, what is refused."""

from __future__ import annotations

import resource
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from transformers import AutoTokenizer

from astra_gym.types import Trajectory
from astra_train.chat_tokens import ChatTokens, action_of
from astra_train.data.encoding import encode_conversation
from astra_train.data.errors import DataError
from astra_train.data.parquet_files import read_notes
from astra_train.data.sft import read_sft, write_sft
from astra_train.data.styles import STYLES, play
from tests.specs import CHAIN, JOIN


@pytest.fixture(scope="module")
def tokens(tiny_folder: Path) -> ChatTokens:
    return ChatTokens(AutoTokenizer.from_pretrained(tiny_folder))


@pytest.fixture(scope="module")
def trajectories() -> list[Trajectory]:
    return [play(JOIN, style, seed=2) for style in STYLES]


def test_rows_come_back_as_they_were_written(
    tmp_path: Path, trajectories: list[Trajectory], tokens: ChatTokens
) -> None:
    report = write_sft(tmp_path / "sft.parquet", trajectories, tokens=tokens, notes={"suite": "here"})
    rows = list(read_sft(tmp_path / "sft.parquet"))
    assert [row.messages for row in rows] == [list(t.messages) for t in trajectories]
    assert [row.tools for row in rows] == [list(t.tools) for t in trajectories]
    assert [row.style for row in rows] == list(STYLES)
    assert {(row.env_id, row.domain, row.hops) for row in rows} == {(JOIN.id, "geography", JOIN.hops)}
    assert [row.unlearned_turns for row in rows] == [tuple(t.metadata["mistake_turns"]) for t in trajectories]
    assert [row.tokens for row in rows] == report.lengths
    assert (report.rows, report.too_long) == (5, [])
    assert report.by_style == dict.fromkeys(STYLES, 1)
    assert 0 < report.learned < sum(report.lengths)
    assert read_notes(tmp_path / "sft.parquet") == {"kind": "sft", "suite": "here"}


def test_tokens_are_those_of_the_episode(trajectories: list[Trajectory], tokens: ChatTokens) -> None:
    """initial + (sampled turn + context)*, with the turns learned and nothing else."""
    for trajectory in trajectories:
        messages = list(trajectory.messages)
        unlearned = trajectory.metadata["mistake_turns"]
        encoded = encode_conversation(tokens, messages, trajectory.tools, unlearned)  # type: ignore[arg-type]
        expected = tokens.initial(messages[:1], trajectory.tools)  # type: ignore[arg-type]
        learned = [0] * len(expected)
        pending: list[dict[str, object]] = []
        turn = 0
        for message in messages[1:]:
            if message["role"] != "assistant":
                pending.append(message)
                continue
            if pending:
                context = tokens.context(pending)  # type: ignore[arg-type]
                expected, learned, pending = expected + context, learned + [0] * len(context), []
            sampled = tokens.assistant(action_of(message))  # type: ignore[arg-type]
            expected += sampled
            learned += [0 if turn in unlearned else 1] * len(sampled)
            turn += 1
        assert (encoded.token_ids, encoded.learned) == (expected, learned)


def test_learned_tokens_decode_to_what_the_oracle_wrote(trajectories: list[Trajectory], tokens: ChatTokens) -> None:
    for trajectory in trajectories:
        skipped = trajectory.metadata["mistake_turns"]
        encoded = encode_conversation(tokens, list(trajectory.messages), trajectory.tools, skipped)  # type: ignore[arg-type]
        text = tokens.tokenizer.decode([i for i, keep in zip(encoded.token_ids, encoded.learned, strict=True) if keep])
        said = [action for turn, action in enumerate(trajectory.actions) if turn not in skipped]
        assert text == "".join(f"{action}<|im_end|>" for action in said)


def test_rows_over_the_limit_are_refused_with_names_and_nothing_is_written(
    tmp_path: Path, trajectories: list[Trajectory], tokens: ChatTokens
) -> None:
    path = tmp_path / "sft.parquet"
    lengths = write_sft(path, trajectories, tokens=tokens).lengths
    before = path.read_bytes()
    limit = sorted(lengths)[2]
    with pytest.raises(
        DataError, match=rf"2 of 5 rows are longer than {limit} tokens: {JOIN.id} \({max(lengths)}\).*on_long"
    ):
        write_sft(path, trajectories, tokens=tokens, max_length=limit)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["sft.parquet"]


def test_rows_over_the_limit_are_dropped_and_counted_on_request(
    tmp_path: Path, trajectories: list[Trajectory], tokens: ChatTokens
) -> None:
    lengths = write_sft(tmp_path / "all.parquet", trajectories, tokens=tokens).lengths
    limit = sorted(lengths)[2]
    report = write_sft(tmp_path / "some.parquet", trajectories, tokens=tokens, max_length=limit, on_long="drop")
    assert report.rows == len(list(read_sft(tmp_path / "some.parquet"))) == 3
    assert sorted(length for _, length in report.too_long) == sorted(lengths)[3:]
    assert report.length_at(1.0) == limit


def test_a_limit_needs_a_tokenizer(tmp_path: Path, trajectories: list[Trajectory]) -> None:
    with pytest.raises(DataError, match="tokenizer"):
        write_sft(tmp_path / "sft.parquet", trajectories, max_length=10)


def test_episodes_that_failed_are_no_rows(tmp_path: Path) -> None:
    failed = play(CHAIN, "sequential").model_copy(update={"stop_reason": "infrastructure_error"})
    with pytest.raises(DataError, match="infrastructure_error"):
        write_sft(tmp_path / "sft.parquet", [failed])
    assert not list(tmp_path.iterdir())


def test_nothing_to_write_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no row to write"):
        write_sft(tmp_path / "sft.parquet", [])


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path, trajectories: list[Trajectory]) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot be written"):
        write_sft(tmp_path / "file" / "sft.parquet", trajectories)
    with pytest.raises(DataError, match=r"ending in \.parquet"):
        write_sft(tmp_path / "sft.jsonl", trajectories)


def test_a_full_disk_leaves_the_old_file_and_no_other(tmp_path: Path, trajectories: list[Trajectory]) -> None:
    """A limit on the size of files stands for the disk."""
    path = tmp_path / "sft.parquet"
    write_sft(path, trajectories)
    before = path.read_bytes()
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024, old[1]))
    try:
        with pytest.raises(DataError, match=r"cannot be written: .*File too large"):
            write_sft(path, trajectories)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["sft.parquet"]


def test_damaged_files_are_named_with_the_row(tmp_path: Path, trajectories: list[Trajectory]) -> None:
    path = tmp_path / "sft.parquet"
    with pytest.raises(DataError, match="no such file"):
        list(read_sft(path))
    path.write_bytes(b"PAR1 cut off")
    with pytest.raises(DataError, match="not a whole Parquet file"):
        list(read_sft(path))
    pq.write_table(pa.table({"messages": ["[]"]}), path)
    with pytest.raises(DataError, match=r"no column .'tools'"):
        list(read_sft(path))
    write_sft(path, trajectories)
    table = pq.read_table(path)
    broken = table.set_column(0, "messages", pa.array(["[]", "[", "[]", "[]", "[]"]))
    pq.write_table(broken, path)
    with pytest.raises(DataError, match="row 2: `messages` and `tools` must be JSON"):
        list(read_sft(path))


def test_a_conversation_without_a_question_or_a_result_is_refused(tokens: ChatTokens) -> None:
    messages: list[Any] = list(play(CHAIN, "sequential").messages)
    with pytest.raises(DataError, match="a question and then an assistant's turn"):
        encode_conversation(tokens, messages[1:], CHAIN.tool_schemas)
    with pytest.raises(DataError, match="turns 0 and 1 follow each other"):
        encode_conversation(tokens, [*messages[:2], *messages[3:]], CHAIN.tool_schemas)
