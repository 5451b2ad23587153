"""`astra data sft` and `astra data rl`, as a user runs them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner, Result

from astra_gym.errors import AstraError
from astra_gym.registration import unregister_suite
from astra_train.data.cli import app
from astra_train.data.leakage import check_files
from astra_train.data.rl import check_rows
from astra_train.data.sft import read_sft
from tests.train.data.conftest import SMALL


@pytest.fixture(autouse=True)
def _nothing_stays_registered() -> Iterator[None]:
    yield
    unregister_suite("train")


def data(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def read_json(done: Result) -> Any:
    assert done.exit_code == 0, done.output
    return orjson.loads(done.stdout)


def test_rl_splits_a_suite_and_tells_what_became_of_it(tmp_path: Path, small_suite: Path) -> None:
    told = read_json(data("rl", small_suite, "-o", tmp_path, "--validation", "0.4", "--json"))
    assert told["train"] + told["validation"] + told["dropped"] == SMALL
    assert sum(told["dropped_because"].values()) == told["dropped"]
    assert told["leaks"] == []
    for part in ("train", "validation"):
        assert sum(group[part] for group in told["groups"]) == told[part]
        assert check_rows(tmp_path / f"{part}.parquet").rows == told[part]


def test_sft_and_rl_agree_on_the_split(tmp_path: Path, small_suite: Path) -> None:
    options = ["--validation", "0.4", "--split-seed", "4"]
    read_json(data("rl", small_suite, "-o", tmp_path, *options, "--json"))
    told = read_json(
        data("sft", small_suite, "-o", tmp_path / "sft.parquet", *options, "--styles", "sequential", "--json")
    )
    taught = {row.env_id for row in read_sft(tmp_path / "sft.parquet")}
    trained = {
        row["env_id"].partition("/")[2] for row in pq.read_table(tmp_path / "train.parquet")["extra_info"].to_pylist()
    }
    assert taught == trained
    assert told["rows"] == len(taught)
    assert told["tokens"] is None


def test_sft_and_rl_can_be_given_different_envs(tmp_path: Path, small_suite: Path) -> None:
    split = ["--validation", "0.4", "--train-part"]
    sft = ["sft", small_suite, "-o", tmp_path / "sft.parquet", *split, "0-0.5", "--styles", "sequential", "--json"]
    read_json(data(*sft))
    told = read_json(data("rl", small_suite, "-o", tmp_path, *split, "0.5-1", "--json"))
    taught = {row.env_id for row in read_sft(tmp_path / "sft.parquet")}
    trained = {
        row["env_id"].partition("/")[2] for row in pq.read_table(tmp_path / "train.parquet")["extra_info"].to_pylist()
    }
    assert taught
    assert trained
    assert not taught & trained
    assert len(taught) + len(trained) + told["validation"] + told["dropped"] == SMALL


def test_the_tables_are_readable(tmp_path: Path, tiny_folder: Path, small_suite: Path) -> None:
    done = data("rl", small_suite, "-o", tmp_path, "--policy", tiny_folder, "--max-prompt", "4000")
    assert done.exit_code == 0, done.output
    for words in ("validation", "dropped", "leakage check: nothing is shared", "longest prompt"):
        assert words in done.stdout
    done = data(
        "sft",
        small_suite,
        "-o",
        tmp_path / "sft.parquet",
        "--policy",
        tiny_folder,
        "--styles",
        "parallel,worded_answer=2",
    )
    assert done.exit_code == 0, done.output
    for words in ("worded_answer", "no two calls can be made at once", "tokens: median"):
        assert words in done.stdout


def test_a_folder_gets_both_sides(tmp_path: Path, small_suite: Path) -> None:
    told = read_json(
        data("sft", small_suite, "-o", tmp_path / "sft", "--validation", "0.4", "--styles", "sequential", "--json")
    )
    for part in ("train", "validation"):
        rows = list(read_sft(tmp_path / "sft" / f"{part}.parquet"))
        assert told[part]["rows"] == len(rows) == told[part]["by_style"]["sequential"]
    assert check_files([tmp_path / "sft" / "train.parquet"], tmp_path / "sft" / "validation.parquet") == []


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["sft", "SUITE", "-o", "x.parquet", "--styles", "fast"], 1, "styles: expected some of"),
        (["sft", "SUITE", "-o", "x.parquet", "--styles", "sequential=much"], 2, "expected name or name=weight"),
        (["sft", "SUITE", "-o", "x.jsonl"], 1, "ending in .parquet"),
        (["sft", "SUITE", "-o", "x.parquet", "--max-length", "9"], 1, "needs the policy's tokenizer"),
        (["rl", "SUITE", "-o", "out", "--env-kwargs", "[1]"], 2, "expected a JSON object"),
        (["rl", "SUITE", "-o", "out", "--env-kwargs", '{"reward":"luck"}'], 1, "reward must be one of"),
        (["rl", "SUITE", "-o", "out", "--faults", "often"], 1, "faults: expected"),
        (["rl", "SUITE", "-o", "out", "--train-part", "0.7"], 2, "is LOW-HIGH"),
        (["rl", "SUITE", "-o", "out", "--train-part", "0.7-0.2"], 1, "0 <= low < high <= 1"),
        (["sft", "SUITE", "-o", "x.parquet", "--split", "all", "--train-part", "0-0.5"], 2, "does not go with"),
        (["rl", "nowhere.jsonl", "-o", "out"], 2, "does not exist"),
    ],
)
def test_bad_input_is_one_message(
    tmp_path: Path, small_suite: Path, arguments: list[str], code: int, words: str
) -> None:
    given = [
        str(small_suite) if a == "SUITE" else str(tmp_path / a) if a in ("x.parquet", "x.jsonl", "out") else a
        for a in arguments
    ]
    done = data(*given)
    if code == 1:  # `astra` shows it as one line
        assert isinstance(done.exception, AstraError)
        assert words in str(done.exception)
    else:
        assert done.exit_code == code
        assert words in " ".join(done.output.replace("│", " ").split())
    assert not list(tmp_path.glob("**/*.parquet"))
